//! Eviction: which idle connections are kept, and why the others are closed.

use super::Scheduler;
use super::slots::Slot;
use crate::types::{CloseMode, CloseReason, Reuse, Rotation, SlotId, Timestamp};

impl Scheduler {
    /// Closes idle connections that are too many or too old, the least recently used first.
    pub(super) fn close_idle(&mut self, now: Timestamp) {
        while let Some(why) = self.surplus() {
            let Some(slot) = self.slots.idle().next().map(|(slot, ..)| slot) else {
                break;
            };
            self.close(slot, CloseMode::Graceful, why);
        }
        while let Some((slot, why)) = self.idle_for_too_long(now) {
            self.close(slot, CloseMode::Graceful, why);
        }
    }

    fn idle_for_too_long(&self, now: Timestamp) -> Option<(SlotId, CloseReason)> {
        let mut due = self.idle_dues().filter(|(_, due, _)| *due <= now);
        due.next().map(|(slot, _, why)| (slot, why))
    }

    /// Why there are too many connections, if there are.
    fn surplus(&self) -> Option<CloseReason> {
        match () {
            () if self.draining => Some(CloseReason::Draining),
            () if self.rotation == Rotation::On => Some(CloseReason::Rotated),
            () if self.slots.in_use() > self.share => Some(CloseReason::OverShare),
            () => None,
        }
    }

    /// Why a connection that is released in good order is closed, if it is.
    pub(super) fn close_reason(&self, now: Timestamp, expires: Timestamp) -> Option<CloseReason> {
        let rotated = (self.config.reuse == Reuse::Fresh).then_some(CloseReason::Rotated);
        let expired = (expires <= now).then_some(CloseReason::Expired);
        self.surplus().or(rotated).or(expired)
    }

    /// When each idle connection is closed, and why; those beyond `pool_size` after `overflow_linger`.
    pub(super) fn idle_dues(&self) -> impl Iterator<Item = (SlotId, Timestamp, CloseReason)> {
        let kept = match self.config.reuse {
            Reuse::Fresh => 0,
            Reuse::Pooled => self.config.pool_size,
        };
        let overflow = self.slots.count.idle + self.slots.count.leased > kept;
        // The least recently used is due first; without it, the others may not be overflow any more.
        let unused_for = if overflow {
            self.config.overflow_linger
        } else {
            self.config.idle_timeout
        };
        let unused_for = unused_for.min(self.config.idle_timeout);
        self.slots.idle().map(move |(slot, expires, since)| {
            let unused = since + unused_for;
            if expires <= unused {
                (slot, expires, CloseReason::Expired)
            } else {
                (slot, unused, CloseReason::Idle)
            }
        })
    }

    /// Closes the connections that were idle before another was found dead, since they may be dead as well.
    pub(super) fn close_suspects(&mut self, now: Timestamp) {
        let suspect = |state: &Slot| matches!(state, Slot::Idle { since, .. } if *since < now);
        while let Some(slot) = self.slots.find(suspect) {
            self.close(slot, CloseMode::Abrupt, CloseReason::Suspect);
        }
    }
}
