//! A database for one test.

use std::thread;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use crate::cluster_info::{ClusterInfo, ROLE, execute};
use crate::port::random;

/// A database of its own. Dropping this value drops it and ends all connections to it.
#[derive(Debug)]
pub struct TestDatabase {
    info: ClusterInfo,
    name: String,
}

impl TestDatabase {
    pub(crate) async fn create(info: &ClusterInfo, template: &str) -> TestDatabase {
        let name = format!("test_{:016x}", random());
        let mut admin = info.connect("postgres").await;
        let strategy = fastest_copy(&mut admin).await;
        let create = format!("create database {name} template {template} owner {ROLE} {strategy}");
        execute(&mut admin, create).await;
        TestDatabase {
            info: info.clone(),
            name,
        }
    }

    pub(crate) async fn from_template<F: Future<Output = ()>>(
        info: &ClusterInfo,
        template: &str,
        setup: impl FnOnce(String) -> F,
    ) -> TestDatabase {
        let template = format!("template_{template}");
        prepare_template(info, &template, setup).await;
        TestDatabase::create(info, &format!("\"{template}\"")).await
    }

    /// Returns the URL for the application's role, which owns the database; direct to the server, without TLS.
    pub fn url(&self) -> String {
        self.url_at(self.port())
    }

    /// Returns the URL through another port of 127.0.0.1 (a limiter's, a pooler's), without TLS.
    pub fn url_at(&self, port: u16) -> String {
        self.info.url(port, &self.name)
    }

    /// Returns the URL through `port` with other parameters, such as `sslmode=verify-full&sslrootcert=...`.
    pub fn url_with(&self, port: u16, parameters: &str) -> String {
        self.url_at(port).replace("sslmode=disable", parameters)
    }

    /// Returns the name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the application's role.
    pub fn role(&self) -> &str {
        ROLE
    }

    /// Returns the password of the application's role.
    pub fn password(&self) -> &str {
        &self.info.password
    }

    /// Returns the port of the server itself.
    pub fn port(&self) -> u16 {
        self.info.port
    }

    /// Opens a plain connection of the superuser to this database.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    pub async fn admin(&self) -> PgConnection {
        self.info.connect(&self.name).await
    }

    /// Counts the backends that the application's role has in this database.
    pub async fn backends(&self) -> i64 {
        self.count_backends("true").await
    }

    /// Counts those of them that `condition`, a condition on `pg_stat_activity`, selects.
    ///
    /// # Panics
    ///
    /// When the condition is not SQL.
    pub async fn count_backends(&self, condition: &str) -> i64 {
        let condition = format!("{} and ({condition})", self.ours());
        self.info.count_backends(&condition).await
    }

    /// Terminates every backend of the application's role in this database, and returns how many.
    pub async fn terminate_all(&self) -> i64 {
        // `and` promises no order: alone, it could terminate the backends of other tests.
        let ours = self.ours();
        let condition = format!("case when {ours} then pg_terminate_backend(pid) else false end");
        self.info.count_backends(&condition).await
    }

    /// Sets how many connections the application's role may have to this database: the server answers the next
    /// one with 53300.
    pub async fn limit_connections(&self, limit: u32) {
        let statement = format!("alter database {} connection limit {limit}", self.name);
        self.info.execute(statement).await;
    }

    pub(crate) fn info(&self) -> &ClusterInfo {
        &self.info
    }

    pub(crate) fn ours(&self) -> String {
        format!("datname = '{}' and usename = '{ROLE}'", self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let TestDatabase { info, name } = self;
        // A thread with a runtime of its own: this one may be busy, or gone.
        let dropped = thread::scope(|scope| scope.spawn(|| drop_database(info, name)).join());
        // It fails when the cluster has been stopped, which removes its databases as well.
        drop(dropped);
    }
}

fn drop_database(info: &ClusterInfo, name: &str) -> Option<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().ok()?.block_on(async {
        let mut admin = info.admin_options("postgres").connect().await.ok()?;
        let statement = format!("drop database if exists {name} with (force)");
        admin.execute(AssertSqlSafe(statement)).await.ok()?;
        admin.close().await.ok()
    })
}

/// Prepares the template unless that has been done; other callers wait at an advisory lock.
async fn prepare_template<F: Future<Output = ()>>(
    info: &ClusterInfo,
    name: &str,
    setup: impl FnOnce(String) -> F,
) {
    let mut admin = info.connect("postgres").await;
    let lock = format!("select pg_advisory_lock(hashtext('{name}'))");
    execute(&mut admin, lock).await;
    let done = format!("select from pg_database where datname = '{name}' and datistemplate");
    let done = admin.fetch_optional(AssertSqlSafe(done)).await;
    if done.expect("the catalogue can be read").is_none() {
        // A database that is there without the mark is the remainder of a set-up that failed.
        let drop = format!("drop database if exists \"{name}\" with (force)");
        execute(&mut admin, drop).await;
        let create = format!("create database \"{name}\" template template0 owner {ROLE}");
        execute(&mut admin, create).await;
        setup(info.url(info.port, name)).await;
        let seal = format!("alter database \"{name}\" with is_template true allow_connections false");
        execute(&mut admin, seal).await;
        let remaining = format!("case when datname = '{name}' then pg_terminate_backend(pid) else false end");
        info.count_backends(&remaining).await;
    }
    let closed = admin.close().await;
    closed.expect("closing the connection releases the lock");
}

/// Copying files takes half the time of copying through the log; versions before 15 have no choice.
async fn fastest_copy(admin: &mut PgConnection) -> &'static str {
    let query = "select current_setting('server_version_num')::int >= 150000";
    let row = admin.fetch_one(query).await;
    if row.expect("every server knows its version").get(0) {
        "strategy file_copy"
    } else {
        ""
    }
}
