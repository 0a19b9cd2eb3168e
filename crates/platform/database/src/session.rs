//! Sessions: the unit of work of one request or one job, and the only way to run SQL.

mod begin;
mod classify;
mod commit;
mod decodable;
mod error;
mod execute;
mod hooks;
mod in_flight;
mod inner;
mod login_role;
mod notify;
mod options;
mod query;
mod savepoint;
mod state;
pub(crate) mod stream;
mod traits;
pub(crate) mod transaction;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use sea_orm::{DbErr, QueryResult};
use sqlx::PgConnection;

pub use self::options::{Outcome, SessionOptions};
use crate::error::Error;
use crate::pool::Pool;
use crate::session::inner::SessionInner;
use crate::stats::activity::Usage;

/// Runs SQL for one unit of work over at most one connection.
///
/// A new session has leased nothing; its first statement leases. With
/// [`SessionOptions::autocommit_reads`] a plain SELECT runs outside a transaction and its connection is released at
/// once: one round trip, nothing held between statements; with [`SessionOptions::autocommit`] any lone statement does. Any
/// other statement begins a transaction, which
/// holds one connection until [`commit`](Self::commit), [`rollback`](Self::rollback) or the end.
///
/// Slot cost: 0 or 1, never 2. Waits for a connection up to `pool_timeout` or its own deadline.
///
/// Clones are the same session. When the last clone is dropped unfinished, what it did is rolled back.
/// Statements of clones queue; while a stream or nested transaction is open they fail with
/// [`Error::SessionBusy`].
///
/// # Cancel safety
/// Dropping the future of a statement drops the connection under it, because what the server does with
/// the statement is then unknown. An open transaction is lost with it.
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<SessionInner>,
}

impl Session {
    fn inner(&self) -> &Arc<SessionInner> {
        &self.inner
    }

    /// The depth of its statements: nested transactions are below.
    fn depth(&self) -> usize {
        0
    }

    pub(crate) fn new(pool: Arc<Pool>, options: SessionOptions) -> Self {
        Self {
            inner: Arc::new(SessionInner::new(pool, options)),
        }
    }

    /// Commits what was done so far and releases the connection; the session goes on.
    ///
    /// Use it before slow work that is not the database, and for what must survive an error response.
    /// COMMIT runs in a task of the pool: a caller that leaves cannot cancel it half-way.
    ///
    /// # Errors
    /// [`Error::TransactionFailed`] where a statement had failed: nothing is stored.
    /// [`Error::CommitUnknown`] where the answer was lost. A deferred constraint's own error. In every
    /// case the connection is released and the session goes on.
    pub async fn commit(&self) -> Result<(), Error> {
        self.inner.commit().await
    }

    /// Rolls back what was done since the last commit and releases the connection; the session goes on.
    ///
    /// # Errors
    /// [`Error::SessionBusy`] or [`Error::SessionClosed`].
    pub async fn rollback(&self) -> Result<(), Error> {
        self.inner.rollback().await
    }

    /// Ends the session; its clones return [`Error::SessionClosed`].
    ///
    /// # Errors
    /// As [`commit`](Self::commit); the session has ended all the same.
    pub async fn end(&self, outcome: Outcome) -> Result<(), Error> {
        self.inner.end(outcome).await
    }

    /// Commits and ends the session, and returns the one from which a streaming body is read.
    ///
    /// The new session has the same label and request id. It reads in autocommit and has no deadline but that of each
    /// statement, since a body takes as long as its reader.
    ///
    /// Slot cost: none. A unit of work so never holds two connections: each clone of the ended session returns
    /// [`Error::SessionClosed`].
    ///
    /// # Errors
    /// As [`end`](Self::end); [`Error::SessionClosed`] where the session has ended before.
    ///
    /// # Cancel safety
    /// As [`end`](Self::end): a COMMIT that was sent is not cut short.
    pub async fn into_streaming(self) -> Result<Self, Error> {
        let (pool, options) = (self.inner.pool.clone(), self.inner.options.for_streaming());
        self.end(Outcome::Commit).await?;
        Ok(Self::new(pool, options))
    }

    /// Calls `hook` once the work of the session so far is stored: after the next COMMIT that the server acknowledges.
    ///
    /// It is dropped uncalled after a rollback, after a COMMIT that failed or whose outcome is unknown, and with the
    /// session. Where no transaction is open at the next [`commit`](Self::commit) or [`end`](Self::end), there is nothing
    /// to wait for and it is called. In a session with [`SessionOptions::autocommit`] and without an open transaction it
    /// is called at once.
    ///
    /// For what tells others of the work, such as waking a worker. It runs in the task that commits: it must not block. A
    /// panic in it is caught.
    ///
    /// Slot cost: none.
    pub fn after_commit(&self, hook: impl FnOnce() + Send + 'static) {
        self.inner.after_commit(Box::new(hook));
    }

    /// Returns whether work of this session may be stored already, so that running it again would store it twice.
    pub fn has_committed(&self) -> bool {
        self.inner.committed.load(Ordering::Relaxed)
    }

    /// Returns what the session has cost so far.
    pub fn usage(&self) -> Usage {
        self.inner.usage()
    }

    /// Runs a statement without parameters and returns its rows, in one round trip instead of two.
    ///
    /// It is sent as text and not prepared, so its values arrive as text, which types of extensions may not decode from.
    ///
    /// # Errors
    /// As any statement.
    ///
    /// # Cancel safety
    /// As any statement: dropped unfinished, it takes the connection with it.
    pub async fn query_unprepared(&self, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
        self.inner.query_unprepared(sql).await
    }

    /// Runs raw sqlx on the session's connection, inside its transaction: for COPY and what SeaORM lacks.
    ///
    /// What raw code leaves on a connection is unknown, so the connection is closed afterwards.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on SQLite and behind a transaction pooler, where sqlx's named statements
    /// would be another server's by the next transaction. Otherwise as any statement.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(session: &berth_database::Session) -> Result<(), berth_database::Error> {
    /// let copied = session
    ///     .raw(|connection| {
    ///         Box::pin(async move {
    ///             let mut copy = connection.copy_in_raw("COPY tags (name) FROM STDIN").await?;
    ///             copy.send(&b"red\nblue\n"[..]).await?;
    ///             copy.finish().await
    ///         })
    ///     })
    ///     .await?;
    /// assert_eq!(copied, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn raw<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send,
    {
        self.inner.raw(work).await
    }
}
