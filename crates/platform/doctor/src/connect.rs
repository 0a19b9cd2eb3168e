//! Connects, and retries while the server is full.

use std::time::{Duration, Instant};

use berth_database::ConnectError;
use berth_database::Settings;
use berth_database::diagnostics::{ConnectFailure, bare};
use sqlx::postgres::PgConnection;

/// How long refusals are waited out: a connection that was just closed is often free only a moment later.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that serves statements, and how long refusals kept it waiting.
pub(crate) struct Connected {
    pub(crate) connection: PgConnection,
    pub(crate) refused_for: Option<Duration>,
}

/// Opens a plain connection and runs a first statement, which is what a full PgBouncer lets wait.
pub(crate) async fn connect(
    settings: &Settings,
    options: &[(&str, &str)],
) -> Result<Connected, ConnectFailure> {
    let start = Instant::now();
    let mut refused_for = None;
    loop {
        let attempt = once(settings, options).await;
        match attempt {
            Ok(connection) => {
                return Ok(Connected {
                    connection,
                    refused_for,
                });
            }
            Err(failure) if failure.error.is_full() && start.elapsed() < TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                refused_for = Some(start.elapsed());
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// One attempt. A first statement without an answer counts as a refusal.
pub(crate) async fn once(
    settings: &Settings,
    options: &[(&str, &str)],
) -> Result<PgConnection, ConnectFailure> {
    let mut connection = bare(settings, options).await?;
    let statement = sqlx::raw_sql("SELECT 1").execute(&mut connection);
    match tokio::time::timeout(TIMEOUT, statement).await {
        Ok(answer) => answer.map(|_| connection).map_err(ConnectFailure::from),
        Err(_) => Err(ConnectFailure {
            error: ConnectError::FULL,
            message: "the login succeeded, but no server connection became free".to_owned(),
        }),
    }
}
