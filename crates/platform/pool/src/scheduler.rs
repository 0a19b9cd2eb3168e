//! The slots of the slots: a pure state machine that decides everything and does nothing.
//!
//! A slot is one unit of this process's share of the limit. Its connection occupies it while opening,
//! idle, leased or closing, and while it rests after a close. Events come in as method calls with the
//! time as an argument; decisions go out as [`Action`]s, which a thin shell carries out. Nothing here
//! awaits, sleeps, reads a clock or draws a random number that was not passed in, so every reachable
//! state can be visited by a test.
//!
//! Three rules explain most of the code:
//!
//! - *Waiters are served, they do not serve themselves.* A caller holds a waiter_id; connections that come
//!   back or open go to the first waiter_id that may have them. A caller that leaves wastes no handshake.
//! - *An opening belongs to nobody.* There are as many under way as waiters can use and free slots allow.
//! - *A refusal is back-pressure.* Its slot is free again, its waiter keeps its guard, and the next
//!   attempt waits its time alone.

mod connecting;
mod eviction;
mod slots;

use std::time::Duration;

use crate::circuit_breaker::CircuitBreaker;
use crate::types::{
    AcquireError, Action, CloseReason, ConnectErrorKind, Lane, ReleaseOutcome, SchedulerConfig, SlotCounts,
    SlotId, Timestamp, WaiterId,
};
use crate::wait_queue::{Queue, Waiter};

use slots::{Slot, Slots};

/// The state machine.
#[derive(Clone, Debug, Hash)]
pub struct Scheduler {
    config: SchedulerConfig,
    share: usize,
    rotating: bool,
    draining: bool,
    slots: Slots,
    queue: Queue,
    breaker: CircuitBreaker,
    /// Everything due by then has been done.
    advanced_to: Timestamp,
    actions: Vec<Action>,
}

impl Scheduler {
    /// Begins with no connection. `seed` feeds the jitter.
    pub fn new(config: SchedulerConfig, share: usize, seed: u64) -> Self {
        Self {
            breaker: CircuitBreaker::new(config.grace, seed),
            queue: Queue::new(config.patience),
            config,
            share: share.max(1),
            rotating: false,
            draining: false,
            slots: Slots::default(),
            advanced_to: Timestamp::ZERO,
            actions: Vec::new(),
        }
    }

