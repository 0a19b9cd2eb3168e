//! What the clones of a session share: its options, its lease and its transaction.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sea_orm::{DbBackend, DbErr, ExecResult, QueryResult, Statement, TransactionOptions};
use sqlx::{Error as SqlxError, PgConnection};
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
use tracing::Instrument;

use super::begin::WRITABLE;
use super::classify::{self, StatementKind};
use super::decodable::decodable;
use super::error::{Failure, Sent};
use super::execute::RAW;
use super::hooks::CommitHooks;
use super::in_flight::TransactionState;
use super::options::{Autocommit, SessionOptions};
use super::query::{self, Naming, Protocol};
use super::state::Handles;
use crate::connect::pooler_mode::ModeDetector;
use crate::error::Error;
use crate::pool::Pool;
use crate::pool::lease::Lease;
use crate::stats::activity::{HolderState, SessionActivity, Usage};
use crate::stats::counters::Event;
use berth_pool::{Access, Lane};

/// The right to work on a session's lease; other statements of the session wait for it.
pub(super) type Turn = OwnedMutexGuard<TransactionState>;

/// What the clones of a session share.
#[derive(Debug)]
pub(crate) struct SessionInner {
    pub(crate) pool: Arc<Pool>,
    pub(super) options: SessionOptions,
    pub(super) activity: Arc<SessionActivity>,
    pub(super) deadline: Option<Instant>,
    pub(super) handles: Mutex<Handles>,
    /// Notified at the session's end.
    pub(super) ending: Notify,
    pub(super) state: Arc<AsyncMutex<TransactionState>>,
    /// Whether something may be stored: a COMMIT was sent and did not certainly fail.
    pub(super) committed: AtomicBool,
    /// What is called after the next commit.
    pub(super) hooks: Mutex<CommitHooks>,
}

impl SessionInner {
    pub(super) fn new(pool: Arc<Pool>, options: SessionOptions) -> Self {
        let activity = SessionActivity::new(options.label.clone(), options.request_id.clone());
        let deadline = options.deadline_from(Instant::now());
        // A session without an end would overtake later ones for as long as it lasts.
        let activity = match deadline {
            Some(_) => activity.keeping_place(),
            None => activity,
        };
        Self {
            activity: Arc::new(activity),
            deadline,
            pool,
            options,
            handles: Mutex::default(),
            ending: Notify::new(),
            state: Arc::default(),
            committed: AtomicBool::new(false),
            hooks: Mutex::default(),
        }
    }

    pub(super) fn backend(&self) -> DbBackend {
        if self.pool.settings.url.is_postgres() {
            DbBackend::Postgres
        } else {
            DbBackend::Sqlite
        }
    }

    pub(super) fn is_postgres(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    pub(super) fn usage(&self) -> Usage {
        self.activity.activity().usage
    }

    pub(super) fn mode(&self) -> &ModeDetector {
        self.pool.mode()
    }

    /// Whether each transaction may be served by another server, so that no session state may be left on it.
    pub(super) fn behind_transaction_pooler(&self) -> bool {
        !self.mode().mode().keeps_sessions()
    }

    pub(super) fn naming(&self) -> Naming<'_> {
        Naming {
            mode: self.mode(),
            texts: &self.pool.common_texts,
        }
    }

    /// Waits for a first connection, which finds out the pooler's mode: the way in which statements are sent depends on it.
    pub(super) async fn find_mode(&self) -> Result<(), Error> {
        if self.mode().is_open() {
            drop(self.lease(Access::Read).await?);
        }
        Ok(())
    }

    pub(super) async fn execute(&self, depth: usize, statement: &Statement) -> Result<ExecResult, DbErr> {
        let job = query::Execute(statement, self.naming());
        let done = self.run(depth, &statement.sql, &job).await;
        done.map_err(query::as_exec_error)
    }

    pub(super) async fn execute_unprepared(&self, depth: usize, sql: &str) -> Result<ExecResult, DbErr> {
        let done = self.run(depth, sql, &query::Plain(sql)).await;
        done.map_err(query::as_exec_error)
    }

