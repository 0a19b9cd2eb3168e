//! Connecting: when a connection attempt begins, is cancelled, or shows that the server is not reachable.

use super::Scheduler;
use super::slots::Slot;
use crate::types::{AcquireError, Action, SlotId, Timestamp};

impl Scheduler {
    /// Begins as many attempts as waiters can use, and free slots and the breaker allow.
    pub(super) fn connect(&mut self, now: Timestamp) {
        loop {
            let under_way = self.under_way(now);
            if !self.wants_connection(under_way) || !self.breaker.permits(now, under_way) {
                return;
            }
            if self.slots.count.total() >= self.share || self.breaker.probes_full(self.slots.count.connecting)
            {
                return self.make_room(now);
            }
            let probe = self.breaker.is_unreachable();
            let within = self.breaker.attempt(now, self.config.connect_timeout, self.share);
            let slot = self.slots.add(Slot::Connecting {
                since: now,
                probe,
                logged_in: false,
                cancelled: false,
            });
            self.actions.push(Action::Connect { slot, within });
        }
    }

    /// Attempts that are expected to succeed; one that hangs does not keep another from beginning.
    pub(super) fn under_way(&self, now: Timestamp) -> usize {
        let hanging = self.slots.states().filter(|state| match state {
            Slot::Connecting {
                since,
                logged_in: false,
                ..
            } => self.breaker.hang_deadline(*since) <= now,
            _ => false,
        });
        self.slots.count.connecting - hanging.count()
    }

    fn wants_connection(&self, under_way: usize) -> bool {
        let usable = self
            .queue
            .usable(self.background_room(), self.slots.writers_leased);
        // During an outage attempts overlap even before they hang.
        let probe = self.breaker.probing() || (self.breaker.is_unreachable() && usable > 0);
        !self.draining && (probe || usable > under_way)
    }

    /// Cancels the oldest attempt that hangs and occupies a slot that another needs.
    ///
    /// Probes end soon by themselves. An attempt that has logged in may be in a pooler's queue and would lose its place.
    fn make_room(&mut self, now: Timestamp) {
        let cancelled = |state: &Slot| matches!(state, Slot::Connecting { cancelled: true, .. });
        if self.slots.find(cancelled).is_some() {
            return;
        }
        let stale = |state: &Slot| match state {
            Slot::Connecting {
                since,
                probe: false,
                logged_in: false,
                ..
            } => self.stale_at(*since) <= now,
            _ => false,
        };
        if let Some(slot) = self.slots.find(stale) {
            self.cancel_connect(slot);
        }
    }

    /// When an attempt that is not a probe may be cancelled in favour of another.
    fn stale_at(&self, since: Timestamp) -> Timestamp {
        if self.breaker.is_unreachable() {
            since + self.breaker.probe_timeout(self.share)
        } else {
            self.breaker.hang_deadline(since)
        }
    }

    pub(super) fn cancel_connect(&mut self, slot: SlotId) {
        if self.slots.cancel_connect(slot) {
            self.actions.push(Action::CancelConnect { slot });
        }
    }

    /// Notes attempts that hang, which is evidence before they time out. Then trips the breaker where a caller has
    /// waited through the grace, or forgets an old failure where no caller waits.
    pub(super) fn judge_attempts(&mut self, now: Timestamp) {
        for state in self.slots.states() {
            if let Slot::Connecting {
                since,
                logged_in: false,
                ..
            } = *state
            {
                self.breaker.hanging(now, since);
            }
        }
        if !self.queue.is_empty() {
            self.breaker.trip_if_due(now);
        } else if self.slots.count.connecting == 0 {
            self.breaker.forget_stale_trouble(now);
        }
    }

    /// Denies waiters where the breaker is open and no lease is likely to be released.
    pub(super) fn deny_hopeless(&mut self, now: Timestamp) {
        if self.queue.is_empty() || self.has_live_leases(now) {
            return;
        }
        if let Some(outage) = self.breaker.denies(now) {
            self.deny_all(AcquireError::CircuitOpen(outage));
        }
    }

    pub(super) fn deny_all(&mut self, error: AcquireError) {
        while let Some(waiter_id) = self.queue.pop_any() {
            self.actions.push(Action::Deny { waiter_id, error });
        }
    }

    /// Whether there are leases, and a connection has shown life within the grace.
    pub(super) fn has_live_leases(&self, now: Timestamp) -> bool {
        self.slots.count.leased > 0 && self.breaker.recently_alive(now)
    }

    /// When the state of a slot that is not idle is to be examined.
    pub(super) fn slot_due(&self, state: &Slot) -> Option<Timestamp> {
        match *state {
            Slot::CoolingDown { until } => Some(until),
            Slot::Connecting {
                since,
                logged_in: false,
                ..
            } => {
                let dues = [self.stale_at(since), self.breaker.hang_deadline(since)];
                dues.into_iter().filter(|due| *due > self.advanced_to).min()
            }
            _ => None,
        }
    }
}