    /// Takes what is to be done, in order.
    pub fn poll_actions(&mut self) -> std::vec::Drain<'_, Action> {
        self.actions.drain(..)
    }

    /// Asks for a connection: a grant or a error for the waiter_id follows, now or later.
    ///
    /// # Errors
    /// A error at once where the pool is closing, broken with nothing to lend, or `max_waiting` wait.
    pub fn request(&mut self, now: Timestamp, lane: Lane) -> Result<WaiterId, AcquireError> {
        if self.draining {
            return Err(AcquireError::Draining);
        }
        let lane = Lane {
            writes: lane.writes && self.config.single_writer,
            ..lane
        };
        if self.slots.count.idle == 0 || !self.eligible()(lane) {
            self.admit(now)?;
        }
        let waiter_id = self.queue.push(Waiter { lane, since: now });
        self.advance(now);
        Ok(waiter_id)
    }

    /// Takes a waiter out of the queue; returns whether it was still there.
    pub fn cancel(&mut self, now: Timestamp, waiter_id: WaiterId) -> bool {
        let was_waiting = self.queue.remove(waiter_id).is_some();
        self.advance(now);
        was_waiting
    }

    /// An opening has passed authentication: from here on it may be waiting for its turn.
    pub fn logged_in(&mut self, slot: SlotId) {
        self.slots.log_in(slot);
    }

    /// An opening succeeded. `lifetime` is `recycle` with its jitter.
    pub fn opened(&mut self, now: Timestamp, slot: SlotId, lifetime: Duration) {
        if !matches!(self.slots.state(slot), Some(Slot::Connecting { .. })) {
            return;
        }
        self.breaker.succeeded(now);
        let expires = now + lifetime;
        self.slots.put(slot, Slot::Idle { expires, since: now });
        self.advance(now);
    }

    /// An opening failed; its connection is gone.
    pub fn failed(&mut self, now: Timestamp, slot: SlotId, failure: ConnectErrorKind) {
        let Some(Slot::Connecting { since, cancelled, .. }) = self.slots.state(slot) else {
            return;
        };
        self.slots.remove(slot);
        // One that ended by itself and cannot say why must be paced like any other that brings nothing.
        let unasked = failure == ConnectErrorKind::Cancelled && !cancelled;
        let failure = if unasked {
            ConnectErrorKind::Unreachable
        } else {
            failure
        };
        self.breaker.failed(now, since, failure);
        self.advance(now);
    }

    /// A lease ended.
    pub fn returned(&mut self, now: Timestamp, slot: SlotId, how: ReleaseOutcome) {
        let Some(Slot::Leased { expires, .. }) = self.slots.state(slot) else {
            return;
        };
        match how {
            ReleaseOutcome::Clean => {
                self.breaker.alive(now);
                self.slots.put(slot, Slot::Idle { expires, since: now });
                if let Some(why) = self.why_not_again(now, expires) {
                    self.close(slot, true, why);
                }
            }
            ReleaseOutcome::Dropped => self.free(now, slot),
            ReleaseOutcome::Dead => {
                self.free(now, slot);
                self.close_suspects(now);
            }
            ReleaseOutcome::Closing => self.slots.put(slot, Slot::Closing),
        }
        self.advance(now);
    }

    /// A connection that was closing is closed.
    pub fn closed(&mut self, now: Timestamp, slot: SlotId) {
        if matches!(self.slots.state(slot), Some(Slot::Closing)) {
            self.free(now, slot);
            self.advance(now);
        }
    }

    /// Sets how many slots there are, at least one.
    pub fn set_share(&mut self, now: Timestamp, share: usize) {
        self.share = share.max(1);
        self.advance(now);
    }

    /// Makes every holder close its connection after each turn, for instances that have none.
    ///
    /// What lies idle goes with the next event: a change of the number of instances is followed by one
    /// of the share.
    pub fn set_rotating(&mut self, rotating: bool) {
        self.rotating = rotating;
    }

    /// Lends an idle connection to the pool's own deferred if nobody waits for one.
    pub fn borrow_idle(&mut self, now: Timestamp) -> Option<SlotId> {
        if !self.queue.is_empty() || self.draining {
            return None;
        }
        let slot = self.slots.last_used()?;
        self.lease(now, slot, Lane::default());
        Some(slot)
    }

    /// Takes no more callers, sends the waiting ones away, gives openings up and closes what is idle.
    pub fn drain(&mut self, now: Timestamp) {
        self.draining = true;
        self.deny_all(AcquireError::Draining);
        while let Some(slot) = self
            .slots
            .find(|state| matches!(state, Slot::Connecting { cancelled: false, .. }))
        {
            self.cancel_connect(slot);
        }
        self.advance(now);
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// When `handle_timeout` is due next, if at all.
    ///
    /// Counts from the last event rather than from now, so that what became due since is not forgotten.
    pub fn next_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = !self.queue.is_empty();
        let wanted = (waits || self.breaker.probing()) && !self.draining;
        let next = wanted
            .then(|| self.breaker.next_attempt(self.advanced_to))
            .flatten();
        let trip = waits.then(|| self.breaker.trips_at()).flatten();
        let hopeless = waits && self.breaker.denies(self.advanced_to).is_some();
        let error = hopeless.then(|| self.breaker.alive_until()).flatten();
        let slots = self.slots.states().filter_map(|state| self.slot_due(state));
        slots
            .chain(self.idle_dues().map(|(_, due, _)| due))
            .chain([next, trip, error].into_iter().flatten())
            .filter(|moment| *moment > self.advanced_to)
            .min()
            .map(|moment| moment.max(now))
    }

    /// Slots by state.
    pub fn slot_counts(&self) -> SlotCounts {
        self.slots.count
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
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// Whether no connection is left; a slot that rests has none.
    pub fn is_empty(&self) -> bool {
        self.slots.count.total() == self.slots.count.cooling_down
    }

    /// Decides whether one more caller may wait.
    fn admit(&mut self, now: Timestamp) -> Result<(), AcquireError> {
        if self.queue.len() >= self.config.max_waiting {
            return Err(AcquireError::Full);
        }
        if self.queue.is_empty() && self.slots.count.opening == 0 {
            self.breaker.forget_stale_trouble(now);
        }
        match self.breaker.denies(now) {
            Some(outage) if !self.has_live_leases(now) => Err(AcquireError::CircuitOpen(outage)),
            _ => Ok(()),
        }
    }

    /// Brings the slots in order after any event. Waiters come before tidying up: a connection that
    /// somebody waits for is not closed for having been unused.
    fn advance(&mut self, now: Timestamp) {
        self.advanced_to = now;
        self.end_cooldowns(now);
        self.serve(now);
        self.close_idle(now);
        self.judge_openings(now);
        self.deny_hopeless(now);
        self.open(now);
    }

    fn end_cooldowns(&mut self, now: Timestamp) {
        if self.slots.count.cooling_down == 0 {
            return;
        }
        let rested = |state: &Slot| matches!(state, Slot::CoolingDown { until } if *until <= now);
        while let Some(slot) = self.slots.find(rested) {
            self.slots.remove(slot);
        }
    }

    /// Pairs idle connections with the waiters that may have them.
    fn serve(&mut self, now: Timestamp) {
        while let Some(slot) = self.slots.last_used() {
            let Some((waiter_id, waiter)) = self.queue.take_next(now, self.eligible()) else {
                return;
            };
            let check = self.lease(now, slot, waiter.lane);
            self.actions.push(Action::Grant {
                waiter_id,
                slot,
                check,
            });
        }
    }

    /// Turns an idle slot into a leased one and tells whether its connection wants a check first.
    fn lease(&mut self, now: Timestamp, slot: SlotId, lane: Lane) -> bool {
        let Some(Slot::Idle { expires, since }) = self.slots.state(slot) else {
            return false;
        };
        self.slots.put(slot, Slot::Leased { expires, lane });
        now.saturating_sub(since) > self.config.validate_after_idle
    }

    /// Which callers may have a connection now, if there is one.
    fn eligible(&self) -> impl Fn(Lane) -> bool + use<> {
        let (background, writer) = (self.background_room() > 0, self.slots.writers_leased == 0);
        move |lane| (background || !lane.background) && (writer || !lane.writes)
    }

    /// Background work leaves requests one slot where there is more than one.
    fn background_room(&self) -> usize {
        let most = self.share.saturating_sub(1).max(1);
        most.saturating_sub(self.slots.background_leased)
    }

    fn close(&mut self, slot: SlotId, polite: bool, why: CloseReason) {
        self.slots.put(slot, Slot::Closing);
        self.actions.push(Action::Close { slot, polite, why });
    }

    /// Frees a slot whose connection is closed, after the rest that the pooler was seen to need.
    fn free(&mut self, now: Timestamp, slot: SlotId) {
        match self.breaker.closed_one(now) {
            Some(cooldown) => self.slots.put(
                slot,
                Slot::CoolingDown {
                    until: now + cooldown,
                },
            ),
            None => self.slots.remove(slot),
        }
    }
}
