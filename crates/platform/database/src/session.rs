//! The unit of work of one request or one job, and the only way to run SQL.

mod begin;
mod classify;
mod commit;
mod error;
mod execute;
mod in_flight;
mod inner;
mod query;
mod savepoint;
mod state;
pub(crate) mod stream;
pub(crate) mod transaction;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StreamTrait, TransactionError, TransactionOptions, TransactionTrait,
};
use sqlx::PgConnection;

use crate::error::Error;
use crate::pool::Pool;
use crate::session::inner::SessionInner;
use crate::session::stream::RowStream;
use crate::session::transaction::Transaction;
use crate::stats::activity::Usage;

/// Runs SQL for one unit of work over at most one connection.
///
/// A new session has leased nothing; its first statement leases. With
/// [`SessionOptions::autocommit_reads`] a plain SELECT is sent bare and its connection goes back at once:
/// one round trip, nothing held between statements. Any other statement begins a transaction, which
/// holds one connection until [`commit`](Self::commit), [`rollback`](Self::rollback) or the end.
///
/// Slot cost: 0 or 1, never 2. Waits for a connection up to `pool_timeout` or its own deadline.
///
/// Clones are the same session. When the last clone is dropped unfinished, what it did is rolled back.
/// StatementStats of clones queue; while a stream or nested transaction is open they fail with
/// [`Error::SessionBusy`].
///
/// # Cancel safety
/// Dropping the future of a statement drops the connection under it, because what the server does with
/// the statement is then unknown. An open transaction is lost with it.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) core: Arc<SessionInner>,
}

/// Says how a session ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Keeps what was done.
    Commit,
    /// Undoes what was not committed.
    Rollback,
}

/// Says what a session is for and what travels with its transactions.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    pub(crate) label: Cow<'static, str>,
    pub(crate) request_id: Option<String>,
    pub(crate) autocommit_reads: bool,
    pub(crate) background: bool,
    pub(crate) deadline: Option<Duration>,
    pub(crate) isolation: Option<IsolationLevel>,
    pub(crate) read_only: bool,
    pub(crate) role: Option<(String, serde_json::Value)>,
}

impl SessionOptions {
    /// Names the route or job, which status pages and logs show.
    pub fn new(label: impl Into<Cow<'static, str>>) -> Self {
        Self {
            label: label.into(),
            request_id: None,
            autocommit_reads: false,
            background: false,
            deadline: None,
            isolation: None,
            read_only: false,
            role: None,
        }
    }

    /// Names the request, for the same lane.
    #[must_use]
    pub fn request_id(self, id: impl Into<String>) -> Self {
        Self {
            request_id: Some(id.into()),
            ..self
        }
    }

    /// Sends plain SELECTs bare until a statement of another kind begins a transaction.
    #[must_use]
    pub fn autocommit_reads(self) -> Self {
        Self {
            autocommit_reads: true,
            ..self
        }
    }

    /// Queues behind requests and leaves them a slot; after 5 s of waiting it gets one turn.
    #[must_use]
    pub fn background(self) -> Self {
        Self {
            background: true,
            ..self
        }
    }

    /// Bounds the whole session: queue, opening and statements. The server is told with BEGIN.
    ///
    /// Without one a statement is waited for as long as the server lets it run (`statement_timeout`) and
    /// `pool_timeout` longer: then the connection counts as lost. Raw code, and a transaction that changes
    /// `statement_timeout`, are waited for without end.
    #[must_use]
    pub fn deadline(self, after: Duration) -> Self {
        Self {
            deadline: Some(after),
            ..self
        }
    }

    /// Sets the isolation level of its transactions.
    #[must_use]
    pub fn isolation(self, level: IsolationLevel) -> Self {
        Self {
            isolation: Some(level),
            ..self
        }
    }

