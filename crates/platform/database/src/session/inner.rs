//! What a session does with its lease: lease, begin, run, and clean up after whoever leaves half-way.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sea_orm::{DbBackend, DbErr, ExecResult, QueryResult, Statement, TransactionOptions};
use sqlx::{Error as SqlxError, PgConnection};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tracing::Instrument;

pub(crate) use super::error::{Fault, is_final, is_stale};
pub(crate) use super::in_flight::{InFlight, TransactionState};
use super::state::Gate;
use crate::error::Error;
use crate::pool::Pool;
use crate::pool::lease::{ConnectionState, Lease};
use crate::pool::status::HolderState;
use crate::session::begin;
use crate::session::classify::{self, StatementKind};
use crate::session::query::{self, Job};
use crate::session::{SessionOptions, deadline};
use crate::settings::PoolerMode;
use crate::stats::activity::{SessionActivity, Usage};
use crate::stats::counters::Event;
use berth_pool::Lane;

/// Stands for raw code where a statement's text is shown.
pub(super) const RAW: &str = "(raw)";
/// How often a statement is run again on another connection.
pub(super) const RETRIES: u32 = 5;

/// A session's shared inside.
#[derive(Debug)]
pub(crate) struct SessionInner {
    pub(crate) pool: Arc<Pool>,
    pub(crate) options: SessionOptions,
    pub(crate) activity: Arc<SessionActivity>,
    pub(super) deadline: Option<Instant>,
    pub(super) gate: Mutex<Gate>,
    pub(super) work: AsyncMutex<TransactionState>,
}

impl SessionInner {
    pub(crate) fn new(pool: Arc<Pool>, options: SessionOptions) -> Self {
        Self {
            activity: Arc::new(SessionActivity::new(
                options.label.clone(),
                options.request_id.clone(),
            )),
            deadline: deadline(&options),
            pool,
            options,
            gate: Mutex::default(),
            work: AsyncMutex::default(),
        }
    }

    pub(crate) fn backend(&self) -> DbBackend {
        if self.pool.settings.url.is_postgres() {
            DbBackend::Postgres
        } else {
            DbBackend::Sqlite
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.activity.activity().usage
    }

    /// Whether statements must be unnamed and carry no state from one transaction to the next.
    pub(crate) fn unnamed(&self) -> bool {
        self.pool.settings.pooler_mode() == PoolerMode::Transaction && self.pool.settings.url.is_postgres()
    }

    pub(crate) async fn execute(&self, depth: usize, statement: &Statement) -> Result<ExecResult, DbErr> {
        Ok(self
            .run(depth, &statement.sql, &query::Execute(statement, self.unnamed()))
            .await?)
    }

    pub(crate) async fn execute_unprepared(&self, depth: usize, sql: &str) -> Result<ExecResult, DbErr> {
        Ok(self.run(depth, sql, &query::Plain(sql)).await?)
    }

    pub(crate) async fn query_one(
        &self,
        depth: usize,
        statement: &Statement,
    ) -> Result<Option<QueryResult>, DbErr> {
        Ok(self
            .run(depth, &statement.sql, &query::One(statement, self.unnamed()))
            .await?)
    }

    pub(crate) async fn query_all(
        &self,
        depth: usize,
        statement: &Statement,
    ) -> Result<Vec<QueryResult>, DbErr> {
        Ok(self
            .run(depth, &statement.sql, &query::All(statement, self.unnamed()))
            .await?)
    }

    /// Runs one statement: bare, or in the transaction, which it begins if there is none.
    pub(super) async fn run<J: Job>(&self, depth: usize, sql: &str, job: &J) -> Result<J::Output, Fault> {
        let traits = self.admit(depth, sql)?;
        let mut work = self.enter(depth).await?;
        let mut attempt = 0;
        loop {
            let first = work.levels.is_empty();
            self.prepare(&mut work, traits).await?;
            match self.step(&mut work, sql, job).await {
                Ok(value) => {
                    self.leave(&mut work);
                    return Ok(value);
                }
                // Nothing before it was sent in this transaction, and no COMMIT: it may go again.
                Err(Fault::Lost) if first && attempt < RETRIES => {
                    attempt += 1;
                    work.forget();
                    self.pool.record(&Event::Retried {
                        label: &self.options.label,
                    });
                }
                Err(fault) => {
                    self.leave(&mut work);
                    return Err(fault);
                }
            }
        }
    }

    /// Reads the statement and refuses what would work behind the session's back.
    pub(crate) fn admit(&self, depth: usize, sql: &str) -> Result<StatementKind, Error> {
        let traits = classify::read(sql);
        if traits.control {
            return Err(Error::Unsupported(
                "transaction control as SQL: use the session's commit, rollback and begin",
            ));
        }
        if traits.taints && self.unnamed() {
            return Err(Error::Unsupported(
                "session settings and locks behind a transaction pooler",
            ));
        }
        self.check_gate(depth)?;
        Ok(traits)
    }

    /// Waits for earlier statements of the same session, then undoes what was dropped unfinished.
    pub(crate) async fn enter(&self, depth: usize) -> Result<MutexGuard<'_, TransactionState>, Fault> {
        let mut work = self.queue().await?;
        // It may have ended, or opened a stream, while this statement queued.
        self.check_gate(depth)?;
        if let Some(lost) = &work.lost {
            return Err(lost.clone().into());
        }
        self.undo_dropped(&mut work).await?;
        Ok(work)
    }

