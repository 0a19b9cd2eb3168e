//! Commit and rollback: how a session's transaction ends, and the timeout of a COMMIT.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::Outcome;
use super::error::{Meaning, Sent, meaning};
use super::hooks::CommitHooks;
use super::in_flight::TransactionState;
use super::inner::{SessionInner, Turn};
use crate::connect::connect_error::Loss;
use crate::connect::connector::TransactionEnd;
use crate::error::Error;
use crate::pool::lease::{ConnectionState, Lease};
use crate::pool::{Pool, spawn};
use crate::stats::activity::{Counted, HolderState, SessionActivity};
use crate::stats::counters::Event;
use crate::stats::statement_stats::StatementLabel;

/// COMMIT gets at least this long, whatever is left of the deadline: cut short, its outcome would be unknown.
const MIN_COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

impl SessionInner {
    pub(super) async fn commit(&self) -> Result<(), Error> {
        self.check_handle(0)?;
        let mut state = self.state.clone().lock_owned().await;
        self.check_handle(0)?;
        self.commit_transaction(&mut state).await
    }

    pub(super) async fn commit_transaction(&self, state: &mut TransactionState) -> Result<(), Error> {
        if let Some(lost) = state.lost.take() {
            state.clear();
            self.take_hooks();
            return Err(lost);
        }
        if state.is_bare() {
            self.release_bare(state);
            self.take_hooks().call();
            return Ok(());
        }
        if let Err(failure) = self.undo_dropped(state).await {
            self.roll_back(state);
            return Err(failure.into());
        }
        // Raw code may have hidden a failed statement, and COMMIT of an aborted transaction reports no error.
        if state.raw && self.send(state, "SELECT 1", Sent::Later).await.is_err() {
            state.mark_failed();
        }
        if state.has_failed() {
            self.roll_back(state);
            return Err(Error::TransactionFailed);
        }
        let stores = state.begun.read_only_from != Some(0);
        let hooks = self.take_hooks();
        let Some(lease) = state.take() else {
            return Err(Error::ConnectionLost);
        };
        self.begins("COMMIT", Counted::No);
        self.activity.held(lease.held());
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left
            .unwrap_or(self.pool.settings.pool_timeout)
            .max(MIN_COMMIT_TIMEOUT);
        let committing = commit(self.pool.clone(), lease, self.activity.clone(), limit, hooks);
        let committing = committing.instrument(tracing::debug_span!("db.commit"));
        // A task, so that a caller that leaves cannot cut it short.
        let outcome = self.pool.runtime.spawn(committing).await;
        self.activity.finishes(HolderState::Idle);
        let outcome = outcome.unwrap_or(Err(Error::CommitUnknown));
        if stores && matches!(outcome, Ok(()) | Err(Error::CommitUnknown)) {
            self.committed.store(true, Ordering::Relaxed);
        }
        outcome
    }

    pub(super) async fn rollback(&self) -> Result<(), Error> {
        self.check_handle(0)?;
        let mut state = self.state.clone().lock_owned().await;
        self.check_handle(0)?;
        self.roll_back(&mut state);
        Ok(())
    }

    /// Releases the lease with its transaction open: the pool rolls it back before the next lease.
    pub(super) fn roll_back(&self, state: &mut TransactionState) {
        if !state.is_bare() {
            self.record_idle(self.activity.ends());
            self.pool.record(&Event::RolledBack);
        }
        self.handles().undo = None;
        self.take_hooks();
        self.release(state.take());
    }

    /// Rolls back when the statement under way has ended: a clone may outlive the session's end.
    fn roll_back_later(self: &Arc<Self>) {
        let session = self.clone();
        spawn(&self.pool.runtime, async move {
            let mut state = session.state.clone().lock_owned().await;
            session.roll_back(&mut state);
        });
    }

    pub(super) async fn end(self: &Arc<Self>, outcome: Outcome) -> Result<(), Error> {
        let busy = self.close_handles()?;
        match outcome {
            Outcome::Rollback => {
                self.roll_back_now_or_later();
                Ok(())
            }
            // A stream in another task may hold the lease for as long as it likes.
            Outcome::Commit if busy => {
                self.roll_back_now_or_later();
                Err(Error::SessionBusy)
            }
            Outcome::Commit => {
                let mut state = self.last_turn().await;
                self.commit_transaction(&mut state).await
            }
        }
    }

    /// Refuses further statements, and returns whether a stream or nested transaction is open.
    fn close_handles(&self) -> Result<bool, Error> {
        let mut handles = self.handles();
        if std::mem::replace(&mut handles.ended, true) {
            return Err(Error::SessionClosed);
        }
        self.ending.notify_waiters();
        Ok(handles.streaming || handles.depth > 0)
    }

    fn roll_back_now_or_later(self: &Arc<Self>) {
        match self.state.try_lock() {
            Ok(mut state) => self.roll_back(&mut state),
            Err(_) => self.roll_back_later(),
        }
    }

    /// Waits for a clone's statement that is under way. A caller that leaves meanwhile leaves a rollback.
    async fn last_turn(self: &Arc<Self>) -> Turn {
        let guard = RollbackGuard(self);
        let turn = self.state.clone().lock_owned().await;
        std::mem::forget(guard);
        turn
    }
}

/// Rolls back when it is dropped.
struct RollbackGuard<'s>(&'s Arc<SessionInner>);

impl Drop for RollbackGuard<'_> {
    fn drop(&mut self) {
        self.0.roll_back_later();
    }
}

/// Sends COMMIT, and the reset of the session's state with it.
async fn commit(
    pool: Arc<Pool>,
    mut lease: Lease,
    activity: Arc<SessionActivity>,
    limit: Duration,
    hooks: CommitHooks,
) -> Result<(), Error> {
    let began = Instant::now();
    let ending = lease.end_transaction(TransactionEnd::Commit);
    let (state, outcome) = match tokio::time::timeout(limit, ending).await {
        Ok(Ok(state)) => (state, Ok(())),
        Ok(Err(error)) => match meaning(&error) {
            // The server ended the session before it read COMMIT: nothing was stored.
            Meaning::Lost(Loss::ThisConnection) => (ConnectionState::Gone, Err(Error::ConnectionLost)),
            Meaning::Lost(Loss::MaybeAll) => (ConnectionState::Dead, Err(Error::CommitUnknown)),
            Meaning::Unusable => (ConnectionState::Busy, Err(Error::CommitUnknown)),
            // PostgreSQL has rolled back and not reset; SQLite keeps the transaction open for another try.
            _ => (ConnectionState::Open, Err(Error::from_sqlx(error))),
        },
        Err(_) => (ConnectionState::Busy, Err(Error::CommitUnknown)),
    };
    pool.statements.record(StatementLabel::COMMIT, began.elapsed());
    lease.finish(state);
    pool.record(&match &outcome {
        Ok(()) => Event::Committed,
        Err(Error::CommitUnknown) => Event::CommitUnknown {
            label: &activity.label,
        },
        Err(_) => Event::RolledBack,
    });
    if outcome.is_ok() {
        hooks.call();
    }
    outcome
}
