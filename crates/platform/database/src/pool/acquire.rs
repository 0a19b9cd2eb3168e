//! Acquire: how a caller waits for a connection and receives it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Pool;
use super::state::Waiting;
use crate::error::Error;
use crate::pool::lease::Lease;
use crate::stats::activity::SessionActivity;
use crate::stats::counters::Event;
use berth_pool::{AcquireError, Lane, Validation, WaiterId};

impl Pool {
    /// Waits for a connection, at most until the deadline.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue; a lease that was granted meanwhile is released.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        activity: &Arc<SessionActivity>,
        lane: Lane,
        deadline: Instant,
    ) -> Result<Lease, Error> {
        let begun = Instant::now();
        loop {
            let Grant {
                mut lease,
                validation,
            } = self.acquire_any(activity, lane, deadline, begun).await?;
            if validation == Validation::Skipped || lease.validate(deadline).await {
                activity.waited(begun.elapsed());
                return Ok(lease);
            }
        }
    }

    async fn acquire_any(
        self: &Arc<Self>,
        activity: &Arc<SessionActivity>,
        lane: Lane,
        deadline: Instant,
        begun: Instant,
    ) -> Result<Grant, Error> {
        let (waiter_id, mut answer) = match self.ask(activity, lane, begun)? {
            AcquireStep::Grant(granted) => return Ok(granted),
            AcquireStep::Waits(waiter_id, answer) => (waiter_id, answer),
        };
        let guard = WaitGuard {
            pool: self,
            waiter_id,
        };
        match tokio::time::timeout_at(deadline.into(), &mut answer).await {
            Ok(Ok(answer)) => {
                std::mem::forget(guard);
                answer
            }
            // The pool keeps each sender until it answers, so a closed channel means that the pool has ended.
            Ok(Err(_)) => Err(Error::ShuttingDown),
            Err(_) => {
                drop(guard);
                // It may have been answered between the timeout and leaving the queue.
                answer
                    .try_recv()
                    .unwrap_or_else(|_| Err(self.timed_out(activity, begun.elapsed())))
            }
        }
    }

    fn ask(
        self: &Arc<Self>,
        activity: &Arc<SessionActivity>,
        lane: Lane,
        since: Instant,
    ) -> Result<AcquireStep, Error> {
        let mut state = self.lock();
        let now = self.now();
        let requested = match activity.place() {
            Some(first) => state.scheduler.request_again(now, lane, first),
            None => state.scheduler.request(now, lane),
        };
        let waiter_id = match requested {
            Ok(waiter_id) => waiter_id,
            Err(error) => {
                if error == AcquireError::Full {
                    state.counters.record(&Event::Rejected {
                        label: &activity.label,
                    });
                }
                return Err(state.explain(error));
            }
        };
        let (sender, receiver) = oneshot::channel();
        state.waiters.insert(
            waiter_id,
            Waiting {
                answer: sender,
                activity: activity.clone(),
                since,
            },
        );
        self.advance(state);
        // Most callers find an idle connection, so their answer is there already.
        let mut receiver = receiver;
        match receiver.try_recv() {
            Ok(answer) => answer.map(AcquireStep::Grant),
            Err(_) => Ok(AcquireStep::Waits(waiter_id, receiver)),
        }
    }

    fn timed_out(&self, activity: &SessionActivity, waited: Duration) -> Error {
        let mut state = self.lock();
        state.counters.record(&Event::TimedOut {
            label: &activity.label,
            waited,
        });
        state.waits.record(waited);
        match state.scheduler.breaker().denies(self.now()) {
            Some(outage) => state.explain(AcquireError::CircuitOpen(outage)),
            None if state.scheduler.breaker().is_unreachable() => Error::Unreachable {
                reason: state.reason(),
            },
            None => state.explain(AcquireError::Full),
        }
    }
}

/// A lease for a caller, and what to do before it is used.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(super) lease: Lease,
    pub(super) validation: Validation,
}

pub(super) enum AcquireStep {
    Grant(Grant),
    Waits(WaiterId, oneshot::Receiver<Result<Grant, Error>>),
}

/// A place in the queue; dropped, it leaves the queue.
pub(super) struct WaitGuard<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) waiter_id: WaiterId,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        // Bound to a variable, so that an answer inside is not dropped under the lock.
        let waiting = state.waiters.remove(&self.waiter_id);
        state.scheduler.cancel(self.pool.now(), self.waiter_id);
        self.pool.advance(state);
        drop(waiting);
    }
}
