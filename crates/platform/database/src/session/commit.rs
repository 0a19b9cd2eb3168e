//! How a unit of work ends: stored whole, undone, or honestly unknown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::in_flight::TransactionState;
use super::inner::{SessionInner, is_final};
use crate::connect::connect_error::{Loss, loss};
use crate::connect::connector::{Ended, TransactionEnd};
use crate::error::Error;
use crate::pool::lease::{ConnectionState, Lease};
use crate::pool::status::HolderState;
use crate::pool::{Pool, spawn};
use crate::session::Outcome;
use crate::stats::activity::SessionActivity;
use crate::stats::counters::Event;

/// A COMMIT gets at least this long, whatever is left of the deadline: cut short it would be unknown.
const COMMIT_LEAST: Duration = Duration::from_secs(5);

impl SessionInner {
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        self.check_gate(0)?;
        let mut work = self.work.lock().await;
        self.check_gate(0)?;
        self.commit_work(&mut work).await
    }

    pub(super) async fn commit_work(&self, work: &mut TransactionState) -> Result<(), Error> {
        if let Some(lost) = work.lost.take() {
            work.forget();
            return Err(match lost {
                Error::DeadlineExceeded => Error::DeadlineExceeded,
                _ => Error::ConnectionLost,
            });
        }
        if work.levels.is_empty() {
            self.leave(work);
            return Ok(());
        }
        if let Err(fault) = self.undo_dropped(work).await {
            self.roll_back(work);
            return Err(fault.into());
        }
        if work.raw && self.send(work, "SELECT 1").await.is_err() {
            work.mark_failed();
        }
        if work.levels.iter().any(|failed| *failed) {
            self.roll_back(work);
            return Err(Error::TransactionFailed);
        }
        let Some(lease) = work.take() else {
            return Err(Error::ConnectionLost);
        };
        self.begins("COMMIT", false);
        self.activity.held(lease.held());
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left.map_or(self.pool.settings.pool_timeout, |left| left.max(COMMIT_LEAST));
        let committing = commit(self.pool.clone(), lease, self.activity.clone(), limit);
        let committing = self
            .pool
            .runtime
            .spawn(committing.instrument(tracing::debug_span!("db.commit")));
        let outcome = committing.await.unwrap_or(Err(Error::CommitUnknown));
        self.activity.rests(HolderState::Idle);
        outcome
    }

    pub(crate) async fn rollback(&self) -> Result<(), Error> {
        self.check_gate(0)?;
        let mut work = self.work.lock().await;
        self.check_gate(0)?;
        work.lost = None;
        self.roll_back(&mut work);
        Ok(())
    }

    /// Lets the lease go with its transaction open: the pool rolls it back before it lends it again.
    pub(super) fn roll_back(&self, work: &mut TransactionState) {
        if !work.levels.is_empty() {
            self.record_idle(self.activity.ends());
            self.pool.record(&Event::RolledBack);
        }
        self.lock_gate().undo = None;
        self.put_back(work.take());
    }

    /// Rolls back as soon as whoever works on the lease at the moment lets it go: a clone may outlive that.
    fn roll_back_later(self: &Arc<Self>) {
        let core = self.clone();
        spawn(&self.pool.runtime, async move {
            let mut work = core.work.lock().await;
            core.roll_back(&mut work);
        });
    }

    pub(crate) async fn end(self: &Arc<Self>, outcome: Outcome) -> Result<(), Error> {
        let (busy, ended) = {
            let mut gate = self.lock_gate();
            let ended = std::mem::replace(&mut gate.ended, true);
            (gate.streaming || gate.depth > 0, ended)
        };
        if ended {
            return Err(Error::SessionClosed);
        }
        // A stream in another task may hold the work for as long as it likes.
        let mut work = match outcome {
            Outcome::Rollback => match self.work.try_lock() {
                Ok(work) => work,
                Err(_) => {
                    self.roll_back_later();
                    return Ok(());
                }
            },
            Outcome::Commit if busy => match self.work.try_lock() {
                Ok(work) => work,
                Err(_) => {
                    self.roll_back_later();
                    return Err(Error::SessionBusy);
                }
            },
            Outcome::Commit => {
                // Whoever leaves while a clone's statement runs leaves nobody else to end it.
                let leaving = CloseGuard(self);
                let work = self.work.lock().await;
                std::mem::forget(leaving);
                work
            }
        };
        match outcome {
            Outcome::Commit if !busy => self.commit_work(&mut work).await,
            Outcome::Commit => {
                self.roll_back(&mut work);
                Err(Error::SessionBusy)
            }
            Outcome::Rollback => {
                self.roll_back(&mut work);
                Ok(())
            }
        }
    }
}

/// Dropped while it waits for its turn to commit, an end becomes a rollback.
struct CloseGuard<'c>(&'c Arc<SessionInner>);

impl Drop for CloseGuard<'_> {
    fn drop(&mut self) {
        self.0.roll_back_later();
    }
}

/// COMMIT, in a task of its own.
async fn commit(
    pool: Arc<Pool>,
    mut lease: Lease,
    activity: Arc<SessionActivity>,
    limit: Duration,
) -> Result<(), Error> {
    let begun = Instant::now();
    let connection = lease.begin().ok_or(Error::ConnectionLost)?;
    let (condition, outcome) = match tokio::time::timeout(
        limit,
        connection.end_transaction(TransactionEnd::Commit, pool.reset()),
    )
    .await
    {
        Ok(Ok(Ended::Clean)) => (ConnectionState::Clean, Ok(())),
        Ok(Ok(Ended::Unclean)) => (ConnectionState::Busy, Ok(())),
        // The server ended the session before it read COMMIT: nothing was stored.
        Ok(Err(error)) if loss(&error) == Some(Loss::ThisConnection) => {
            (ConnectionState::Busy, Err(Error::ConnectionLost))
        }
        Ok(Err(error)) if loss(&error).is_some() => (ConnectionState::Dead, Err(Error::CommitUnknown)),
        Ok(Err(error)) if is_final(&error) => (ConnectionState::Busy, Err(Error::CommitUnknown)),
        // PostgreSQL has rolled back and not reset; SQLite keeps the transaction open for another try.
        Ok(Err(error)) => (ConnectionState::Open, Err(Error::from_sqlx(error))),
        Err(_) => (ConnectionState::Busy, Err(Error::CommitUnknown)),
    };
    pool.statements.record("COMMIT", begun.elapsed());
    lease.finish(condition);
    pool.record(&match &outcome {
        Ok(()) => Event::Committed,
        Err(Error::CommitUnknown) => Event::CommitUnknown {
            label: &activity.label,
        },
        Err(_) => Event::RolledBack,
    });
    outcome
}
