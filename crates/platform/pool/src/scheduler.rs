//! Scheduler of connection slots: a pure state machine that decides everything and performs nothing.
//!
//! # What a slot is
//!
//! A slot is one unit of this process's share of the server's limit. It is occupied while its connection is connecting,
//! idle, leased or closing, and while it cools down after a close. The number of occupied slots never exceeds the
//! share, so the server never sees more connections than it was promised.
//!
//! # How it is driven
//!
//! Events come in as method calls with the time as an argument. Decisions go out as [`Action`]s, which the shell takes
//! by [`Scheduler::poll_actions`] and carries out. [`Scheduler::next_timeout`] says when to call
//! [`Scheduler::handle_timeout`]. The scheduler does not await, sleep, read a clock or draw a random number of its own,
//! so a test can visit every reachable state. (quinn-proto and rustls are built in the same manner.)
//!
//! After each event `advance` brings the slots in order: it ends cool-downs, serves waiters, evicts idle connections,
//! judges the attempts under way, denies callers that cannot be served, and begins new attempts.
//!
//! # Three rules
//!
//! - *Waiters are served; they do not serve themselves.* A caller waits in the queue. A connection that is released or
//!   connected goes to the first waiter that is eligible for it. A caller that leaves wastes no handshake.
//! - *A connection attempt belongs to no caller.* As many are under way as waiters can use and free slots allow.
//! - *A refusal is back-pressure, not an error.* The slot is free again, the waiter keeps its place in the queue, and
//!   the next attempt backs off.
//!
//! # Where to find what
//!
//! `wait_queue.rs` orders callers; `scheduler/slots.rs` holds the state of each slot; `scheduler/connecting.rs` decides
//! when to connect, `scheduler/eviction.rs` when to close,
//! `scheduler/listener.rs` when to listen for notifications; `circuit_breaker.rs`, `backoff.rs` and `cooldown.rs` judge
//! connection attempts.

mod connecting;
mod eviction;
mod listener;
mod slots;

use std::time::Duration;

use crate::circuit_breaker::CircuitBreaker;
use crate::types::{
    Access, AcquireError, Action, CloseMode, CloseReason, ConnectErrorKind, Lane, ReleaseOutcome, Rotation,
    SchedulerConfig, SlotCounts, SlotId, Timestamp, Validation, WaiterId, Writers,
};
use crate::wait_queue::{WaitQueue, Waiter};

use listener::Listener;
use slots::{Slot, Slots};

/// Decides what happens to each slot and each waiting caller.
#[derive(Clone, Debug, Hash)]
pub struct Scheduler {
    config: SchedulerConfig,
    share: usize,
    rotation: Rotation,
    draining: bool,
    slots: Slots,
    queue: WaitQueue,
    breaker: CircuitBreaker,
    listener: Listener,
    /// The time of the last event: everything due by then has been done.
    advanced_to: Timestamp,
    actions: Vec<Action>,
}

impl Scheduler {
    /// Starts without connections. `seed` feeds the jitter.
    pub fn new(config: SchedulerConfig, share: usize, seed: u64) -> Self {
        Self {
            breaker: CircuitBreaker::new(config.grace, seed),
            queue: WaitQueue::new(config.background_timeout),
            config,
            share: share.max(1),
            rotation: Rotation::Off,
            draining: false,
            slots: Slots::default(),
            listener: Listener::default(),
            advanced_to: Timestamp::ZERO,
            actions: Vec::new(),
        }
    }

