//! Opens the one connection of a run.

#![allow(
    clippy::disallowed_methods,
    reason = "a run has one connection of its own, which the reserve is for"
)]

use std::str::FromStr;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Database, Row};

use crate::Settings;

/// Where to connect.
pub(crate) enum Target {
    Postgres(Box<PgConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

impl Target {
    pub(crate) fn of(settings: &Settings) -> Result<Self, sqlx::Error> {
        let database = &settings.database;
        if database.url.is_postgres() {
            let options = berth_database::diagnostics::connect_options(database)?
                .application_name(&settings.application_name());
            Ok(Target::Postgres(Box::new(options)))
        } else {
            let options = SqliteConnectOptions::from_str(database.url.expose())?;
            // sqlx decodes percent signs in the path; the service takes the path as it is written.
            let options = match database.url.sqlite_file() {
                Some(file) => options.filename(file),
                None => options,
            };
            Ok(Target::Sqlite(Box::new(
                options.busy_timeout(settings.lock).disable_statement_logging(),
            )))
        }
    }
}

/// A PostgreSQL session that stays the same one to the end of the run.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) pool: PgPool,
    /// The backend that serves it.
    pub(crate) backend: i32,
}

impl Postgres {
    /// Connects, once.
    ///
    /// sqlx's pool would open another connection in place of a lost one. The lock is not on that
    /// one, so from here on the pool has nowhere left to connect to.
    pub(crate) async fn open(options: &PgConnectOptions, settings: &Settings) -> Result<Self, sqlx::Error> {
        let pool = pool_of_one(settings.database.connect_timeout).connect_lazy_with(options.clone());
        let row = match sqlx::raw_sql("select pg_backend_pid()").fetch_one(&pool).await {
            Err(sqlx::Error::PoolTimedOut) => {
                return Err(reason(options, settings.database.connect_timeout).await);
            }
            answer => answer?,
        };
        pool.set_connect_options(PgConnectOptions::new_without_pgpass().socket("/nonexistent"));
        Ok(Postgres {
            pool,
            backend: row.try_get(0)?,
        })
    }

    /// Limits what a change of the schema may cost the service.
    ///
    /// By statements, because poolers drop or refuse the startup parameter `options`; as text,
    /// because nothing may be prepared before a transaction pooler is ruled out.
    pub(crate) async fn set_up(&self, settings: &Settings) -> Result<(), sqlx::Error> {
        let sql = format!(
            "set lock_timeout = {}; set statement_timeout = {}; set idle_in_transaction_session_timeout = 60000",
            milliseconds(settings.lock),
            milliseconds(settings.statement)
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The connection as SeaORM wants it.
    pub(crate) fn sea_orm(&self) -> DatabaseConnection {
        SqlxPostgresConnector::from_sqlx_postgres_pool(self.pool.clone())
    }
}

/// Why there is no connection: sqlx's pool retries some failures by itself and keeps the answer to itself.
async fn reason(options: &PgConnectOptions, within: Duration) -> sqlx::Error {
    match tokio::time::timeout(within, options.connect()).await {
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => sqlx::Error::PoolTimedOut,
    }
}

/// Opens the SQLite file, making the folder for it.
pub(crate) async fn sqlite(
    options: &SqliteConnectOptions,
    settings: &Settings,
) -> Result<DatabaseConnection, sqlx::Error> {
    if let Some(folder) = options.get_filename().parent() {
        std::fs::create_dir_all(folder)?;
    }
    let pool = pool_of_one(settings.database.connect_timeout)
        .connect_with(options.clone())
        .await?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// One connection that no clock ends.
fn pool_of_one<DB: Database>(connect: Duration) -> PoolOptions<DB> {
    PoolOptions::new()
        .min_connections(0)
        .max_connections(1)
        .acquire_timeout(connect)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
}

/// At least one: PostgreSQL takes 0 for "no limit".
pub(crate) fn milliseconds(duration: Duration) -> u128 {
    duration.as_millis().max(1)
}
