//! A throwaway PostgreSQL cluster.

use std::env;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::OnceCell;

use crate::binaries::postgres_program;
use crate::certificates::Certificate;
use crate::cluster_info::{ClusterInfo, ROLE};
use crate::port::{free_port, random};
use crate::setup;
use crate::test_database::TestDatabase;
use crate::watchdog::Watchdog;

/// The environment variable with which `testkit-run` passes the directory of its cluster to the tests.
pub const CLUSTER_VARIABLE: &str = "BERTH_TEST_CLUSTER";

/// Options of a cluster.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// PostgreSQL's `max_connections`; three of them are kept for the superuser. Default: 40.
    pub max_connections: u32,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions { max_connections: 40 }
    }
}

impl ClusterOptions {
    /// Sets PostgreSQL's `max_connections`, at least 5.
    pub fn max_connections(self, max_connections: u32) -> Self {
        ClusterOptions { max_connections }
    }

    /// Returns the options of the cluster that all tests share: 20 connections for each core, at least 40.
    pub fn for_all_tests() -> Self {
        let cores = thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        ClusterOptions {
            max_connections: u32::try_from(20 * cores).unwrap_or(40),
        }
    }
}

/// How a cluster is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Ends sessions with 57P01 and writes the data.
    Fast,
    /// Ends everything at once, as a crash does; the next start recovers.
    Immediate,
}

/// A PostgreSQL cluster of its own, stopped and removed when it is dropped or its process ends.
///
/// It listens on a free port of 127.0.0.1, asks for SCRAM passwords, offers TLS, and does not wait for disks. Its
/// server runs as the present user, or as `postgres` where that is root.
#[derive(Debug)]
pub struct Cluster {
    info: ClusterInfo,
    watchdog: Option<Watchdog>,
}

impl Cluster {
    /// Returns the cluster that all tests share: that of `testkit-run`, else one for this process.
    ///
    /// Other tests use it at the same time, so tests of restarts use [`Cluster::start`].
    pub async fn shared() -> &'static Cluster {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        let start = async || match Cluster::of_the_run() {
            Some(cluster) => cluster,
            None => Cluster::start(ClusterOptions::for_all_tests()).await,
        };
        SHARED.get_or_init(start).await
    }

    /// Starts a cluster, which takes about two seconds.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed or does not start; the message says what to do.
    pub async fn start(options: ClusterOptions) -> Cluster {
        let watchdog = Watchdog::new("cluster", "QUIT");
        let info = ClusterInfo {
            directory: watchdog.directory().to_owned(),
            port: free_port(),
            superuser_password: format!("{:016x}", random()),
            password: format!("{:016x}", random()),
        };
        setup::prepare(&info, &watchdog);
        watchdog.run(setup::initdb(&info)).await;
        setup::configure(&info, options);
        let mut cluster = Cluster {
            info,
            watchdog: Some(watchdog),
        };
        cluster.first_start().await;
        cluster.info.write();
        cluster
    }

    /// Makes an empty database for one test.
    pub async fn database(&self) -> TestDatabase {
        TestDatabase::create(&self.info, "template0").await
    }

    /// Makes a database for one test as a copy of a template, which the first caller of that name prepares.
    ///
    /// `setup` receives the URL of the template, once for all processes of a `testkit-run`, else once for this
    /// one. It must leave no connection open. A copy takes some 50 ms.
    pub async fn database_from<F: Future<Output = ()>>(
        &self,
        template: &str,
        setup: impl FnOnce(String) -> F,
    ) -> TestDatabase {
        TestDatabase::from_template(&self.info, template, setup).await
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.info.port
    }

    /// Opens a plain connection of the superuser to the database `postgres`.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    pub async fn admin(&self) -> PgConnection {
        self.info.connect("postgres").await
    }

    /// Returns the certificate of the authority that signed the server's own (for `localhost` and `127.0.0.1`).
    pub fn authority(&self) -> PathBuf {
        self.info.certificates().authority(Certificate::Trusted)
    }

    /// Returns the certificate of an authority that signed nothing here: a client that trusts only this one
    /// must not connect.
    pub fn untrusted_authority(&self) -> PathBuf {
        self.info.certificates().authority(Certificate::Untrusted)
    }

    /// Stops the server.
    ///
    /// # Panics
    ///
    /// When the cluster is that of `testkit-run`, which other tests use.
    pub async fn stop(&self, how: Shutdown) {
        let signal = match how {
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
        };
        self.watchdog().stop(signal).await;
    }

    /// Starts the server again after [`Cluster::stop`], on the same port.
    ///
    /// # Panics
    ///
    /// As [`Cluster::stop`], and when it does not start.
    pub async fn resume(&self) {
        assert!(
            self.comes_up().await,
            "PostgreSQL did not start again:\n{}",
            self.log()
        );
    }

    /// Returns what the server has logged so far.
    ///
    /// # Panics
    ///
    /// As [`Cluster::stop`].
    pub fn log(&self) -> String {
        self.watchdog().log()
    }

    /// Returns the directory with all files of the cluster.
    pub fn directory(&self) -> &Path {
        &self.info.directory
    }

    pub(crate) fn info(&self) -> &ClusterInfo {
        &self.info
    }

    fn of_the_run() -> Option<Cluster> {
        let directory = PathBuf::from(env::var_os(CLUSTER_VARIABLE)?);
        let info = ClusterInfo::read(&directory);
        let info = info.unwrap_or_else(|| panic!("{CLUSTER_VARIABLE}={directory:?} holds no cluster"));
        Some(Cluster { info, watchdog: None })
    }

    fn watchdog(&self) -> &Watchdog {
        let watchdog = self.watchdog.as_ref();
        watchdog.expect("a cluster that is not shared with other processes")
    }

    /// Starts the server, on another port if the chosen one has been taken in the meantime.
    async fn first_start(&mut self) {
        for _ in 0..3 {
            if self.comes_up().await {
                let password = &self.info.password;
                let create = format!("create role {ROLE} login password '{password}'");
                return self.info.execute(create).await;
            }
            self.watchdog().stop("QUIT").await;
            self.info.port = free_port();
        }
        panic!("PostgreSQL did not start:\n{}", self.log());
    }

    async fn comes_up(&self) -> bool {
        let seen = self.log().len();
        let mut command = vec![postgres_program("postgres").into()];
        command.extend(["-D".into(), self.info.directory.join("data").into()]);
        command.extend(["-p".into(), self.info.port.to_string().into()]);
        self.watchdog().start(command).await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if let Ok(connection) = self.info.admin_options("postgres").connect().await {
                return connection.close().await.is_ok();
            }
            // "FATAL" alone is also logged for these connection attempts while the server starts.
            let log = self.log();
            let log = log.get(seen..).unwrap_or_default();
            if log.contains("could not create any TCP/IP sockets") {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}