    /// Takes the actions to carry out, in order.
    pub fn poll_actions(&mut self) -> std::vec::Drain<'_, Action> {
        self.actions.drain(..)
    }

    /// Queues a caller; a grant or a denial for the returned id follows, now or later.
    ///
    /// # Errors
    /// [`AcquireError::Draining`] where the pool is closing, [`AcquireError::Full`] where `max_waiting` callers wait,
    /// [`AcquireError::CircuitOpen`] where the breaker is open and no lease is likely to be released.
    pub fn request(&mut self, now: Timestamp, lane: Lane) -> Result<WaiterId, AcquireError> {
        let lane = self.queued_lane(lane);
        if self.must_wait(lane) && self.queue.len() >= self.config.max_waiting && !self.draining {
            return Err(AcquireError::Full);
        }
        self.admit(now, lane)?;
        let waiter_id = self.queue.push(Waiter { lane, since: now });
        self.advance(now);
        Ok(waiter_id)
    }

    /// Queues a caller that was served before, at the place of its first arrival and whatever the length of the queue.
    ///
    /// A unit of work that leases several times is so finished before later ones begin; under overload most units would
    /// otherwise fail half-way. `first` is the id of its first request, which must not be waiting now.
    ///
    /// # Errors
    /// As [`Scheduler::request`], without [`AcquireError::Full`].
    pub fn request_again(
        &mut self,
        now: Timestamp,
        lane: Lane,
        first: WaiterId,
    ) -> Result<WaiterId, AcquireError> {
        let lane = self.queued_lane(lane);
        self.admit(now, lane)?;
        self.queue.insert(first, Waiter { lane, since: now });
        self.advance(now);
        Ok(first)
    }

    /// Removes a waiter from the queue; returns whether it was still waiting.
    pub fn cancel(&mut self, now: Timestamp, waiter_id: WaiterId) -> bool {
        let was_waiting = self.queue.remove(waiter_id).is_some();
        self.advance(now);
        was_waiting
    }

    /// A connection attempt has passed authentication; from now on it may be waiting in the pooler's own queue.
    pub fn logged_in(&mut self, slot: SlotId) {
        self.slots.log_in(slot);
    }

    /// A connection attempt succeeded. `lifetime` is `max_lifetime` with its jitter.
    pub fn connected(&mut self, now: Timestamp, slot: SlotId, lifetime: Duration) {
        if !matches!(self.slots.state(slot), Some(Slot::Connecting { .. })) {
            return;
        }
        self.breaker.succeeded(now);
        self.listener.in_doubt = false;
        let expires = now + lifetime;
        self.slots.put(slot, Slot::Idle { expires, since: now });
        self.advance(now);
    }

    /// A connection attempt failed; it occupies nothing at the server.
    pub fn connect_failed(&mut self, now: Timestamp, slot: SlotId, kind: ConnectErrorKind) {
        let Some(Slot::Connecting { since, cancelled, .. }) = self.slots.state(slot) else {
            return;
        };
        self.slots.remove(slot);
        // An attempt that ended uncancelled and without a reason is paced like any other failure.
        let kind = match kind {
            ConnectErrorKind::Cancelled if !cancelled => ConnectErrorKind::Unreachable,
            kind => kind,
        };
        self.breaker.failed(now, since, kind);
        self.listener.in_doubt |= kind != ConnectErrorKind::Cancelled;
        self.advance(now);
    }

    /// A lease was released.
    pub fn released(&mut self, now: Timestamp, slot: SlotId, outcome: ReleaseOutcome) {
        let Some(Slot::Leased { expires, .. }) = self.slots.state(slot) else {
            return;
        };
        match outcome {
            ReleaseOutcome::Clean => {
                self.breaker.alive(now);
                self.listener.in_doubt = false;
                self.slots.put(slot, Slot::Idle { expires, since: now });
                if let Some(why) = self.close_reason(now, expires) {
                    self.close(slot, CloseMode::Graceful, why);
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

    /// The close of a connection has ended.
    pub fn closed(&mut self, now: Timestamp, slot: SlotId) {
        if matches!(self.slots.state(slot), Some(Slot::Closing)) {
            self.free(now, slot);
            self.advance(now);
        }
    }

    /// Sets the number of slots, at least one.
    pub fn set_share(&mut self, now: Timestamp, share: usize) {
        self.share = share.max(1);
        self.advance(now);
    }

    /// Starts or ends rotation. Idle connections are closed with the next event, which is the change of the share that
    /// follows.
    pub fn set_rotation(&mut self, rotation: Rotation) {
        self.rotation = rotation;
    }

    /// Leases an idle connection to the pool's own maintenance, unless a caller waits for one.
    pub fn borrow_idle(&mut self, now: Timestamp) -> Option<SlotId> {
        if !self.queue.is_empty() || self.draining {
            return None;
        }
        let slot = self.slots.last_used()?;
        self.lease(now, slot, Lane::default());
        Some(slot)
    }

    /// Denies new and waiting callers, cancels connection attempts and closes idle connections.
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

    /// Does what has become due; called at [`Scheduler::next_timeout`].
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// Returns when `handle_timeout` is due next, if at all.
    ///
    /// Counts from the last event rather than from `now`, so that what became due since then is not forgotten.
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
            .chain([next, trip, error, self.listener_due()].into_iter().flatten())
            .filter(|moment| *moment > self.advanced_to)
            .min()
            .map(|moment| moment.max(now))
    }

    /// Returns the number of slots in each state.
    pub fn slot_counts(&self) -> SlotCounts {
        self.slots.count
    }

    /// Returns the numbers of waiting requests and of waiting background work.
    pub fn waiting(&self) -> (usize, usize) {
        self.queue.lengths()
    }

    /// Returns the present share.
    pub fn share(&self) -> usize {
        self.share
    }

    /// Returns the circuit breaker.
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// Returns whether no connection is left; a slot that cools down has none.
    pub fn is_empty(&self) -> bool {
        self.slots.count.total() == self.slots.count.cooling_down
    }

    /// The lane in the queue: access matters only where there is a single writer.
    fn queued_lane(&self, lane: Lane) -> Lane {
        match self.config.writers {
            Writers::One => lane,
            Writers::Many => Lane {
                access: Access::Read,
                ..lane
            },
        }
    }

    fn must_wait(&self, lane: Lane) -> bool {
        self.slots.count.idle == 0 || !self.eligible()(lane)
    }

    /// Decides whether a caller is served or may wait.
    fn admit(&mut self, now: Timestamp, lane: Lane) -> Result<(), AcquireError> {
        if self.draining {
            return Err(AcquireError::Draining);
        }
        if !self.must_wait(lane) {
            return Ok(());
        }
        if self.queue.is_empty() && self.slots.count.connecting == 0 {
            self.breaker.forget_stale_trouble(now);
        }
        match self.breaker.denies(now) {
            Some(outage) if !self.has_live_leases(now) => Err(AcquireError::CircuitOpen(outage)),
            _ => Ok(()),
        }
    }

    /// Brings the slots in order after an event. Waiters are served before eviction, so that a connection that a
    /// caller waits for is not closed for having been unused.
    fn advance(&mut self, now: Timestamp) {
        self.advanced_to = now;
        self.end_cooldowns(now);
        self.serve(now);
        self.close_idle(now);
        self.judge_attempts(now);
        self.deny_hopeless(now);
        self.connect(now);
        self.keep_listener(now);
    }

    fn end_cooldowns(&mut self, now: Timestamp) {
        if self.slots.count.cooling_down == 0 {
            return;
        }
        let cooled = |state: &Slot| matches!(state, Slot::CoolingDown { until } if *until <= now);
        while let Some(slot) = self.slots.find(cooled) {
            self.slots.remove(slot);
        }
    }

    /// Grants idle connections to the waiters that are eligible for them.
    fn serve(&mut self, now: Timestamp) {
        while let Some(slot) = self.slots.last_used() {
            let Some((waiter_id, waiter)) = self.queue.pop_eligible(now, self.eligible()) else {
                return;
            };
            let validation = self.lease(now, slot, waiter.lane);
            self.actions.push(Action::Grant {
                waiter_id,
                slot,
                validation,
            });
        }
    }

    /// Leases an idle connection; returns whether it is to be validated first.
    fn lease(&mut self, now: Timestamp, slot: SlotId, lane: Lane) -> Validation {
        let Some(Slot::Idle { expires, since }) = self.slots.state(slot) else {
            return Validation::Skipped;
        };
        self.slots.put(slot, Slot::Leased { expires, lane });
        match now.saturating_sub(since) > self.config.validate_after_idle {
            true => Validation::Required,
            false => Validation::Skipped,
        }
    }

    /// Which callers may have a connection now, if there is one.
    fn eligible(&self) -> impl Fn(Lane) -> bool + use<> {
        let (background, writer) = (self.background_room() > 0, self.slots.writers_leased == 0);
        move |lane: Lane| (background || !lane.is_background()) && (writer || !lane.writes())
    }

    /// How many more leases background work may have: it leaves requests one slot where there is more than one. The
    /// listener counts as background work, but leaves other work one lease: requests can have its slot back.
    fn background_room(&self) -> usize {
        let most = self.share.saturating_sub(1 + self.slots.count.listening).max(1);
        most.saturating_sub(self.slots.background_leased)
    }

    fn close(&mut self, slot: SlotId, mode: CloseMode, why: CloseReason) {
        self.slots.put(slot, Slot::Closing);
        self.actions.push(Action::Close { slot, mode, why });
    }

    /// Frees a slot whose connection is closed, after the cool-down that the pooler was seen to need.
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
