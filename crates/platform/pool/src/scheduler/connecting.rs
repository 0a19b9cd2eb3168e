//! When connections are opened, and what it means when none can be.

use super::Scheduler;
use super::slots::Slot;
use crate::types::{AcquireError, Action, SlotId, Timestamp};

impl Scheduler {
    /// Opens as many as waiters can use, and free slots and the breaker allow.
    pub(super) fn open(&mut self, now: Timestamp) {
        loop {
            let under_way = self.under_way(now);
            if !self.wants_opening(under_way) || !self.breaker.permits(now, under_way) {
                return;
            }
            if self.slots.count.total() >= self.share || self.breaker.crowded(self.slots.count.opening) {
                return self.make_room(now);
            }
            let probe = self.breaker.troubled();
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

    /// Openings from which a connection is expected; one that hangs keeps no other from beginning.
    fn under_way(&self, now: Timestamp) -> usize {
        let hanging = self.slots.states().filter(|state| match state {
            Slot::Connecting {
                since,
                logged_in: false,
                ..
            } => self.breaker.hangs_at(*since) <= now,
            _ => false,
        });
        self.slots.count.opening - hanging.count()
    }

    fn wants_opening(&self, under_way: usize) -> bool {
        let writer_busy = self.slots.writers_leased > 0;
        let usable = self.queue.eligible(self.background_room(), writer_busy);
        // In last_connect_error openings overlap even before they hang.
        let probe = self.breaker.probing() || (self.breaker.troubled() && usable > 0);
        !self.draining && (probe || usable > under_way)
    }

    /// Gives up the eldest opening that brings nothing and keeps another from its slot.
    ///
    /// Probes end by themselves soon. One that has logged in waits for its turn and would lose it.
    fn make_room(&mut self, now: Timestamp) {
        let leaving = |state: &Slot| matches!(state, Slot::Connecting { cancelled: true, .. });
        if self.slots.find(leaving).is_some() {
            return;
        }
        let in_the_way = |state: &Slot| match state {
            Slot::Connecting {
                since,
                probe: false,
                logged_in: false,
                ..
            } => self.stale_at(*since) <= now,
            _ => false,
        };
        if let Some(slot) = self.slots.find(in_the_way) {
            self.cancel_connect(slot);
        }
    }

    /// When an opening that began before the last_connect_error, or without any, may be given up for another.
    fn stale_at(&self, since: Timestamp) -> Timestamp {
        if self.breaker.troubled() {
            since + self.breaker.probe_patience(self.share)
        } else {
            self.breaker.hangs_at(since)
        }
    }

    pub(super) fn cancel_connect(&mut self, slot: SlotId) {
        if self.slots.cancel_connect(slot) {
            self.actions.push(Action::CancelConnect { slot });
        }
    }

    /// Notes openings that hang, which are evidence before their own limit ends; then lets the last_connect_error
    /// break the circuit where somebody has waited through it, or blow over where nobody tries.
    pub(super) fn judge_openings(&mut self, now: Timestamp) {
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
        } else if self.slots.count.opening == 0 {
            self.breaker.forget_stale_trouble(now);
        }
    }

    /// Sends waiters away where the breaker is open and nothing is lent that might come back.
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

    /// Whether connections are out that have shown life lately.
    pub(super) fn has_live_leases(&self, now: Timestamp) -> bool {
        self.slots.count.leased > 0 && self.breaker.lately_alive(now)
    }

    /// When a slot that is not idle wants to be looked at.
    pub(super) fn slot_due(&self, state: &Slot) -> Option<Timestamp> {
        match *state {
            Slot::CoolingDown { until } => Some(until),
            Slot::Connecting {
                since,
                logged_in: false,
                ..
            } => {
                let dues = [self.stale_at(since), self.breaker.hangs_at(since)];
                dues.into_iter().filter(|due| *due > self.advanced_to).min()
            }
            _ => None,
        }
    }
}
