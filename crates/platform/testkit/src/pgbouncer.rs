//! PgBouncer in front of a cluster.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::binaries;
use crate::cluster::Cluster;
use crate::cluster_info::{Place, ROLE, SUPERUSER};
use crate::port::free_port;
use crate::test_database::TestDatabase;
use crate::watchdog::Watchdog;

/// Newer versions wait for their clients at the signals that older ones stop at; and there is nothing to save.
const STOP: &str = "KILL";

/// PgBouncer's `pool_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolMode {
    /// A client keeps its server connection until it leaves.
    #[default]
    Session,
    /// It keeps it for a transaction.
    Transaction,
}

/// PgBouncer's `auth_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// `scram-sha-256`
    #[default]
    Scram,
    /// `md5`
    Md5,
}

/// What PgBouncer is started with: where nothing else is said, its own defaults.
///
/// So startup parameters that it does not know, such as `extra_float_digits`, are refused.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PgBouncerOptions {
    /// `pool_mode`. Default: session.
    pub pool_mode: PoolMode,
    /// `auth_type`. Default: SCRAM, unlike PgBouncer's own.
    pub authentication: Authentication,
    /// `default_pool_size`, the most server connections for a database and user. Default: 20.
    pub pool_size: Option<u32>,
    /// `max_client_conn`. Default: 100.
    pub max_client_conn: Option<u32>,
    /// `query_wait_timeout`. Default: 120 s.
    pub query_wait_timeout: Option<Duration>,
}

impl PgBouncerOptions {
    /// Sets `pool_mode`.
    pub fn pool_mode(self, pool_mode: PoolMode) -> Self {
        PgBouncerOptions { pool_mode, ..self }
    }

    /// Sets `auth_type`.
    pub fn authentication(self, authentication: Authentication) -> Self {
        PgBouncerOptions {
            authentication,
            ..self
        }
    }

    /// Sets `default_pool_size`.
    pub fn pool_size(self, size: u32) -> Self {
        PgBouncerOptions {
            pool_size: Some(size),
            ..self
        }
    }

    /// Sets `max_client_conn`.
    pub fn max_client_conn(self, most: u32) -> Self {
        PgBouncerOptions {
            max_client_conn: Some(most),
            ..self
        }
    }

    /// Sets `query_wait_timeout`, in whole seconds.
    pub fn query_wait_timeout(self, timeout: Duration) -> Self {
        PgBouncerOptions {
            query_wait_timeout: Some(timeout),
            ..self
        }
    }
}

/// A PgBouncer of its own, stopped and removed when it is dropped or its process ends.
#[derive(Debug)]
pub struct PgBouncer {
    guardian: Watchdog,
    port: u16,
    configuration: PathBuf,
}

impl PgBouncer {
    /// Starts PgBouncer in front of all databases of `cluster`.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not come up; the message says what to do.
    pub async fn start(cluster: &Cluster, options: PgBouncerOptions) -> PgBouncer {
        let guardian = Watchdog::new("pgbouncer", STOP);
        let configuration = guardian.directory().join("pgbouncer.ini");
        let mut pgbouncer = PgBouncer {
            guardian,
            port: 0,
            configuration,
        };
        for _ in 0..3 {
            pgbouncer.port = free_port();
            pgbouncer.configure(cluster.place(), options);
            if pgbouncer.comes_up().await {
                return pgbouncer;
            }
        }
        panic!("PgBouncer did not come up:\n{}", pgbouncer.log());
    }

    /// The URL of `database` by way of PgBouncer, without TLS, which it does not offer.
    pub fn url(&self, database: &TestDatabase) -> String {
        database.url_at(self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it at once, whoever is connected.
    pub async fn stop(&self) {
        self.guardian.stop(STOP).await;
    }

    /// Starts it again after [`PgBouncer::stop`], on the same port.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub async fn resume(&self) {
        assert!(
            self.comes_up().await,
            "PgBouncer did not come up again:\n{}",
            self.log()
        );
    }

    /// Stops it and starts it again.
    ///
    /// # Panics
    ///
    /// As [`PgBouncer::resume`].
    pub async fn restart(&self) {
        self.stop().await;
        self.resume().await;
    }

    /// The directory that holds all of its files.
    pub fn directory(&self) -> &Path {
        self.guardian.directory()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.guardian.log()
    }

    fn configure(&self, place: &Place, options: PgBouncerOptions) {
        let users = self.configuration.with_file_name("users.txt");
        let roles = [(ROLE, &place.password), (SUPERUSER, &place.superuser_password)];
        let list = roles
            .map(|(role, password)| format!("\"{role}\" \"{password}\"\n"))
            .concat();
        let text = configuration(place.port, self.port, &users.display().to_string(), options);
        for (path, text) in [(&users, list), (&self.configuration, text)] {
            fs::write(path, text).expect("the directory was just made");
            self.guardian.hand_over(path);
        }
        if let Some(directory) = users.parent() {
            self.guardian.hand_over(directory);
        }
    }

    async fn comes_up(&self) -> bool {
        let seen = self.log().len();
        let command: [OsString; 2] = [binaries::pgbouncer().into(), self.configuration.clone().into()];
        self.guardian.start(command.into()).await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            let log = self.log();
            let news = log.get(seen..).unwrap_or_default();
            // Knocking at its port would count against `max_client_conn` for a while.
            if news.contains("process up") {
                return true;
            }
            if news.contains("FATAL") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.stop().await;
        false
    }
}

fn configuration(server: u16, port: u16, users: &str, options: PgBouncerOptions) -> String {
    let mut lines = vec![
        format!("[databases]\n* = host=127.0.0.1 port={server}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1"),
        format!("listen_port = {port}"),
        // It would be a second way in, and a file outside of our directory.
        "unix_socket_dir =".to_owned(),
        format!("auth_file = {users}"),
    ];
    lines.push(match options.authentication {
        Authentication::Scram => "auth_type = scram-sha-256".to_owned(),
        Authentication::Md5 => "auth_type = md5".to_owned(),
    });
    lines.push(match options.pool_mode {
        PoolMode::Session => "pool_mode = session".to_owned(),
        PoolMode::Transaction => "pool_mode = transaction".to_owned(),
    });
    lines.extend(
        options
            .pool_size
            .map(|size| format!("default_pool_size = {size}")),
    );
    lines.extend(
        options
            .max_client_conn
            .map(|most| format!("max_client_conn = {most}")),
    );
    lines.extend(
        options
            .query_wait_timeout
            .map(|time| format!("query_wait_timeout = {}", time.as_secs())),
    );
    lines.join("\n") + "\n"
}
