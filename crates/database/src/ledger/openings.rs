//! When connections are opened, and what it means when none can be.

use super::Ledger;
use super::books::Slot;
use super::words::{Denial, Effect, Moment, SlotId};

impl Ledger {
    /// Opens as many as waiters can use, and free slots and the breaker allow.
    pub(super) fn open(&mut self, now: Moment) {
        loop {
            let under_way = self.under_way(now);
            if !self.wants_opening(under_way) || !self.breaker.permits(now, under_way) {
                return;
            }
            if self.books.count.total() >= self.share || self.breaker.crowded(self.books.count.opening) {
                return self.make_room(now);
            }
            let probe = self.breaker.troubled();
            let within = self.breaker.attempt(now, self.terms.connect_timeout, self.share);
            let slot = self.books.add(Slot::Opening {
                since: now,
                probe,
                logged_in: false,
                given_up: false,
            });
            self.effects.push(Effect::Open { slot, within });
        }
    }

    /// Openings from which a connection is expected; one that hangs keeps no other from beginning.
    fn under_way(&self, now: Moment) -> usize {
        let hanging = self.books.states().filter(|state| match state {
            Slot::Opening {
                since,
                logged_in: false,
                ..
            } => self.breaker.hangs_at(*since) <= now,
            _ => false,
        });
        self.books.count.opening - hanging.count()
    }

    fn wants_opening(&self, under_way: usize) -> bool {
        let writer_busy = self.books.writers_leased > 0;
        let usable = self.queue.eligible(self.background_room(), writer_busy);
        // In trouble openings overlap even before they hang.
        let probe = self.breaker.probing() || (self.breaker.troubled() && usable > 0);
        !self.draining && (probe || usable > under_way)
    }

    /// Gives up the eldest opening that brings nothing and keeps another from its slot.
    ///
    /// Probes end by themselves soon. One that has logged in waits for its turn and would lose it.
    fn make_room(&mut self, now: Moment) {
        let leaving = |state: &Slot| matches!(state, Slot::Opening { given_up: true, .. });
        if self.books.find(leaving).is_some() {
            return;
        }
        let in_the_way = |state: &Slot| match state {
            Slot::Opening {
                since,
                probe: false,
                logged_in: false,
                ..
            } => self.stale_at(*since) <= now,
            _ => false,
        };
        if let Some(slot) = self.books.find(in_the_way) {
            self.give_up(slot);
        }
    }

    /// When an opening that began before the trouble, or without any, may be given up for another.
    fn stale_at(&self, since: Moment) -> Moment {
        if self.breaker.troubled() {
            since + self.breaker.probe_patience(self.share)
        } else {
            self.breaker.hangs_at(since)
        }
    }

    pub(super) fn give_up(&mut self, slot: SlotId) {
        if self.books.give_up(slot) {
            self.effects.push(Effect::Abandon { slot });
        }
    }

    /// Notes openings that hang, which are evidence before their own limit ends; then lets the trouble
    /// break the circuit where somebody has waited through it, or blow over where nobody tries.
    pub(super) fn judge_openings(&mut self, now: Moment) {
        for state in self.books.states() {
            if let Slot::Opening {
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
        } else if self.books.count.opening == 0 {
            self.breaker.forget_stale_trouble(now);
        }
    }

    /// Sends waiters away where the breaker is open and nothing is lent that might come back.
    pub(super) fn deny_hopeless(&mut self, now: Moment) {
        if self.queue.is_empty() || self.lends(now) {
            return;
        }
        if let Some(verdict) = self.breaker.denies(now) {
            self.deny_all(Denial::Broken(verdict));
        }
    }

    pub(super) fn deny_all(&mut self, denial: Denial) {
        while let Some(ticket) = self.queue.pop_any() {
            self.effects.push(Effect::Deny { ticket, denial });
        }
    }

    /// Whether connections are out that have shown life lately.
    pub(super) fn lends(&self, now: Moment) -> bool {
        self.books.count.leased > 0 && self.breaker.lately_alive(now)
    }

    /// When a slot that is not idle wants to be looked at.
    pub(super) fn slot_due(&self, state: &Slot) -> Option<Moment> {
        match *state {
            Slot::Resting { until } => Some(until),
            Slot::Opening {
                since,
                logged_in: false,
                ..
            } => {
                let dues = [self.stale_at(since), self.breaker.hangs_at(since)];
                dues.into_iter().filter(|due| *due > self.settled).min()
            }
            _ => None,
        }
    }
}
