//! Rejects transaction poolers, where the lock would stay on another client's server connection.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};

use crate::connection::Postgres;
use crate::{Error, Settings};

/// How long the experiment may take. At a full pooler it says nothing, and must not hold things up.
const EXPERIMENT: Duration = Duration::from_secs(2);

/// Refuses what the settings call a transaction pooler, or what listens on Supabase's port for one,
/// before anything connects.
pub(crate) fn refuse_by_settings(options: &PgConnectOptions, settings: &Settings) -> Result<(), Error> {
    match settings.is_transaction_pooler() {
        true => Err(Error::TransactionPooler {
            port: options.get_port(),
        }),
        false => Ok(()),
    }
}

/// Refuses a pooler that lets two clients meet the same backend.
///
/// The session's own backend is idle now, so a transaction pooler hands it to the second client, or
/// another one to the session when that asks again. Where the second client gets no connection in
/// time the answer is open; the checks around each migration still notice a changed backend.
pub(crate) async fn refuse_by_experiment(
    session: &Postgres,
    options: &PgConnectOptions,
) -> Result<(), Error> {
    let Ok(Some(other)) = tokio::time::timeout(EXPERIMENT, backend_of_another(options)).await else {
        return Ok(());
    };
    let again = sqlx::raw_sql("select pg_backend_pid()")
        .fetch_one(&session.pool)
        .await;
    let again: i32 = again.and_then(|row| row.try_get(0)).map_err(Error::Connect)?;
    if other == session.backend || again != session.backend {
        return Err(Error::TransactionPooler {
            port: options.get_port(),
        });
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a second connection of the run, which the reserve is for"
)]
async fn backend_of_another(options: &PgConnectOptions) -> Option<i32> {
    let mut other: PgConnection = options.connect().await.ok()?;
    // The transaction keeps the backend away from the session, which is asked next.
    let rows = sqlx::raw_sql("begin; select pg_backend_pid()")
        .fetch_all(&mut other)
        .await
        .ok()?;
    let backend = rows.first()?.try_get(0).ok();
    let _closed = other.close().await;
    backend
}
