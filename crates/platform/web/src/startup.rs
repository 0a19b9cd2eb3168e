//! Startup: connects to the database and checks its schema before the server listens.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use berth_database::{Database, Session, SessionOptions};
use futures_util::future::BoxFuture;

use crate::settings::{Migrate, Settings};
use crate::shutdown;

/// Time between two lines of the log while the start waits for the database.
const REPORT_WAITING: Duration = Duration::from_secs(3);

/// The service's migrations, as the platform uses them.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Applies those that are pending, under a lock, and returns their names.
    pub apply: fn(berth_database::Settings) -> BoxFuture<'static, Result<Vec<String>, StartFailure>>,
    /// Returns the names of those that are pending.
    pub pending: fn(Session) -> BoxFuture<'static, Result<Vec<String>, berth_database::Error>>,
}

/// Whether the schema has what this binary needs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Schema {
    /// It has not been checked yet.
    #[default]
    Unknown,
    /// Migrations are pending.
    Pending,
    /// Every migration is applied.
    Current,
}

/// Any error that stops the start.
pub type StartFailure = Box<dyn Error + Send + Sync>;

/// Why the service does not start, or does not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings of the database contradict each other.
    #[error("the database settings are invalid")]
    Settings(#[from] berth_database::SettingsError),
    /// The database did not answer in time, or refuses the login.
    #[error(
        "the database at {url} (setting database.url, DATABASE_URL) cannot be used; `api doctor` examines it"
    )]
    Database {
        /// Where, without the password.
        url: String,
        /// Why.
        source: berth_database::Error,
    },
    /// A migration failed.
    #[error("the migrations failed")]
    Migrations(#[source] StartFailure),
    /// The table of applied migrations cannot be read.
    #[error("cannot read which migrations are applied")]
    Pending(#[source] berth_database::Error),
    /// A part of the service itself cannot be set up.
    #[error("cannot set up {what}")]
    Service {
        /// Which part.
        what: &'static str,
        /// Why.
        source: StartFailure,
    },
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The server ended without being asked to.
    #[error("the HTTP server stopped unexpectedly")]
    Serve(#[source] std::io::Error),
    /// Connections were still in use at the end.
    #[error("database connections were still in use when the close timeout expired: {0}")]
    Close(berth_database::StillHeld),
}

impl StartError {
    /// Says which part of the service cannot be set up, for `map_err`.
    pub fn service<E: Into<StartFailure>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Service {
            what,
            source: source.into(),
        }
    }
}

/// Makes the pool and waits until the database answers, for at most `startup.database_timeout`.
///
/// # Errors
///
/// [`StartError::Database`]: it did not answer in time, or never will: a wrong password, an unknown database.
pub async fn database(settings: &Settings) -> Result<Database, StartError> {
    let database = Database::new(settings.database.clone())?;
    tracing::info!(database.url = %settings.database.url, "connecting to the database");
    let ready = database.ready(settings.startup.database_timeout);
    let server = tokio::select! {
        ready = ready => ready,
        never = report_waiting(&database, settings) => match never {},
    };
    let server = server.map_err(|source| StartError::Database {
        url: settings.database.url.to_string(),
        source,
    })?;
    tracing::info!(database.server = %server, "connected to the database");
    Ok(database)
}

/// Logs every few seconds that the start waits, and for what.
async fn report_waiting(database: &Database, settings: &Settings) -> Infallible {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(REPORT_WAITING).await;
        let reason = database.status().last_connect_error;
        let reason = reason.map_or_else(|| "no answer yet".to_owned(), |reason| reason.to_string());
        let (waited, limit) = (
            begun.elapsed().as_secs(),
            settings.startup.database_timeout.as_secs(),
        );
        tracing::warn!(
            database.url = %settings.database.url,
            waited_s = waited,
            "waiting for the database for {waited} s of at most {limit}: {reason}; `api doctor` examines it"
        );
    }
}

/// Connects, brings the schema in order, does some work, and closes every database connection.
///
/// # Errors
///
/// As [`with_schema`].
pub async fn with_database<T>(
    settings: &Settings,
    schema: Migrations,
    work: impl AsyncFnOnce(&Database) -> Result<T, StartError>,
) -> Result<T, StartError> {
    with_schema(settings, schema, async |database: &Database, _schema| {
        work(database).await
    })
    .await
}

/// Does the same for work that needs to know what was found of the schema.
///
/// # Errors
///
/// The work's own, and those of [`database`], [`migrations`] and [`shutdown::close`].
pub async fn with_schema<T>(
    settings: &Settings,
    schema: Migrations,
    work: impl AsyncFnOnce(&Database, Schema) -> Result<T, StartError>,
) -> Result<T, StartError> {
    let database = database(settings).await?;
    let worked = match migrations(settings, &database, schema).await {
        Ok(schema) => work(&database, schema).await,
        Err(error) => Err(error),
    };
    let closed = shutdown::close(&database).await;
    worked.and_then(|value| closed.map(|()| value))
}

/// Applies pending migrations, or warns of them, as `startup.migrate` says; returns what that shows of the schema.
///
/// # Errors
///
/// A migration failed, or the table of applied migrations cannot be read.
pub async fn migrations(
    settings: &Settings,
    database: &Database,
    migrations: Migrations,
) -> Result<Schema, StartError> {
    match settings.startup.migrate {
        Migrate::Skip => Ok(Schema::Unknown),
        Migrate::Apply => apply(settings, migrations).await,
        Migrate::Check => check(database, migrations).await,
    }
}

async fn apply(settings: &Settings, migrations: Migrations) -> Result<Schema, StartError> {
    let applied = (migrations.apply)(settings.database.clone()).await;
    for name in applied.map_err(StartError::Migrations)? {
        tracing::info!(migration = name, "migration applied");
    }
    Ok(Schema::Current)
}

async fn check(database: &Database, migrations: Migrations) -> Result<Schema, StartError> {
    let session = database.session(SessionOptions::new("pending migrations").autocommit());
    let pending = (migrations.pending)(session).await.map_err(StartError::Pending)?;
    if pending.is_empty() {
        return Ok(Schema::Current);
    }
    tracing::warn!(
        migrations = pending.join(", "),
        "migrations are pending: apply them with `make migrate`, or `migration up` in an image"
    );
    Ok(Schema::Pending)
}
