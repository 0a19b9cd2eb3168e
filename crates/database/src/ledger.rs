//! The books of the slots: a pure state machine that decides everything and does nothing.
//!
//! A slot is one unit of this process's share of the limit. Its connection occupies it while opening,
//! idle, leased or closing, and while it rests after a close. Events come in as method calls with the
//! time as an argument; decisions go out as [`Effect`]s, which a thin shell carries out. Nothing here
//! awaits, sleeps, reads a clock or draws a random number that was not passed in, so every reachable
//! state can be visited by a test.
//!
//! Three rules explain most of the code:
//!
//! - *Waiters are served, they do not serve themselves.* A caller holds a ticket; connections that come
//!   back or open go to the first ticket that may have them. A caller that leaves wastes no handshake.
//! - *An opening belongs to nobody.* There are as many under way as waiters can use and free slots allow.
//! - *A refusal is back-pressure.* Its slot is free again, its waiter keeps its place, and the next
//!   attempt waits its time alone.

mod books;
mod keeping;
mod openings;
mod words;

use std::time::Duration;

use crate::breaker::Breaker;
use crate::queue::{Queue, Waiter};

use books::{Books, Slot};
pub use words::{
    Closing, Denial, Effect, Failure, Moment, Occupation, Purpose, Return, SlotId, Terms, Ticket,
};

/// The state machine.
#[derive(Clone, Debug, Hash)]
pub struct Ledger {
    terms: Terms,
    share: usize,
    yielding: bool,
    draining: bool,
    books: Books,
    queue: Queue,
    breaker: Breaker,
    /// Everything due by then has been done.
    settled: Moment,
    effects: Vec<Effect>,
}

impl Ledger {
    /// Begins with no connection. `seed` feeds the jitter.
    pub fn new(terms: Terms, share: usize, seed: u64) -> Self {
        Self {
            breaker: Breaker::new(terms.grace, seed),
            queue: Queue::new(terms.patience),
            terms,
            share: share.max(1),
            yielding: false,
            draining: false,
            books: Books::default(),
            settled: Moment::ZERO,
            effects: Vec::new(),
        }
    }

    /// Takes what is to be done, in order.
    pub fn drain_effects(&mut self) -> std::vec::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// Asks for a connection: a grant or a denial for the ticket follows, now or later.
    ///
    /// # Errors
    /// A denial at once where the pool is closing, broken with nothing to lend, or `max_waiting` wait.
    pub fn request(&mut self, now: Moment, purpose: Purpose) -> Result<Ticket, Denial> {
        if self.draining {
            return Err(Denial::Draining);
        }
        let purpose = Purpose {
            writes: purpose.writes && self.terms.single_writer,
            ..purpose
        };
        if self.books.count.idle == 0 || !self.may_have()(purpose) {
            self.admit(now)?;
        }
        let ticket = self.queue.push(Waiter { purpose, since: now });
        self.settle(now);
        Ok(ticket)
    }

    /// Takes a waiter out of the queue; returns whether it was still there.
    pub fn cancel(&mut self, now: Moment, ticket: Ticket) -> bool {
        let was_waiting = self.queue.remove(ticket).is_some();
        self.settle(now);
        was_waiting
    }

    /// An opening has passed authentication: from here on it may be waiting for its turn.
    pub fn logged_in(&mut self, slot: SlotId) {
        self.books.log_in(slot);
    }

    /// An opening succeeded. `lifetime` is `recycle` with its jitter.
    pub fn opened(&mut self, now: Moment, slot: SlotId, lifetime: Duration) {
        if !matches!(self.books.state(slot), Some(Slot::Opening { .. })) {
            return;
        }
        self.breaker.succeeded(now);
        let expires = now + lifetime;
        self.books.put(slot, Slot::Idle { expires, since: now });
        self.settle(now);
    }

    /// An opening failed; its connection is gone.
    pub fn failed(&mut self, now: Moment, slot: SlotId, failure: Failure) {
        let Some(Slot::Opening { since, given_up, .. }) = self.books.state(slot) else {
            return;
        };
        self.books.remove(slot);
        // One that ended by itself and cannot say why must be paced like any other that brings nothing.
        let unasked = failure == Failure::Abandoned && !given_up;
        let failure = if unasked { Failure::Unreachable } else { failure };
        self.breaker.failed(now, since, failure);
        self.settle(now);
    }

    /// A lease ended.
    pub fn returned(&mut self, now: Moment, slot: SlotId, how: Return) {
        let Some(Slot::Leased { expires, .. }) = self.books.state(slot) else {
            return;
        };
        match how {
            Return::Clean => {
                self.breaker.alive(now);
                self.books.put(slot, Slot::Idle { expires, since: now });
                if let Some(why) = self.why_not_again(now, expires) {
                    self.close(slot, true, why);
                }
            }
            Return::Dropped => self.free(now, slot),
            Return::Dead => {
                self.free(now, slot);
                self.close_suspects(now);
            }
            Return::Closing => self.books.put(slot, Slot::Closing),
        }
        self.settle(now);
    }

    /// A connection that was closing is closed.
    pub fn gone(&mut self, now: Moment, slot: SlotId) {
        if matches!(self.books.state(slot), Some(Slot::Closing)) {
            self.free(now, slot);
            self.settle(now);
        }
    }

    /// Sets how many slots there are, at least one.
    pub fn set_share(&mut self, now: Moment, share: usize) {
        self.share = share.max(1);
        self.settle(now);
    }

