//! Which idle connections stay, and why the others go.

use super::Ledger;
use super::books::Slot;
use super::words::{Closing, Moment, SlotId};

impl Ledger {
    /// Closes the idle connections that may not stay, the least recently used first.
    pub(super) fn close_idle(&mut self, now: Moment) {
        while let Some(why) = self.surplus() {
            let Some(slot) = self.books.idle().next().map(|(slot, ..)| slot) else {
                break;
            };
            self.close(slot, true, why);
        }
        while let Some((slot, why)) = self.idle_for_too_long(now) {
            self.close(slot, true, why);
        }
    }

    fn idle_for_too_long(&self, now: Moment) -> Option<(SlotId, Closing)> {
        let mut due = self.idle_dues().filter(|(_, due, _)| *due <= now);
        due.next().map(|(slot, _, why)| (slot, why))
    }

    /// Why connections are too many, if they are.
    fn surplus(&self) -> Option<Closing> {
        match () {
            () if self.draining => Some(Closing::Draining),
            () if self.yielding => Some(Closing::Turn),
            () if self.books.in_use() > self.share => Some(Closing::OverShare),
            () => None,
        }
    }

    /// Why a connection that came back in good order is not lent again, if so.
    pub(super) fn why_not_again(&self, now: Moment, expires: Moment) -> Option<Closing> {
        let turn = self.terms.fresh.then_some(Closing::Turn);
        let expired = (expires <= now).then_some(Closing::Expired);
        self.surplus().or(turn).or(expired)
    }

    /// When each idle connection is closed, and why: those beyond `pool_size` only linger.
    pub(super) fn idle_dues(&self) -> impl Iterator<Item = (SlotId, Moment, Closing)> {
        let kept = if self.terms.fresh { 0 } else { self.terms.pool_size };
        let overflow = self.books.count.idle + self.books.count.leased > kept;
        // The least recently used is due first, and what is left when it has gone is no overflow any more.
        let unused_for = if overflow {
            self.terms.linger
        } else {
            self.terms.idle
        };
        let unused_for = unused_for.min(self.terms.idle);
        self.books.idle().map(move |(slot, expires, since)| {
            let unused = since + unused_for;
            if expires <= unused {
                (slot, expires, Closing::Expired)
            } else {
                (slot, unused, Closing::Idle)
            }
        })
    }

    /// When one connection turns out dead, what has lain idle since before may be dead as well.
    pub(super) fn close_suspects(&mut self, now: Moment) {
        let suspect = |state: &Slot| matches!(state, Slot::Idle { since, .. } if *since < now);
        while let Some(slot) = self.books.find(suspect) {
            self.close(slot, false, Closing::Suspect);
        }
    }
}
