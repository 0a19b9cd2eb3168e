//! A database for one test.

use std::thread;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use crate::cluster::{connect, count_backends};
use crate::cluster_info::{Place, ROLE};
use crate::port::random;

/// A database of its own, dropped with everybody who is connected when this value is.
#[derive(Debug)]
pub struct TestDatabase {
    place: Place,
    name: String,
}

impl TestDatabase {
    pub(crate) async fn create(place: &Place, template: &str) -> TestDatabase {
        let name = format!("test_{:016x}", random());
        let mut admin = connect(place).await;
        let strategy = quickest_copy(&mut admin).await;
        let create = format!("create database {name} template {template} owner {ROLE} {strategy}");
        execute(&mut admin, create).await;
        close(admin).await;
        TestDatabase {
            place: place.clone(),
            name,
        }
    }

    pub(crate) async fn from_template<F: Future<Output = ()>>(
        place: &Place,
        template: &str,
        setup: impl FnOnce(String) -> F,
    ) -> TestDatabase {
        let template = format!("template_{template}");
        prepare_template(place, &template, setup).await;
        TestDatabase::create(place, &format!("\"{template}\"")).await
    }

    /// The URL for the application's role, which owns the database; straight to the server, without TLS.
    pub fn url(&self) -> String {
        self.place.url(self.place.port, &self.name)
    }

    /// The URL by way of another port of 127.0.0.1 (a limiter's, a pooler's), without TLS.
    pub fn url_at(&self, port: u16) -> String {
        self.place.url(port, &self.name)
    }

    /// The URL by way of `port` with other parameters, such as `sslmode=verify-full&sslrootcert=...`.
    pub fn url_with(&self, port: u16, parameters: &str) -> String {
        self.url_at(port).replace("sslmode=disable", parameters)
    }

    /// The URL for the superuser, straight to the server, without TLS.
    pub fn admin_url(&self) -> String {
        self.place.admin_url(&self.name)
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the application's role.
    pub fn role(&self) -> &str {
        ROLE
    }

    /// The password of the application's role.
    pub fn password(&self) -> &str {
        &self.place.password
    }

    /// The port of the server itself.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Opens a plain connection of the superuser to this database.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    pub async fn admin(&self) -> PgConnection {
        self.place
            .admin_options(&self.name)
            .connect()
            .await
            .expect("the cluster keeps connections for the superuser")
    }

    /// Counts the sessions that the application's role has in this database.
    pub async fn backends(&self) -> i64 {
        self.count_backends("true").await
    }

    /// Counts those of them that `condition`, a condition on `pg_stat_activity`, selects.
    ///
    /// # Panics
    ///
    /// When the condition is no SQL.
    pub async fn count_backends(&self, condition: &str) -> i64 {
        count_backends(&self.place, &format!("{} and ({condition})", self.ours())).await
    }

    /// Terminates every session of the application's role in this database, and returns how many.
    pub async fn terminate_all(&self) -> i64 {
        // `and` promises no order: alone, it would terminate other tests' sessions as well.
        let condition = format!(
            "case when {} then pg_terminate_backend(pid) else false end",
            self.ours()
        );
        count_backends(&self.place, &condition).await
    }

    /// Lets the application's role open no more than `limit` connections to this database: the server itself
    /// answers the next with 53300.
    pub async fn limit_connections(&self, limit: u32) {
        let mut admin = connect(&self.place).await;
        execute(
            &mut admin,
            format!("alter database {} connection limit {limit}", self.name),
        )
        .await;
        close(admin).await;
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn ours(&self) -> String {
        format!("datname = '{}' and usename = '{ROLE}'", self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let TestDatabase { place, name } = self;
        // A thread with a runtime of its own: this one may be busy, or gone.
        let dropped = thread::scope(|scope| scope.spawn(|| drop_database(place, name)).join());
        // A cluster that has been stopped takes its databases along.
        drop(dropped);
    }
}

fn drop_database(place: &Place, name: &str) -> Option<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async {
        let mut admin = place.admin_options("postgres").connect().await.ok()?;
        let statement = format!("drop database if exists {name} with (force)");
        admin.execute(AssertSqlSafe(statement)).await.ok()?;
        admin.close().await.ok()
    })
}

/// Prepares the template unless that has been done; the others wait at an advisory lock.
async fn prepare_template<F: Future<Output = ()>>(
    place: &Place,
    name: &str,
    setup: impl FnOnce(String) -> F,
) {
    let mut admin = connect(place).await;
    execute(&mut admin, format!("select pg_advisory_lock(hashtext('{name}'))")).await;
    let done = format!("select from pg_database where datname = '{name}' and datistemplate");
    let done = admin
        .fetch_optional(AssertSqlSafe(done))
        .await
        .expect("the catalogue can be read");
    if done.is_none() {
        // One that is there without the mark was left half-way by a set-up that failed.
        execute(
            &mut admin,
            format!("drop database if exists \"{name}\" with (force)"),
        )
        .await;
        execute(
            &mut admin,
            format!("create database \"{name}\" template template0 owner {ROLE}"),
        )
        .await;
        setup(place.url(place.port, name)).await;
        execute(
            &mut admin,
            format!("alter database \"{name}\" with is_template true allow_connections false"),
        )
        .await;
        let stragglers =
            format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
        execute(&mut admin, stragglers).await;
    }
    // Closing gives the lock back.
    close(admin).await;
}

/// Copying files takes half the time of copying through the log; before version 15 nothing else was known.
async fn quickest_copy(admin: &mut PgConnection) -> &'static str {
    let query = "select current_setting('server_version_num')::int >= 150000";
    let row = admin
        .fetch_one(query)
        .await
        .expect("every server knows its version");
    if row.get(0) { "strategy file_copy" } else { "" }
}

async fn execute(admin: &mut PgConnection, statement: String) {
    let result = admin.execute(AssertSqlSafe(statement.clone())).await;
    result.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn close(admin: PgConnection) {
    admin
        .close()
        .await
        .expect("a connection that works can be closed");
}