    pub(super) async fn query_unprepared(&self, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
        let rows = self.run(0, sql, &query::PlainRows(sql)).await?;
        rows.into_iter().map(|row| decodable(row, sql)).collect()
    }

    pub(super) async fn query_one(
        &self,
        depth: usize,
        statement: &Statement,
    ) -> Result<Option<QueryResult>, DbErr> {
        let job = query::One(statement, self.naming());
        let row = self.run(depth, &statement.sql, &job).await?;
        row.map(|row| decodable(row, &statement.sql)).transpose()
    }

    pub(super) async fn query_all(
        &self,
        depth: usize,
        statement: &Statement,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let job = query::All(statement, self.naming());
        let rows = self.run(depth, &statement.sql, &job).await?;
        rows.into_iter()
            .map(|row| decodable(row, &statement.sql))
            .collect()
    }

    /// Runs raw sqlx in the session's transaction; the connection is closed afterwards.
    pub(super) async fn raw<T, F>(&self, raw: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, SqlxError>> + Send,
    {
        self.check_handle(0)?;
        let mut state = self.enter(0).await?;
        self.find_mode().await?;
        if self.behind_transaction_pooler() || self.backend() != DbBackend::Postgres {
            return Err(Error::Unsupported(
                "raw connections, on SQLite and behind a transaction pooler",
            ));
        }
        let kind = StatementKind {
            survives_reset: true,
            ..StatementKind::default()
        };
        let first = state.is_bare();
        self.prepare(&mut state, kind, Protocol::Raw).await?;
        state.raw = true;
        let job = query::Raw::new(raw);
        let outcome = self.step(&mut state, RAW, Sent::Later, &job).await;
        self.end_lone(&mut state, first, kind, outcome)
            .await
            .map_err(Error::from)
    }

    /// Checks that the server answers; holds no connection afterwards where no transaction is open.
    pub(super) async fn ping(&self, depth: usize) -> Result<(), DbErr> {
        let mut state = self.enter(depth).await?;
        let sent = if state.is_bare() {
            state.lease = Some(self.lease(Access::Read).await?);
            Sent::PlainRead
        } else {
            Sent::Later
        };
        let sql = "SELECT 1";
        let answer = self.step(&mut state, sql, sent, &query::Plain(sql)).await;
        self.release_bare(&mut state);
        answer.map(drop).map_err(DbErr::from)
    }

    /// Reads the statement's text and refuses what would change the transaction unseen by the session.
    pub(super) fn admit(&self, depth: usize, sql: &str) -> Result<StatementKind, Error> {
        let kind = classify::read(sql);
        if kind.control {
            return Err(Error::Unsupported(
                "transaction control as SQL: use the session's commit, rollback and begin",
            ));
        }
        self.check_handle(depth)?;
        Ok(kind)
    }

    /// Waits for earlier statements of the same session, then undoes savepoints that were dropped unfinished.
    pub(super) async fn enter(&self, depth: usize) -> Result<Turn, Error> {
        let mut state = self.turn().await?;
        // It may have ended, or opened a stream, while this statement waited.
        self.check_handle(depth)?;
        self.clean_up(&mut state).await?;
        Ok(state)
    }

    pub(super) async fn clean_up(&self, state: &mut TransactionState) -> Result<(), Error> {
        if let Some(lost) = &state.lost {
            return Err(lost.clone());
        }
        Ok(self.undo_dropped(state).await?)
    }

    /// Waits for the statement of the session that is under way.
    pub(super) async fn turn(&self) -> Result<Turn, Error> {
        let turn = self.state.clone().lock_owned();
        match self.deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), turn)
                .await
                .map_err(|_| Error::DeadlineExceeded),
            None => Ok(turn.await),
        }
    }

    /// Makes sure of a lease, and of a transaction where the statement needs one.
    pub(super) async fn prepare(
        &self,
        state: &mut TransactionState,
        kind: StatementKind,
        protocol: Protocol,
    ) -> Result<(), DbErr> {
        self.find_mode().await?;
        if kind.taints && self.behind_transaction_pooler() {
            return Err(Error::Unsupported("session settings and locks behind a transaction pooler").into());
        }
        if state.is_bare() {
            if self.goes_bare(kind, protocol) {
                self.lease_bare(state, kind).await?;
            } else {
                self.begin_transaction(state, TransactionOptions::default(), "")
                    .await?;
            }
        }
        // Only now: where BEGIN was sent again, this is another lease than the first.
        let remains = kind.survives_reset || kind.taints && self.backend() == DbBackend::Sqlite;
        if let Some(lease) = state.lease.as_mut().filter(|_| remains) {
            lease.close_afterwards();
        }
        Ok(())
    }

    /// Whether a statement is sent outside a transaction, where none is open.
    fn goes_bare(&self, kind: StatementKind, protocol: Protocol) -> bool {
        let lone = match (self.options.autocommit, protocol) {
            (Autocommit::Off, _) | (_, Protocol::Raw) => false,
            (Autocommit::All, Protocol::Simple) => true,
            (Autocommit::Reads, _) if !self.is_read(kind) => false,
            _ => !self.behind_transaction_pooler(),
        };
        lone && !self.options.needs_transaction()
    }

    pub(super) fn is_read(&self, kind: StatementKind) -> bool {
        kind.plain_read || kind.select && self.backend() == DbBackend::Sqlite
    }

    async fn lease_bare(&self, state: &mut TransactionState, kind: StatementKind) -> Result<(), DbErr> {
        if self.is_read(kind) {
            state.lease = Some(self.lease(Access::Read).await?);
            return Ok(());
        }
        state.lease = Some(self.lease(Access::Write).await?);
        if self.backend() == DbBackend::Sqlite {
            self.send(state, WRITABLE, Sent::PlainRead).await?;
        }
        Ok(())
    }

    /// Waits for a connection, up to `pool_timeout` and the session's deadline.
    pub(super) async fn lease(&self, access: Access) -> Result<Lease, Error> {
        let limit = Instant::now() + self.pool.settings.pool_timeout;
        let limit = self.deadline.map_or(limit, |deadline| deadline.min(limit));
        let lane = Lane {
            priority: self.options.priority,
            access,
        };
        let waiting = tracing::debug_span!("db.wait", label = %self.options.label);
        self.pool
            .acquire(&self.activity, lane, limit)
            .instrument(waiting)
            .await
    }

    /// What is left of the deadline, if there is one.
    pub(super) fn remaining(&self) -> Result<Option<Duration>, Error> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(Error::DeadlineExceeded)
        } else {
            Ok(Some(left))
        }
    }

    /// Ends what a statement began for itself alone, if it did, and passes its outcome on.
    pub(super) async fn end_lone<T>(
        &self,
        state: &mut TransactionState,
        first: bool,
        kind: StatementKind,
        outcome: Result<T, Failure>,
    ) -> Result<T, DbErr> {
        let alone = first && !state.is_bare();
        if alone && kind.plain_read && self.options.reads_with_role() {
            // It has changed nothing: the pool rolls it back before the next lease.
            self.release(state.take());
        } else if alone && self.options.autocommit == Autocommit::All {
            match &outcome {
                Ok(_) => self.commit_transaction(state).await?,
                Err(_) => self.roll_back(state),
            }
        }
        self.release_bare(state);
        outcome.map_err(DbErr::from)
    }

    /// Releases the lease where no transaction needs it.
    pub(super) fn release_bare(&self, state: &mut TransactionState) {
        if state.is_bare() {
            self.release(state.take());
        }
    }

    /// Releases a lease and counts the time that it was held.
    pub(super) fn release(&self, held: Option<Lease>) {
        let Some(lease) = held else { return };
        self.activity.held(lease.held());
        self.activity.finishes(HolderState::Idle);
    }
}

impl Drop for SessionInner {
    /// The last clone is dropped: what is open is rolled back.
    fn drop(&mut self) {
        // A stream's task that still runs ends by itself, since its rows have no reader.
        let Ok(mut state) = self.state.try_lock() else {
            return;
        };
        if !state.is_bare() {
            self.pool.record(&Event::RolledBack);
        }
        if let Some(lease) = state.take() {
            self.activity.held(lease.held());
        }
    }
}