    /// Waits for whoever works on the lease at the moment.
    pub(super) async fn queue(&self) -> Result<MutexGuard<'_, TransactionState>, Error> {
        match self.deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), self.work.lock())
                .await
                .map_err(|_| Error::DeadlineExceeded),
            None => Ok(self.work.lock().await),
        }
    }

    /// Makes sure of a lease, and of a transaction where the statement needs one.
    pub(crate) async fn prepare(
        &self,
        work: &mut TransactionState,
        traits: StatementKind,
    ) -> Result<(), Fault> {
        if work.levels.is_empty() {
            self.lease_for(work, traits).await?;
        }
        // Only now: where BEGIN went again, this is another lease than the first.
        if let Some(lease) = work.lease.as_mut().filter(|_| traits.survives_reset) {
            lease.taint();
        }
        Ok(())
    }

    pub(super) async fn lease_for(
        &self,
        work: &mut TransactionState,
        traits: StatementKind,
    ) -> Result<(), Fault> {
        let bare = traits.plain_read
            && self.options.autocommit_reads
            && !self.options.needs_transaction()
            && !self.unnamed();
        if bare {
            work.lease = Some(self.lease(false).await?);
            return Ok(());
        }
        self.begin_work(work, TransactionOptions::default(), "").await
    }

    /// Begins the session's transaction on a new lease, with what travels with it and what follows.
    pub(super) async fn begin_work(
        &self,
        work: &mut TransactionState,
        options: TransactionOptions,
        then: &str,
    ) -> Result<(), Fault> {
        let mut attempt = 0;
        loop {
            let lease = self.lease(!self.options.read_only).await?;
            let sql = begin::begin(self, options, self.remaining()?)? + then;
            work.lease = Some(lease);
            match self.send(work, &sql).await {
                Ok(()) => {
                    work.levels.push(false);
                    return Ok(());
                }
                Err(Fault::Lost) if attempt < RETRIES => {
                    attempt += 1;
                    work.forget();
                    self.pool.record(&Event::Retried {
                        label: &self.options.label,
                    });
                }
                Err(fault) => {
                    // Part of it may have taken action: the connection is not to be trusted.
                    if let Some(lease) = work.lease.as_mut() {
                        lease.finish(ConnectionState::Busy);
                    }
                    work.forget();
                    return Err(fault);
                }
            }
        }
    }

    pub(super) async fn lease(&self, writes: bool) -> Result<Lease, Error> {
        let patience = Instant::now() + self.pool.settings.pool_timeout;
        let deadline = self.deadline.map_or(patience, |deadline| deadline.min(patience));
        let lane = Lane {
            background: self.options.background,
            writes,
        };
        let waiting = tracing::debug_span!("db.wait", label = %self.options.label);
        self.pool
            .acquire(&self.activity, lane, deadline)
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

    /// Gives the lease back where no transaction holds it.
    pub(crate) fn leave(&self, work: &mut TransactionState) {
        if work.levels.is_empty() {
            self.put_back(work.take());
        }
    }

    /// Ends the hold on a lease.
    pub(super) fn put_back(&self, held: Option<Lease>) {
        let Some(lease) = held else { return };
        self.activity.held(lease.held());
        self.activity.rests(HolderState::Idle);
    }

    pub(crate) async fn raw<T, F>(&self, raw: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, SqlxError>> + Send,
    {
        if self.unnamed() || self.backend() != DbBackend::Postgres {
            return Err(Error::Unsupported(
                "raw connections, on SQLite and behind a transaction pooler",
            ));
        }
        self.check_gate(0)?;
        let mut work = self.enter(0).await?;
        self.prepare(
            &mut work,
            StatementKind {
                survives_reset: true,
                ..StatementKind::default()
            },
        )
        .await?;
        work.raw = true;
        Ok(self.step(&mut work, RAW, &query::Raw::new(raw)).await?)
    }

    /// As [`SessionInner::enter`], for the stream itself, which holds the gate.
    pub(crate) async fn enter_stream(&self) -> Result<MutexGuard<'_, TransactionState>, Fault> {
        let mut work = self.queue().await?;
        if self.ended() {
            return Err(Error::SessionClosed.into());
        }
        if let Some(lost) = &work.lost {
            return Err(lost.clone().into());
        }
        self.undo_dropped(&mut work).await?;
        Ok(work)
    }

    pub(crate) fn stream_deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Drop for SessionInner {
    /// The last clone is gone: what is open is rolled back, what is under way dies with its connection.
    fn drop(&mut self) {
        let work = self.work.get_mut();
        if !work.levels.is_empty() {
            self.pool.record(&Event::RolledBack);
        }
        if let Some(lease) = work.take() {
            self.activity.held(lease.held());
        }
    }
}
