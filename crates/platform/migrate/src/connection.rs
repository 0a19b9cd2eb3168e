//! The one connection of a run.

use std::time::Duration;

use berth_database::{ConnectErrorKind, Pooler, PoolerMode, connect_error::classify, diagnostics};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use sqlx::{PgPool, Row};

use crate::backoff::Backoff;
use crate::{Error, Settings};

/// A PostgreSQL session that stays the same one to the end of the run.
///
/// The lock belongs to the session, so the connection is never replaced by another one.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) connection: DatabaseConnection,
    /// The same connection, for plain SQL: nothing may be prepared before a transaction pooler is ruled out.
    pub(crate) pool: PgPool,
    /// The backend that serves it.
    pub(crate) backend: i32,
}

impl Postgres {
    /// Connects; retries while the server is full or does not answer.
    pub(crate) async fn reach(settings: &Settings, backoff: &mut Backoff) -> Result<Self, Error> {
        if settings.database.pooler == Pooler::Transaction {
            return Err(Error::TransactionPooler);
        }
        loop {
            let error = match Self::open(settings).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            match classify(&error).kind {
                ConnectErrorKind::Full | ConnectErrorKind::Banned(_) if backoff.fits(settings.wait) => {
                    tracing::info!(error = %error, "waiting for the database to admit another connection");
                }
                ConnectErrorKind::Unreachable if backoff.fits(settings.reach) => {
                    tracing::info!(error = %error, "waiting for the database to answer");
                }
                ConnectErrorKind::Full | ConnectErrorKind::Banned(_) => {
                    return Err(Error::Full {
                        waited: backoff.waited(),
                        last: error,
                    });
                }
                ConnectErrorKind::Unreachable | ConnectErrorKind::Permanent | ConnectErrorKind::Cancelled => {
                    return Err(Error::Connect(error));
                }
            }
            backoff.pause().await;
        }
    }

    async fn open(settings: &Settings) -> Result<Self, sqlx::Error> {
        let connection = open(settings).await?;
        let pool = connection.get_postgres_connection_pool().clone();
        let row = sqlx::raw_sql("select pg_backend_pid()").fetch_one(&pool).await?;
        Ok(Postgres {
            connection,
            pool,
            backend: row.try_get(0)?,
        })
    }

    /// Refuses a transaction pooler, where the lock would stay on another client's server connection.
    ///
    /// Where the mode cannot be found out, the run goes on: the checks around each migration notice a changed backend.
    pub(crate) async fn refuse_transaction_pooler(&self, settings: &Settings) -> Result<(), Error> {
        let mode = async {
            let mut connection = self.pool.acquire().await?;
            diagnostics::pooler_mode(&settings.database, &mut connection).await
        };
        match mode.await.map_err(Error::Connect)? {
            PoolerMode::Transaction => Err(Error::TransactionPooler),
            PoolerMode::Unknown | PoolerMode::Session | PoolerMode::Direct => Ok(()),
        }
    }

    /// Limits what a change of the schema may cost the service, and leaves out the server's notices: SeaORM causes one at
    /// each of its steps ("relation already exists, skipping").
    ///
    /// By statements, because poolers drop or refuse the startup parameter `options`.
    pub(crate) async fn set_up(&self, settings: &Settings) -> Result<(), sqlx::Error> {
        let sql = format!(
            "set lock_timeout = {}; set statement_timeout = {}; set idle_in_transaction_session_timeout = 60000; \
             set client_min_messages = warning",
            milliseconds(settings.lock),
            milliseconds(settings.statement)
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Opens the SQLite file, creating it and its folder where they are missing.
pub(crate) async fn sqlite(settings: &Settings) -> Result<DatabaseConnection, Error> {
    let connection = open(settings).await.map_err(Error::Connect)?;
    let sql = format!("pragma busy_timeout = {}", milliseconds(settings.lock));
    connection.execute_unprepared(&sql).await?;
    Ok(connection)
}

async fn open(settings: &Settings) -> Result<DatabaseConnection, sqlx::Error> {
    let name = format!("{}-migrate", settings.database.application_name);
    diagnostics::connect_for_sea_orm(&settings.database, &name).await
}

/// At least one: PostgreSQL takes 0 for "no limit".
pub(crate) fn milliseconds(duration: Duration) -> u128 {
    duration.as_millis().max(1)
}
