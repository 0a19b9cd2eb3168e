//! A throwaway PostgreSQL cluster.

use std::env;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::sync::OnceCell;

use crate::binaries;
use crate::cluster_info::{Place, ROLE};
use crate::port::{free_port, random};
use crate::setup;
use crate::test_database::TestDatabase;
use crate::watchdog::Watchdog;

/// The environment variable by which `testkit-run` tells the tests where its cluster is.
pub const CLUSTER_VARIABLE: &str = "BERTH_TEST_CLUSTER";

/// What a cluster is started with.
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

    /// What the cluster that all tests share is started with.
    ///
    /// Room for the tests that run at once: 40 up to two cores, 20 more for each further one.
    pub fn for_all_tests() -> Self {
        let cores =
            thread::available_parallelism().map_or(2, |cores| u32::try_from(cores.get()).unwrap_or(2));
        ClusterOptions {
            max_connections: 20 * cores.max(2),
        }
    }
}

/// How a cluster is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are ended with 57P01, the data is kept in order.
    Fast,
    /// Like a crash: everything is dropped at once, the next start recovers.
    Immediate,
}

/// A PostgreSQL cluster of its own, stopped and removed when it is dropped or its process ends.
///
/// It listens on a free port of 127.0.0.1, asks for SCRAM passwords, offers TLS, and does without the safety
/// that disks need. Its server runs as the present user, or as `postgres` where that is root.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    guardian: Option<Watchdog>,
}

impl Cluster {
    /// Returns the cluster that all tests share: that of `testkit-run`, else one for this process.
    ///
    /// Only whoever has it to itself may stop a cluster, so tests of restarts use [`Cluster::start`].
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
    /// When PostgreSQL is not installed or does not come up; the message says what to do.
    pub async fn start(options: ClusterOptions) -> Cluster {
        let guardian = Watchdog::new("cluster", "QUIT");
        let directory = guardian.directory().to_owned();
        let [superuser_password, password] = [random(), random()].map(|number| format!("{number:016x}"));
        let place = Place {
            directory,
            port: free_port(),
            superuser_password,
            password,
        };

        setup::prepare(&place, &guardian);
        guardian.run(setup::initdb(&place)).await;
        setup::configure(&place, options);
        let mut cluster = Cluster {
            place,
            guardian: Some(guardian),
        };
        cluster.first_start().await;
        cluster.place.write();
        cluster
    }

    /// Makes an empty database for one test.
    pub async fn database(&self) -> TestDatabase {
        TestDatabase::create(&self.place, "template0").await
    }

    /// Makes a database for one test as a copy of a template, which the first caller of that name prepares.
    ///
    /// `setup` gets the URL of the template, once a run: for all processes of a `testkit-run`, else for this
    /// one. It must leave no connection open. A copy takes some 50 ms.
    pub async fn database_from<F: Future<Output = ()>>(
        &self,
        template: &str,
        setup: impl FnOnce(String) -> F,
    ) -> TestDatabase {
        TestDatabase::from_template(&self.place, template, setup).await
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// The URL of a database for the superuser, without TLS.
    pub fn admin_url(&self, database: &str) -> String {
        self.place.admin_url(database)
    }

    /// Opens a plain connection of the superuser to the database `postgres`.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    pub async fn admin(&self) -> PgConnection {
        connect(&self.place).await
    }

    /// The certificate of the authority that signed the server's own (for `localhost` and `127.0.0.1`).
    pub fn authority(&self) -> PathBuf {
        self.place.certificates().authority(true)
    }

    /// The certificate of an authority that signed nothing here: whoever trusts only it must not connect.
    pub fn strange_authority(&self) -> PathBuf {
        self.place.certificates().authority(false)
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
        self.guardian().stop(signal).await;
    }

    /// Starts the server again after [`Cluster::stop`], on the same port.
    ///
    /// # Panics
    ///
    /// As [`Cluster::stop`], and when it does not come up.
    pub async fn resume(&self) {
        assert!(
            self.comes_up().await,
            "PostgreSQL did not come up again:\n{}",
            self.guardian().log()
        );
    }

    /// What the server has logged so far.
    ///
    /// # Panics
    ///
    /// As [`Cluster::stop`].
    pub fn log(&self) -> String {
        self.guardian().log()
    }

    /// The directory that holds all of the cluster.
    pub fn directory(&self) -> &Path {
        &self.place.directory
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn of_the_run() -> Option<Cluster> {
        let directory = PathBuf::from(env::var_os(CLUSTER_VARIABLE)?);
        let place = Place::read(&directory);
        let place = place.unwrap_or_else(|| panic!("{CLUSTER_VARIABLE}={directory:?} holds no cluster"));
        Some(Cluster {
            place,
            guardian: None,
        })
    }

    fn guardian(&self) -> &Watchdog {
        self.guardian
            .as_ref()
            .expect("a cluster that is not shared with other processes")
    }

    /// Starts the server, on another port where somebody has taken the chosen one in the meantime.
    async fn first_start(&mut self) {
        for _ in 0..3 {
            if self.comes_up().await {
                let mut admin = self.admin().await;
                let create = format!("create role {ROLE} login password '{}'", self.place.password);
                admin
                    .execute(AssertSqlSafe(create))
                    .await
                    .expect("the role is new");
                admin
                    .close()
                    .await
                    .expect("a connection that works can be closed");
                return;
            }
            self.guardian().stop("QUIT").await;
            self.place.port = free_port();
        }
        panic!("PostgreSQL did not come up:\n{}", self.guardian().log());
    }

    async fn comes_up(&self) -> bool {
        let seen = self.guardian().log().len();
        let mut command = vec![binaries::postgres("postgres").into()];
        command.extend(["-D".into(), self.place.directory.join("data").into()]);
        command.extend(["-p".into(), self.place.port.to_string().into()]);
        self.guardian().start(command).await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if let Ok(connection) = self.place.admin_options("postgres").connect().await {
                return connection.close().await.is_ok();
            }
            let log = self.guardian().log();
            // "FATAL" alone is also what the log says of our own knocking while the server starts.
            if log
                .get(seen..)
                .is_some_and(|log| log.contains("could not create any TCP/IP sockets"))
            {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// Counts the sessions in the server that `condition`, a condition on `pg_stat_activity`, selects.
pub(crate) async fn count_backends(place: &Place, condition: &str) -> i64 {
    let mut admin = connect(place).await;
    let query = format!("select count(*) from pg_stat_activity where {condition}");
    let row = admin
        .fetch_one(AssertSqlSafe(query))
        .await
        .expect("a condition on pg_stat_activity");
    admin
        .close()
        .await
        .expect("a connection that works can be closed");
    row.get(0)
}

/// Opens a superuser's connection to the database `postgres`.
pub(crate) async fn connect(place: &Place) -> PgConnection {
    place
        .admin_options("postgres")
        .connect()
        .await
        .expect("the cluster runs and keeps connections for the superuser")
}