    /// Makes every holder close its connection after each turn, for instances that have none.
    ///
    /// What lies idle goes with the next event: a change of the number of instances is followed by one
    /// of the share.
    pub fn set_yielding(&mut self, yielding: bool) {
        self.yielding = yielding;
    }

    /// Lends an idle connection to the pool's own errands if nobody waits for one.
    pub fn borrow_idle(&mut self, now: Moment) -> Option<SlotId> {
        if !self.queue.is_empty() || self.draining {
            return None;
        }
        let slot = self.books.last_used()?;
        self.lease(now, slot, Purpose::default());
        Some(slot)
    }

    /// Takes no more callers, sends the waiting ones away, gives openings up and closes what is idle.
    pub fn drain(&mut self, now: Moment) {
        self.draining = true;
        self.deny_all(Denial::Draining);
        while let Some(slot) = self
            .books
            .find(|state| matches!(state, Slot::Opening { given_up: false, .. }))
        {
            self.give_up(slot);
        }
        self.settle(now);
    }

    /// Does what has become due.
    pub fn tick(&mut self, now: Moment) {
        self.settle(now);
    }

    /// When `tick` is due next, if at all.
    ///
    /// Counts from the last event rather than from now, so that what became due since is not forgotten.
    pub fn wake_at(&self, now: Moment) -> Option<Moment> {
        let waits = !self.queue.is_empty();
        let wanted = (waits || self.breaker.probing()) && !self.draining;
        let next = wanted.then(|| self.breaker.next_attempt(self.settled)).flatten();
        let trip = waits.then(|| self.breaker.trips_at()).flatten();
        let hopeless = waits && self.breaker.denies(self.settled).is_some();
        let denial = hopeless.then(|| self.breaker.alive_until()).flatten();
        let slots = self.books.states().filter_map(|state| self.slot_due(state));
        slots
            .chain(self.idle_dues().map(|(_, due, _)| due))
            .chain([next, trip, denial].into_iter().flatten())
            .filter(|moment| *moment > self.settled)
            .min()
            .map(|moment| moment.max(now))
    }

    /// Slots by state.
    pub fn occupation(&self) -> Occupation {
        self.books.count
    }

    /// Callers waiting: requests, then background work.
    pub fn waiting(&self) -> (usize, usize) {
        self.queue.lengths()
    }

    /// The present share.
    pub fn share(&self) -> usize {
        self.share
    }

    /// The judge of openings.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Whether no connection is left; a slot that rests has none.
    pub fn is_empty(&self) -> bool {
        self.books.count.total() == self.books.count.resting
    }

    /// Decides whether one more caller may wait.
    fn admit(&mut self, now: Moment) -> Result<(), Denial> {
        if self.queue.len() >= self.terms.max_waiting {
            return Err(Denial::Full);
        }
        if self.queue.is_empty() && self.books.count.opening == 0 {
            self.breaker.forget_stale_trouble(now);
        }
        match self.breaker.denies(now) {
            Some(verdict) if !self.lends(now) => Err(Denial::Broken(verdict)),
            _ => Ok(()),
        }
    }

    /// Brings the books in order after any event. Waiters come before tidying up: a connection that
    /// somebody waits for is not closed for having been unused.
    fn settle(&mut self, now: Moment) {
        self.settled = now;
        self.wake_resting(now);
        self.serve(now);
        self.close_idle(now);
        self.judge_openings(now);
        self.deny_hopeless(now);
        self.open(now);
    }

    fn wake_resting(&mut self, now: Moment) {
        if self.books.count.resting == 0 {
            return;
        }
        let rested = |state: &Slot| matches!(state, Slot::Resting { until } if *until <= now);
        while let Some(slot) = self.books.find(rested) {
            self.books.remove(slot);
        }
    }

    /// Pairs idle connections with the waiters that may have them.
    fn serve(&mut self, now: Moment) {
        while let Some(slot) = self.books.last_used() {
            let Some((ticket, waiter)) = self.queue.take_next(now, self.may_have()) else {
                return;
            };
            let check = self.lease(now, slot, waiter.purpose);
            self.effects.push(Effect::Grant { ticket, slot, check });
        }
    }

    /// Turns an idle slot into a leased one and tells whether its connection wants a check first.
    fn lease(&mut self, now: Moment, slot: SlotId, purpose: Purpose) -> bool {
        let Some(Slot::Idle { expires, since }) = self.books.state(slot) else {
            return false;
        };
        self.books.put(slot, Slot::Leased { expires, purpose });
        now.saturating_sub(since) > self.terms.check_after
    }

    /// Which callers may have a connection now, if there is one.
    fn may_have(&self) -> impl Fn(Purpose) -> bool + use<> {
        let (background, writer) = (self.background_room() > 0, self.books.writers_leased == 0);
        move |purpose| (background || !purpose.background) && (writer || !purpose.writes)
    }

    /// Background work leaves requests one slot where there is more than one.
    fn background_room(&self) -> usize {
        let most = self.share.saturating_sub(1).max(1);
        most.saturating_sub(self.books.background_leased)
    }

    fn close(&mut self, slot: SlotId, polite: bool, why: Closing) {
        self.books.put(slot, Slot::Closing);
        self.effects.push(Effect::Close { slot, polite, why });
    }

    /// Frees a slot whose connection is closed, after the rest that the pooler was seen to need.
    fn free(&mut self, now: Moment, slot: SlotId) {
        match self.breaker.closed_one(now) {
            Some(rest) => self.books.put(slot, Slot::Resting { until: now + rest }),
            None => self.books.remove(slot),
        }
    }
}
