//! Address and passwords of a running cluster: all that another process needs to use it.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

use crate::certificates::Certificates;

/// The superuser of a cluster.
pub(crate) const SUPERUSER: &str = "postgres";
/// The role that owns the databases of tests; an ordinary one, as an application's is.
pub(crate) const ROLE: &str = "app";

/// Address and passwords of a running cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterInfo {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) superuser_password: String,
    pub(crate) password: String,
}

impl ClusterInfo {
    /// Reads what [`ClusterInfo::write`] wrote into `directory`.
    pub(crate) fn read(directory: &Path) -> Option<ClusterInfo> {
        let text = fs::read_to_string(directory.join("description")).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        Some(ClusterInfo {
            directory: directory.to_owned(),
            port: lines.next()?.parse().ok()?,
            superuser_password: lines.next()?,
            password: lines.next()?,
        })
    }

    /// Writes itself for other processes of the same user.
    pub(crate) fn write(&self) {
        let text = format!("{}\n{}\n{}\n", self.port, self.superuser_password, self.password);
        fs::write(self.directory.join("description"), text).expect("the cluster's directory can be written");
    }

    /// Returns the URL of `database` at `port` for the application's role, without TLS.
    pub(crate) fn url(&self, port: u16, database: &str) -> String {
        let password = &self.password;
        format!("postgres://{ROLE}:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Returns sqlx's options for the superuser.
    ///
    /// They name the Unix socket, which asks for no password: hashing one takes long in a debug build.
    pub(crate) fn admin_options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket_folder())
            .port(self.port)
            .username(SUPERUSER)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .application_name("testkit")
    }

    /// Opens a connection of the superuser to `database`.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        let connected = self.admin_options(database).connect().await;
        connected.expect("the cluster runs and keeps connections for the superuser")
    }

    /// Executes a statement as the superuser, on a connection of its own.
    pub(crate) async fn execute(&self, statement: String) {
        execute(&mut self.connect("postgres").await, statement).await;
    }

    /// Counts the backends that `condition`, a condition on `pg_stat_activity`, selects.
    pub(crate) async fn count_backends(&self, condition: &str) -> i64 {
        let query = format!("select count(*) from pg_stat_activity where {condition}");
        let row = self
            .connect("postgres")
            .await
            .fetch_one(AssertSqlSafe(query))
            .await;
        row.expect("a condition on pg_stat_activity").get(0)
    }

    /// Returns the folder of the Unix socket, which asks for no password.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Returns the certificates of the cluster.
    pub(crate) fn certificates(&self) -> Certificates {
        Certificates {
            folder: self.directory.join("tls"),
        }
    }
}

/// Executes a statement.
pub(crate) async fn execute(admin: &mut PgConnection, statement: String) {
    let result = admin.execute(AssertSqlSafe(statement.clone())).await;
    result.unwrap_or_else(|error| panic!("{statement}: {error}"));
}