    /// Makes its transactions read only.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// Takes a role and its claims for row-level security, as PostgREST and Supabase do: `set local
    /// role` and the setting `request.jwt.claims`, in BEGIN's own round trip. PostgreSQL only.
    ///
    /// StatementStats fail with [`Error::Unsupported`] for a role that the server would not take as written:
    /// `none` means no role to it, quoted or not, and names are cut at 63 bytes.
    #[must_use]
    pub fn role(self, role: impl Into<String>, claims: serde_json::Value) -> Self {
        Self {
            role: Some((role.into(), claims)),
            ..self
        }
    }

    /// Whether statements need a transaction to carry their settings.
    pub(crate) fn needs_transaction(&self) -> bool {
        self.isolation.is_some() || self.read_only || self.role.is_some()
    }
}

impl Session {
    pub(crate) fn new(pool: Arc<Pool>, options: SessionOptions) -> Self {
        Self {
            core: Arc::new(SessionInner::new(pool, options)),
        }
    }

    /// Commits what was done so far and gives the connection back; the session goes on.
    ///
    /// Serves before anything slow that is not the database, and for what must survive an error answer.
    /// COMMIT runs in a task of the pool: a caller that leaves cannot cancel it half-way.
    ///
    /// # Errors
    /// [`Error::TransactionFailed`] where a statement had failed: nothing is stored.
    /// [`Error::CommitUnknown`] where the answer was lost. A deferred constraint's own error. In every
    /// case the connection is given back and the session goes on.
    pub async fn commit(&self) -> Result<(), Error> {
        self.core.commit().await
    }

    /// Undoes what was done since the last commit and gives the connection back; the session goes on.
    ///
    /// # Errors
    /// [`Error::SessionBusy`] or [`Error::SessionClosed`].
    pub async fn rollback(&self) -> Result<(), Error> {
        self.core.rollback().await
    }

    /// Ends the session for good; whoever still holds a clone gets [`Error::SessionClosed`].
    ///
    /// # Errors
    /// As [`commit`](Self::commit); the session has ended all the same.
    pub async fn end(&self, outcome: Outcome) -> Result<(), Error> {
        self.core.end(outcome).await
    }

    /// What it has cost so far.
    pub fn usage(&self) -> Usage {
        self.core.usage()
    }

    /// Runs raw sqlx on the session's own connection, inside its transaction: for COPY and what SeaORM
    /// lacks. Nobody needs a second pool for that.
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
        self.core.raw(work).await
    }
}

#[async_trait]
impl ConnectionTrait for Session {
    fn get_database_backend(&self) -> DbBackend {
        self.core.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.core.execute(0, &statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.core.execute_unprepared(0, sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.core.query_one(0, &statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.core.query_all(0, &statement).await
    }
}

impl StreamTrait for Session {
    type Stream<'a> = RowStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        self.core.backend()
    }

    fn stream_raw<'a>(&'a self, statement: Statement) -> BoxFuture<'a, Result<RowStream<'a>, DbErr>> {
        Box::pin(std::future::ready(
            self.core.stream(0, statement).map_err(DbErr::from),
        ))
    }
}

#[async_trait]
impl TransactionTrait for Session {
    type Transaction = Transaction;

    async fn begin(&self) -> Result<Transaction, DbErr> {
        Transaction::begin(&self.core, 0, TransactionOptions::default()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Transaction, DbErr> {
        let options = TransactionOptions {
            isolation_level,
            access_mode,
            sqlite_transaction_mode: None,
        };
        Transaction::begin(&self.core, 0, options).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Transaction, DbErr> {
        Transaction::begin(&self.core, 0, options).await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Transaction) -> BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        Transaction::run(self.begin().await, callback).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Transaction) -> BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        Transaction::run(
            self.begin_with_config(isolation_level, access_mode).await,
            callback,
        )
        .await
    }
}

/// The deadline of a session as a moment; none where no clock reaches that far.
pub(crate) fn deadline(options: &SessionOptions) -> Option<Instant> {
    options
        .deadline
        .and_then(|after| Instant::now().checked_add(after))
}
