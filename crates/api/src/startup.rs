//! What has to be in order before anything listens.

mod responder; // sample

use berth_database::{Database, SessionOptions};
use thiserror::Error;

pub use self::responder::responder; // sample
use crate::settings::{Migrate, Settings};

/// Why the service does not start, in words for whoever started it.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("the settings of the database are refused")]
    Settings(#[from] berth_database::SettingsError),
    #[error("the database at {url} (setting database.url, DATABASE_URL) cannot be used")]
    Database {
        url: String,
        source: berth_database::Error,
    },
    #[error("the migrations failed")]
    Migrations(#[source] migration::Error),
    #[error("the database does not tell which migrations it has")]
    Pending(#[source] berth_database::Error),
    // sample begins
    #[error("the responder cannot be set up")]
    Responder(#[source] service::sample::ChatModelError),
    // sample ends
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        source: std::io::Error,
    },
    #[error("the server stopped by itself")]
    Serve(#[source] std::io::Error),
    #[error("database connections were still in use when the time to close them was over: {0}")]
    Close(berth_database::StillHeld),
}

/// Checks that the database answers, and says which it is.
///
/// # Errors
///
/// It did not answer in time, or will not however long one waits: a wrong password, an unknown database.
pub async fn database(settings: &Settings) -> Result<Database, StartError> {
    let patience = settings.startup.database_timeout;
    let database = Database::new(settings.database.clone())?;
    tracing::info!(database.url = %settings.database.url, "connecting to the database");
    let server = database
        .ready(patience)
        .await
        .map_err(|source| StartError::Database {
            url: settings.database.url.to_string(),
            source,
        })?;
    tracing::info!(database.server = %server, "the database answers");
    Ok(database)
}

/// Brings the schema up to date, or says that it is not.
///
/// # Errors
///
/// A migration failed, or the database could not be asked.
pub async fn migrations(settings: &Settings, database: &Database) -> Result<(), StartError> {
    match settings.startup.migrate {
        Migrate::Skip => Ok(()),
        Migrate::Apply => apply(&settings.database).await,
        Migrate::Check => check(database).await,
    }
}

async fn apply(settings: &berth_database::Settings) -> Result<(), StartError> {
    for name in migration::apply(settings).await.map_err(StartError::Migrations)? {
        tracing::info!(migration = name, "migration applied");
    }
    Ok(())
}

async fn check(database: &Database) -> Result<(), StartError> {
    let session = database.session(SessionOptions::new("pending migrations").autocommit_reads());
    let pending = migration::pending(&session)
        .await
        .map_err(|error| StartError::Pending(error.into()))?;
    if !pending.is_empty() {
        tracing::warn!(
            migrations = pending.join(", "),
            "migrations are pending: apply them with `migration up`"
        );
    }
    Ok(())
}
