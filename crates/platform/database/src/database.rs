//! The handle that makes sessions.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::{self, DatabaseClient};
use crate::error::Error;
use crate::pool::Pool;
use crate::pool::status::{Holder, Server, Status, StillHeld};
use crate::session::{Outcome, Session, SessionOptions};
use crate::settings::{Settings, SettingsError};
use crate::stats::statement_stats::StatementTimings;
use crate::status_handle::StatusHandle;

/// How often the closure form runs a transaction whose way another one keeps crossing.
const ATTEMPTS: u32 = 5;

/// Makes sessions over a share of connections that is never exceeded.
///
/// Clones are the same pool. It belongs to the HTTP layer or to whoever starts jobs; services get a
/// `&Session` and so cannot take a second connection by accident.
#[derive(Clone, Debug)]
pub struct Database {
    pool: Arc<Pool>,
}

impl Database {
    /// Takes the current runtime and the settings; opens nothing yet.
    ///
    /// Connections are opened, committed and closed on this runtime, so make it on the main
    /// multi-thread one: a worker's own runtime may end before its connections are needed no more.
    ///
    /// # Errors
    /// [`SettingsError`] with the first rule that is broken, or outside a tokio runtime.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = std::env::temp_dir().join(format!("database-doc-{}", std::process::id()));
    /// # let url = format!("sqlite://{}/doc.sqlite?mode=rwc", folder.display());
    /// use berth_database::{Database, Outcome, SessionOptions, Settings};
    /// use sea_orm::ConnectionTrait;
    ///
    /// let database = Database::new(Settings::for_url(&url)?)?;
    /// let session = database.session(SessionOptions::new("example"));
    /// session.execute_unprepared("CREATE TABLE tags (name text NOT NULL)").await?;
    /// session.end(Outcome::Commit).await?;
    /// database.close(std::time::Duration::from_secs(5)).await?;
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Pool::new(settings).map(|pool| Self { pool })
    }

    /// Opens a first connection, trying again within the time, and tells who answered.
    ///
    /// # Errors
    /// [`Error::Permanent`] at once; [`Error::Unreachable`] or [`Error::Saturated`] after the time.
    pub async fn ready(&self, within: Duration) -> Result<Server, Error> {
        self.pool.ready(within).await
    }

    /// Begins a unit of work; leases nothing yet.
    pub fn session(&self, options: SessionOptions) -> Session {
        Session::new(self.pool.clone(), options)
    }

    /// Begins a unit of work that waits behind requests and leaves them a slot. Commit it explicitly.
    pub fn background(&self, job: impl Into<Cow<'static, str>>) -> Session {
        self.session(SessionOptions::new(job).background())
    }

    /// Runs a unit of work, commits it, and runs it again when another transaction got in its way.
    ///
    /// # Errors
    /// The work's own error, after a rollback; the commit's. [`Error::Serialization`] after five
    /// attempts. An error of the work that wraps it counts as one where `E` says so by [`Retry`].
    pub async fn transaction<T, E, F>(&self, options: SessionOptions, work: F) -> Result<T, E>
    where
        F: AsyncFn(&Session) -> Result<T, E>,
        E: Retry + From<Error>,
    {
        let mut attempt = 1;
        loop {
            let session = self.session(options.clone());
            let outcome = match work(&session).await {
                Ok(value) => session
                    .end(Outcome::Commit)
                    .await
                    .map(|()| value)
                    .map_err(E::from),
                Err(error) => {
                    // The work's own error says more than a rollback's.
                    let _ = session.end(Outcome::Rollback).await;
                    Err(error)
                }
            };
            match outcome {
                Err(error) if error.is_serialization() && attempt < ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    /// Returns a handle that reads the pool's numbers and makes no sessions.
    pub fn status_handle(&self) -> StatusHandle {
        StatusHandle::new(self.pool.clone())
    }

    /// One consistent snapshot; never waits and uses no slot.
    pub fn status(&self) -> Status {
        self.pool.status()
    }

    /// The snapshot and who holds a connection in it, of one and the same moment.
    pub fn snapshot(&self) -> (Status, Vec<Holder>) {
        self.pool.snapshot()
    }

    /// Who holds a connection at the moment, and what for.
    pub fn holders(&self) -> Vec<Holder> {
        self.pool.holders()
    }

    /// How long statements took so far, by kind and table; at most some two hundred of them.
    pub fn statements(&self) -> Vec<StatementTimings> {
        self.pool.statements.all()
    }

    /// Who is connected to the same database, by name.
    ///
    /// Asks over a connection that nobody wants at the moment, in the background lane; none where there
    /// is no such connection, no answer within the time, or no such server.
    pub async fn clients(&self, within: Duration) -> Option<Vec<DatabaseClient>> {
        clients::look(&self.pool, within).await
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.pool.settings
    }

    /// The name of this instance in the server's activity view, where it has one.
    pub fn instance(&self) -> Option<&str> {
        self.pool
            .instance_name
            .as_ref()
            .map(crate::connect::instances::InstanceName::name)
    }

    /// Takes no more callers, waits for leases to end, and closes every connection.
    ///
    /// # Errors
    /// [`StillHeld`] with the holders, where some have not given back within the time.
    pub async fn close(&self, within: Duration) -> Result<(), StillHeld> {
        self.pool
            .close(within)
            .await
            .map_err(|holders| StillHeld { holders })
    }
}

/// Tells whether an error means that the same unit of work may succeed if it is run again.
pub trait Retry {
    /// True for serialization failures and deadlocks.
    fn is_serialization(&self) -> bool;
}

impl Retry for Error {
    fn is_serialization(&self) -> bool {
        Error::is_serialization(self)
    }
}
