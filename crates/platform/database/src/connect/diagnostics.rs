//! Diagnostics: single connections that examine a server or change its schema.
//!
//! They are outside every pool's share, so they come out of the reserve: open few, and close them soon.

#![allow(
    clippy::disallowed_methods,
    reason = "a single connection, outside the share by its caller's decision"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgSslMode};

use crate::connect::connect_error::{ConnectError, Reason, classify};
use crate::connect::connector::{Connection, Connector, Opened, postgres_options};
use crate::connect::instances::{InstanceName, ShareBudget};
use crate::settings::Settings;

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
/// Dropping the future drops the socket; the server notices by itself.
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

/// Opens one connection without any set-up, with additional start-up options for the server.
///
/// A server sets them; poolers drop or refuse them, which distinguishes the two. Prepared statements are named in every
/// pooler mode, so that it can be tried whether they survive.
///
/// # Errors
/// [`ConnectFailure`] after one attempt.
///
/// # Cancel safety
/// Dropping the future drops the socket; the server notices by itself.
pub async fn bare(settings: &Settings, options: &[(&str, &str)]) -> Result<PgConnection, ConnectFailure> {
    let mut wanted = postgres_options(settings)?.statement_cache_capacity(100);
    if !options.is_empty() {
        wanted = wanted.options(options.iter().copied());
    }
    let opening = PgConnection::connect_with(&wanted);
    match tokio::time::timeout(settings.connect_timeout, opening).await {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(ConnectFailure::silent(settings.connect_timeout)),
    }
}

/// Returns how to reach PostgreSQL, for the one connection of a migration run.
///
/// # Errors
/// The URL does not lead to PostgreSQL.
pub fn connect_options(settings: &Settings) -> Result<sqlx::postgres::PgConnectOptions, sqlx::Error> {
    postgres_options(settings)
}

/// Returns how much of TLS the settings ask for.
///
/// # Errors
/// [`ConnectFailure`] where the URL does not lead to PostgreSQL.
pub fn tls(settings: &Settings) -> Result<Tls, ConnectFailure> {
    Ok(match postgres_options(settings)?.get_ssl_mode() {
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
        Connection::Postgres(connection) => {
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
        let message = match &error {
            sqlx::Error::Database(database) => database.message().to_owned(),
            other => other.to_string(),
        };
        Self {
            error: classify(&error),
            message,
        }
    }
}
