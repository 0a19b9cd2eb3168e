//! How a caller asks for a connection and waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Pool;
use super::state::Waiting;
use crate::error::Error;
use crate::events::Event;
use crate::lease::Lease;
use crate::ledger::{Denial, Purpose, Ticket};
use crate::tag::Tag;

impl Pool {
    /// Waits for a connection, at most until the deadline.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue; a lease already on its way goes back.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        tag: &Arc<Tag>,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Lease, Error> {
        let begun = Instant::now();
        loop {
            let Granted { mut lease, check } = self.acquire_any(tag, purpose, deadline, begun).await?;
            if !check || lease.check(deadline).await {
                tag.waited(begun.elapsed());
                return Ok(lease);
            }
        }
    }

    async fn acquire_any(
        self: &Arc<Self>,
        tag: &Arc<Tag>,
        purpose: Purpose,
        deadline: Instant,
        begun: Instant,
    ) -> Result<Granted, Error> {
        let (ticket, mut answer) = match self.ask(tag, purpose, begun)? {
            Asked::Granted(granted) => return Ok(granted),
            Asked::Waits(ticket, answer) => (ticket, answer),
        };
        let place = Place { pool: self, ticket };
        match tokio::time::timeout_at(deadline.into(), &mut answer).await {
            Ok(Ok(answer)) => {
                std::mem::forget(place);
                answer
            }
            // The pool keeps each sender until it answers, so a closed channel means it has ended.
            Ok(Err(_)) => Err(Error::ShuttingDown),
            Err(_) => {
                drop(place);
                // It may have been answered in the instant between.
                answer
                    .try_recv()
                    .unwrap_or_else(|_| Err(self.timed_out(tag, begun.elapsed())))
            }
        }
    }

    fn ask(self: &Arc<Self>, tag: &Arc<Tag>, purpose: Purpose, since: Instant) -> Result<Asked, Error> {
        let mut state = self.lock();
        let now = self.now();
        let ticket = match state.ledger.request(now, purpose) {
            Ok(ticket) => ticket,
            Err(denial) => {
                if denial == Denial::Full {
                    state.totals.record(&Event::TurnedAway { label: &tag.label });
                }
                return Err(state.explain(denial));
            }
        };
        let (sender, receiver) = oneshot::channel();
        state.waiters.insert(
            ticket,
            Waiting {
                answer: sender,
                tag: tag.clone(),
                since,
            },
        );
        self.settle(state);
        // Most callers find a connection idle: their answer is there already.
        let mut receiver = receiver;
        match receiver.try_recv() {
            Ok(answer) => answer.map(Asked::Granted),
            Err(_) => Ok(Asked::Waits(ticket, receiver)),
        }
    }

    fn timed_out(&self, tag: &Tag, waited: Duration) -> Error {
        let mut state = self.lock();
        state.totals.record(&Event::TimedOut {
            label: &tag.label,
            waited,
        });
        state.waits.record(waited);
        match state.ledger.breaker().denies(self.now()) {
            Some(verdict) => state.explain(Denial::Broken(verdict)),
            None if state.ledger.breaker().troubled() => Error::Unreachable {
                reason: state.reason(),
            },
            None => state.explain(Denial::Full),
        }
    }
}

/// A lease on its way to its caller.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(super) lease: Lease,
    pub(super) check: bool,
}

pub(super) enum Asked {
    Granted(Granted),
    Waits(Ticket, oneshot::Receiver<Result<Granted, Error>>),
}

/// A place in the queue, given up when dropped.
pub(super) struct Place<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        // Bound first: an answer inside would be dropped under the lock.
        let waiting = state.waiters.remove(&self.ticket);
        state.ledger.cancel(self.pool.now(), self.ticket);
        self.pool.settle(state);
        drop(waiting);
    }
}
