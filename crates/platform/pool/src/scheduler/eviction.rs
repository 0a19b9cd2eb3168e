//! Which idle connections stay, and why the others go.

use super::Scheduler;
use super::slots::Slot;
use crate::types::{CloseReason, SlotId, Timestamp};

impl Scheduler {
    /// Closes the idle connections that may not stay, the least recently used first.
    pub(super) fn close_idle(&mut self, now: Timestamp) {
        while let Some(why) = self.surplus() {
            let Some(slot) = self.slots.idle().next().map(|(slot, ..)| slot) else {
                break;
            };
            self.close(slot, true, why);
        }
        while let Some((slot, why)) = self.idle_for_too_long(now) {
            self.close(slot, true, why);
        }
    }

    fn idle_for_too_long(&self, now: Timestamp) -> Option<(SlotId, CloseReason)> {
        let mut due = self.idle_dues().filter(|(_, due, _)| *due <= now);
        due.next().map(|(slot, _, why)| (slot, why))
    }

    /// Why connections are too many, if they are.
    fn surplus(&self) -> Option<CloseReason> {
        match () {
            () if self.draining => Some(CloseReason::Draining),
            () if self.rotating => Some(CloseReason::Rotated),
            () if self.slots.in_use() > self.share => Some(CloseReason::OverShare),
            () => None,
        }
    }

    /// Why a connection that came back in good order is not lent again, if so.
    pub(super) fn why_not_again(&self, now: Timestamp, expires: Timestamp) -> Option<CloseReason> {
        let turn = self.config.fresh.then_some(CloseReason::Rotated);
        let expired = (expires <= now).then_some(CloseReason::Expired);
        self.surplus().or(turn).or(expired)
    }

    /// When each idle connection is closed, and why: those beyond `pool_size` only linger.
    pub(super) fn idle_dues(&self) -> impl Iterator<Item = (SlotId, Timestamp, CloseReason)> {
        let kept = if self.config.fresh {
            0
        } else {
            self.config.pool_size
        };
        let overflow = self.slots.count.idle + self.slots.count.leased > kept;
        // The least recently used is due first, and what is left when it has gone is no overflow any more.
        let unused_for = if overflow {
            self.config.linger
        } else {
            self.config.idle
        };
        let unused_for = unused_for.min(self.config.idle);
        self.slots.idle().map(move |(slot, expires, since)| {
            let unused = since + unused_for;
            if expires <= unused {
                (slot, expires, CloseReason::Expired)
            } else {
                (slot, unused, CloseReason::Idle)
            }
        })
    }

    /// When one connection turns out dead, what has lain idle since before may be dead as well.
    pub(super) fn close_suspects(&mut self, now: Timestamp) {
        let suspect = |state: &Slot| matches!(state, Slot::Idle { since, .. } if *since < now);
        while let Some(slot) = self.slots.find(suspect) {
            self.close(slot, false, CloseReason::Suspect);
        }
    }
}
