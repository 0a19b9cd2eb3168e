//! PgBouncer in front of a cluster.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::binaries;
use crate::cluster::Cluster;
use crate::cluster_info::{ClusterInfo, ROLE, SUPERUSER};
use crate::port::free_port;
use crate::test_database::TestDatabase;
use crate::watchdog::Watchdog;

/// Newer versions wait for their clients at the other signals, and there is nothing to save.
const STOP: &str = "KILL";

/// PgBouncer's `pool_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolMode {
    /// A client keeps its server connection until it disconnects.
    #[default]
    Session,
    /// A client has a server connection for each transaction.
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

/// Options of PgBouncer; the others have PgBouncer's own defaults.
///
/// So it refuses startup parameters that it does not know, such as `extra_float_digits`.
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
    /// `server_round_robin`: takes the server connection that has been free for longest. Default: the last released.
    pub server_round_robin: bool,
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

    /// Sets `server_round_robin`.
    pub fn server_round_robin(self) -> Self {
        PgBouncerOptions {
            server_round_robin: true,
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
    watchdog: Watchdog,
    port: u16,
    configuration: PathBuf,
}

impl PgBouncer {
    /// Starts PgBouncer in front of all databases of `cluster`.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start; the message says what to do.
    pub async fn start(cluster: &Cluster, options: PgBouncerOptions) -> PgBouncer {
        let watchdog = Watchdog::new("pgbouncer", STOP);
        let configuration = watchdog.directory().join("pgbouncer.ini");
        let mut pgbouncer = PgBouncer {
            watchdog,
            port: 0,
            configuration,
        };
        for _ in 0..3 {
            pgbouncer.port = free_port();
            pgbouncer.configure(cluster.info(), options);
            if pgbouncer.comes_up().await {
                return pgbouncer;
            }
        }
        panic!("PgBouncer did not start:\n{}", pgbouncer.log());
    }

    /// Returns the URL of `database` through PgBouncer, without TLS, which it does not offer.
    pub fn url(&self, database: &TestDatabase) -> String {
        database.url_at(self.port)
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it at once and ends all connections.
    pub async fn stop(&self) {
        self.watchdog.stop(STOP).await;
    }

    /// Starts it again after [`PgBouncer::stop`], on the same port.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn resume(&self) {
        assert!(
            self.comes_up().await,
            "PgBouncer did not start again:\n{}",
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

    /// Returns the directory with all of its files.
    pub fn directory(&self) -> &Path {
        self.watchdog.directory()
    }

    /// Returns what it has logged so far.
    pub fn log(&self) -> String {
        self.watchdog.log()
    }

    fn configure(&self, info: &ClusterInfo, options: PgBouncerOptions) {
        let users = self.configuration.with_file_name("users.txt");
        let roles = [(ROLE, &info.password), (SUPERUSER, &info.superuser_password)];
        let list = roles
            .map(|(role, password)| format!("\"{role}\" \"{password}\"\n"))
            .concat();
        let text = configuration(info.port, self.port, &users.display().to_string(), options);
        for (path, text) in [(&users, list), (&self.configuration, text)] {
            fs::write(path, text).expect("the directory was just made");
            self.watchdog.give_to_user(path);
        }
        if let Some(directory) = users.parent() {
            self.watchdog.give_to_user(directory);
        }
    }

    async fn comes_up(&self) -> bool {
        let seen = self.log().len();
        let command: [OsString; 2] = [binaries::pgbouncer().into(), self.configuration.clone().into()];
        self.watchdog.start(command.into()).await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            let log = self.log();
            let news = log.get(seen..).unwrap_or_default();
            // A connection attempt would count against `max_client_conn` for a while.
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
        // A socket would be a file outside of its directory.
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
    if options.server_round_robin {
        lines.push("server_round_robin = 1".to_owned());
    }
    let numbers = [
        ("default_pool_size", options.pool_size.map(u64::from)),
        ("max_client_conn", options.max_client_conn.map(u64::from)),
        (
            "query_wait_timeout",
            options.query_wait_timeout.map(|time| time.as_secs()),
        ),
    ];
    for (name, value) in numbers {
        lines.extend(value.map(|value| format!("{name} = {value}")));
    }
    lines.join("\n") + "\n"
}
