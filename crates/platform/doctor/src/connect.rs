//! Connects, and retries while the server is full.

use std::time::{Duration, Instant};

use berth_database::diagnostics::{self, ConnectFailure};
use berth_database::{ConnectError, Settings};
use sqlx::postgres::PgConnection;

/// How long to retry after refusals: poolers release a closed connection with a delay.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that has answered a statement.
pub(crate) struct Connected {
    pub(crate) connection: PgConnection,
    /// The last refusal before it, and how long refusals lasted.
    pub(crate) refused: Option<(String, Duration)>,
}

/// Opens a connection; retries while it is refused because the server is full.
pub(crate) async fn connect(settings: &Settings) -> Result<Connected, ConnectFailure> {
    let start = Instant::now();
    let mut refused = None;
    loop {
        match once(settings, TIMEOUT).await {
            Ok(connection) => return Ok(Connected { connection, refused }),
            Err(failure) if failure.error.is_full() && start.elapsed() < TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                refused = Some((failure.message, start.elapsed()));
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Makes one attempt, and runs a first statement: a full PgBouncer accepts the login and lets the statement wait, which
/// counts as a refusal.
pub(crate) async fn once(settings: &Settings, within: Duration) -> Result<PgConnection, ConnectFailure> {
    let mut connection = diagnostics::connect(settings).await?;
    let statement = sqlx::raw_sql("SELECT 1").execute(&mut connection);
    match tokio::time::timeout(within, statement).await {
        Ok(answer) => answer.map(|_| connection).map_err(ConnectFailure::from),
        Err(_) => Err(ConnectFailure {
            error: ConnectError::FULL,
            message: "the login succeeded, but no server connection became free".to_owned(),
        }),
    }
}
