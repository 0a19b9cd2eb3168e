//! Database: the handle that makes sessions.

use std::borrow::Cow;
use std::ops::Deref;
use std::time::Duration;

use crate::error::Error;
use crate::pool::Pool;
use crate::pool::notifications::Subscription;
use crate::pool::status::{Server, StillHeld};
use crate::session::{Outcome, Session, SessionOptions};
use crate::settings::{Settings, SettingsError};
use crate::status_handle::StatusHandle;

/// How often the closure form runs a transaction that keeps failing with a serialization error.
const ATTEMPTS: u32 = 5;
/// The longest pause before its second attempt; each later one may be as much longer. Random, so that transactions that
/// failed because of each other do not meet again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Makes sessions over a share of connections that is never exceeded.
///
/// Clones are the same pool. It belongs to the HTTP layer and to what starts jobs; services get a `&Session` and so
/// cannot take a second connection by accident. Its numbers are those of its [`StatusHandle`], to which it dereferences.
#[derive(Clone, Debug)]
pub struct Database {
    status: StatusHandle,
}

impl Database {
    /// Makes a pool on the current runtime; connects nothing yet.
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
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/doc.sqlite?mode=rwc", folder.path().display());
    /// use berth_database::{Database, Outcome, SessionOptions, Settings};
    /// use sea_orm::ConnectionTrait;
    ///
    /// let database = Database::new(Settings::for_url(&url)?)?;
    /// let session = database.session(SessionOptions::new("example"));
    /// session.execute_unprepared("CREATE TABLE tags (name text NOT NULL)").await?;
    /// session.end(Outcome::Commit).await?;
    /// database.close(std::time::Duration::from_secs(5)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        for parameter in settings.url.ignored_parameters() {
            tracing::info!(parameter, "database URL parameter ignored: it has no effect here");
        }
        Pool::new(settings).map(|pool| Self {
            status: StatusHandle::new(pool),
        })
    }

    /// Waits for a first connection, and returns what the server is.
    ///
    /// # Errors
    /// [`Error::Permanent`] at once; [`Error::Unreachable`] or [`Error::Saturated`] after the time.
    pub async fn ready(&self, within: Duration) -> Result<Server, Error> {
        self.status.pool.ready(within).await
    }

    /// Makes a session; leases nothing yet.
    pub fn session(&self, options: SessionOptions) -> Session {
        Session::new(self.status.pool.clone(), options)
    }

    /// Makes a session that waits behind requests and leaves them a slot. Commit it explicitly.
    pub fn background(&self, job: impl Into<Cow<'static, str>>) -> Session {
        self.session(SessionOptions::new(job).background())
    }

    /// Runs a unit of work and commits it; runs it again after a serialization failure or deadlock.
    ///
    /// # Errors
    /// The work's own error, after a rollback; the commit's. [`Error::Serialization`] after five
    /// attempts, and at once where the work has committed in the middle. An error of the work that wraps it counts as one
    /// where `E` says so by [`Retry`].
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
                Err(error) if error.is_serialization() && attempt < ATTEMPTS && !session.has_committed() => {
                    tokio::time::sleep(RETRY_PAUSE.mul_f64(f64::from(attempt) * fastrand::f64())).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Subscribes to the notifications of a channel, which sessions send by [`Session::notify`].
    ///
    /// On PostgreSQL all subscriptions of the process share one connection, the listener, which is open only while there
    /// are some. On SQLite notifications are delivered within the process.
    ///
    /// Slot cost: one for all subscriptions, as background work. A request that would have to wait gets the slot at once,
    /// and the listener comes back when there is room. It is never opened at a share of one, behind a transaction pooler
    /// and with fresh connections; subscribers then get [`Notice::Unavailable`](crate::Notice::Unavailable).
    pub fn subscribe(&self, channel: &'static str) -> Subscription {
        self.status.pool.subscribe(channel)
    }

    /// Returns a handle that reads the pool's numbers and makes no sessions.
    pub fn status_handle(&self) -> StatusHandle {
        self.status.clone()
    }

    /// Denies new callers, waits for leases to end, and closes every connection.
    ///
    /// # Errors
    /// [`StillHeld`] with the sessions that have not released their connection within the time.
    pub async fn close(&self, within: Duration) -> Result<(), StillHeld> {
        self.status
            .pool
            .close(within)
            .await
            .map_err(|holders| StillHeld { holders })
    }
}

impl Deref for Database {
    type Target = StatusHandle;

    fn deref(&self) -> &StatusHandle {
        &self.status
    }
}

/// Says whether an error means that the same unit of work may succeed if it is run again.
pub trait Retry {
    /// True for serialization failures and deadlocks.
    fn is_serialization(&self) -> bool;
}

impl Retry for Error {
    fn is_serialization(&self) -> bool {
        Error::is_serialization(self)
    }
}
