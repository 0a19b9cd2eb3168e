//! Diagnostics: single connections that examine a server or change its schema.
//!
//! They are outside every pool's share, so they come out of the reserve: open few, and close them soon.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::DatabaseConnection;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgSslMode};

use crate::connect::connect_error::{ConnectError, Reason, answer, classify};
use crate::connect::connector::{Connection, Connector, Opened, connect_sqlite_pool};
use crate::connect::instances::{InstanceName, ShareBudget};
use crate::connect::login::Login;
use crate::connect::pooler_mode::detect_for_tool;
use crate::settings::{PoolerMode, Settings};

/// Why a connection could not be opened, with the text of the answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectFailure {
    /// What it means for the next attempt.
    pub error: ConnectError,
    /// The text of the driver, pooler or server. For operators; may name hosts and users.
    pub message: String,
}

/// How much of TLS the settings ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tls {
    /// Nothing is encrypted, and nothing leaves this machine.
    Local,
    /// Nothing is encrypted.
    Off,
    /// Encrypted where the server offers it, and silently unencrypted where it does not.
    IfOffered,
    /// Encrypted, or no connection; the server is not verified.
    Required,
    /// Encrypted, and the certificate leads to a trusted authority.
    Verified,
}

/// Opens one connection exactly as a pool does, its set-up included.
///
/// # Errors
/// [`ConnectFailure`] after one attempt: nothing is retried. Where the login passes and the set-up gets no
/// answer in time, a pooler's pool is full, and the class says so.
///
/// # Cancel safety
/// Dropping the future closes the socket, which the server detects.
pub async fn open(settings: &Settings) -> Result<PgConnection, ConnectFailure> {
    let instance_name = InstanceName::new(settings);
    let connector = Connector::new(settings, instance_name.as_ref()).map_err(ConnectFailure::from)?;
    let logged_in = AtomicBool::new(false);
    let opening = connector.open(|| logged_in.store(true, Ordering::Relaxed));
    match tokio::time::timeout(settings.connect_timeout, opening).await {
        Ok(opened) => plain(opened?),
        Err(_) if logged_in.load(Ordering::Relaxed) => Err(ConnectFailure::waits(settings.connect_timeout)),
        Err(_) => Err(ConnectFailure::silent(settings.connect_timeout)),
    }
}

/// Opens one connection without any set-up.
///
/// # Errors
/// [`ConnectFailure`] after one attempt.
///
/// # Cancel safety
/// Dropping the future closes the socket, which the server detects.
pub async fn connect(settings: &Settings) -> Result<PgConnection, ConnectFailure> {
    let login = Login::new(settings)?;
    match tokio::time::timeout(settings.connect_timeout, login.connect()).await {
        Ok(opened) => {
            let (connection, relay) = opened?;
            relay.detach();
            Ok(connection)
        }
        Err(_) => Err(ConnectFailure::silent(settings.connect_timeout)),
    }
}

/// Opens one connection in the form that SeaORM takes, under this name in the server's activity view. No other
/// connection ever replaces it. A SQLite file is created where it is missing.
///
/// # Errors
/// sqlx's own after one attempt, for [`classify`].
///
/// # Cancel safety
/// As [`connect`].
pub async fn connect_for_sea_orm(
    settings: &Settings,
    application_name: &str,
) -> Result<DatabaseConnection, sqlx::Error> {
    if let Some(file) = settings.url.sqlite_file() {
        return connect_sqlite_pool(settings, file).await;
    }
    let login = Login::new(settings)?.application_name(application_name);
    let (connection, relay) = login.connect_for_sea_orm().await?;
    relay.detach();
    Ok(connection)
}

/// Finds out the pooler's mode by experiment, whatever the settings say: as a pool does, over a connection on which
/// nothing has been set, with a second one beside it for a moment.
///
/// # Errors
/// The connection is lost.
///
/// # Cancel safety
/// Dropping the future drops the second socket, and leaves the connection in an unknown state.
pub async fn pooler_mode(
    settings: &Settings,
    connection: &mut PgConnection,
) -> Result<PoolerMode, sqlx::Error> {
    detect_for_tool(&Login::new(settings)?, connection).await
}

/// Names the invalid indexes that no statement is building: what a failed `CREATE INDEX CONCURRENTLY` leaves behind.
///
/// # Errors
/// The server's own.
pub async fn invalid_indexes(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let sql = "SELECT indexrelid::regclass::text FROM pg_catalog.pg_index WHERE NOT indisvalid AND NOT EXISTS \
               (SELECT FROM pg_catalog.pg_stat_progress_create_index WHERE index_relid = indexrelid) ORDER BY 1";
    let rows = sqlx::raw_sql(sql).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Returns how much of TLS the settings ask for.
///
/// # Errors
/// [`ConnectFailure`] where the URL does not lead to PostgreSQL.
pub fn tls(settings: &Settings) -> Result<Tls, ConnectFailure> {
    Ok(match Login::new(settings)?.ssl_mode() {
        // sqlx encrypts nothing with `allow`.
        PgSslMode::Disable | PgSslMode::Allow if settings.url.is_local() => Tls::Local,
        PgSslMode::Disable | PgSslMode::Allow => Tls::Off,
        PgSslMode::Prefer => Tls::IfOffered,
        PgSslMode::Require => Tls::Required,
        PgSslMode::VerifyCa | PgSslMode::VerifyFull => Tls::Verified,
    })
}

/// Returns how many connections each of so many instances may hold, by the rule that the pools follow.
pub fn share(settings: &Settings, instances: u32) -> usize {
    ShareBudget::new(settings).share(instances)
}

fn plain(opened: Opened) -> Result<PgConnection, ConnectFailure> {
    match opened.connection {
        Connection::Postgres(connection, _) => {
            opened.relay.detach();
            Ok(connection)
        }
        Connection::Sqlite(_) => Err(ConnectFailure {
            error: ConnectError::permanent(Reason::Settings),
            message: "the URL leads to SQLite".to_owned(),
        }),
    }
}

impl ConnectFailure {
    fn silent(after: Duration) -> Self {
        Self {
            error: ConnectError::unreachable(Reason::NoAnswer),
            message: format!("no answer within {} s", after.as_secs_f64()),
        }
    }

    fn waits(after: Duration) -> Self {
        let seconds = after.as_secs_f64();
        Self {
            error: ConnectError::FULL,
            message: format!("the login passed, and no server connection became free within {seconds} s"),
        }
    }
}

impl From<sqlx::Error> for ConnectFailure {
    fn from(error: sqlx::Error) -> Self {
        Self {
            error: classify(&error),
            message: answer(&error),
        }
    }
}
