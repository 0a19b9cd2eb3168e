//! Which slot is in which state, and how many are in each: counted where states change, nowhere else.

use std::collections::BTreeMap;

use crate::types::{Lane, SlotCounts, SlotId, Timestamp};

/// What occupies a slot.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Slot {
    Connecting {
        since: Timestamp,
        /// Begun in last_connect_error, with a short limit of its own.
        probe: bool,
        logged_in: bool,
        cancelled: bool,
    },
    Idle {
        expires: Timestamp,
        since: Timestamp,
    },
    Leased {
        expires: Timestamp,
        lane: Lane,
    },
    Closing,
    CoolingDown {
        until: Timestamp,
    },
}

/// The occupied slots.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Slots {
    slots: BTreeMap<SlotId, Slot>,
    /// Idle slots, the most recently used last.
    idle: Vec<SlotId>,
    pub(super) count: SlotCounts,
    pub(super) background_leased: usize,
    pub(super) writers_leased: usize,
    next_slot: u64,
}

impl Slots {
    /// Occupies one more slot.
    pub(super) fn add(&mut self, state: Slot) -> SlotId {
        let slot = SlotId(self.next_slot);
        self.next_slot += 1;
        self.put(slot, state);
        slot
    }

    /// Moves a slot into a state.
    pub(super) fn put(&mut self, slot: SlotId, state: Slot) {
        self.remove(slot);
        self.tally(&state, 1);
        if matches!(state, Slot::Idle { .. }) {
            self.idle.push(slot);
        }
        self.slots.insert(slot, state);
    }

    /// Frees a slot.
    pub(super) fn remove(&mut self, slot: SlotId) {
        let Some(state) = self.slots.remove(&slot) else {
            return;
        };
        self.tally(&state, -1);
        if matches!(state, Slot::Idle { .. }) {
            self.idle.retain(|idle| *idle != slot);
        }
    }

    pub(super) fn state(&self, slot: SlotId) -> Option<Slot> {
        self.slots.get(&slot).copied()
    }

    /// What occupies the slots, the eldest first.
    pub(super) fn states(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    /// The eldest slot in such a state.
    pub(super) fn find(&self, such: impl Fn(&Slot) -> bool) -> Option<SlotId> {
        let mut those = self.slots.iter().filter(|(_, state)| such(state));
        those.next().map(|(slot, _)| *slot)
    }

    /// The idle connection that was used last, which is the likeliest to be alive.
    pub(super) fn last_used(&self) -> Option<SlotId> {
        self.idle.last().copied()
    }

    /// Idle connections with the end of their life and of their last use, the least recently used first.
    pub(super) fn idle(&self) -> impl Iterator<Item = (SlotId, Timestamp, Timestamp)> {
        self.idle.iter().filter_map(|slot| match self.slots.get(slot)? {
            Slot::Idle { expires, since } => Some((*slot, *expires, *since)),
            _ => None,
        })
    }

    /// Connections in use or ready for it, which is what a share that shrank wants fewer of.
    pub(super) fn in_use(&self) -> usize {
        self.count.opening + self.count.idle + self.count.leased
    }

    /// Notes that an opening has passed authentication.
    pub(super) fn log_in(&mut self, slot: SlotId) {
        if let Some(Slot::Connecting { logged_in, .. }) = self.slots.get_mut(&slot) {
            *logged_in = true;
        }
    }

    /// Notes that an opening is being given up; returns whether that is news.
    pub(super) fn cancel_connect(&mut self, slot: SlotId) -> bool {
        match self.slots.get_mut(&slot) {
            Some(Slot::Connecting { cancelled, .. }) => !std::mem::replace(cancelled, true),
            _ => false,
        }
    }

    fn tally(&mut self, state: &Slot, by: isize) {
        let add = |count: &mut usize| *count = count.saturating_add_signed(by);
        match state {
            Slot::Connecting { .. } => add(&mut self.count.opening),
            Slot::Idle { .. } => add(&mut self.count.idle),
            Slot::Leased { lane, .. } => {
                add(&mut self.count.leased);
                if lane.background {
                    add(&mut self.background_leased);
                }
                if lane.writes {
                    add(&mut self.writers_leased);
                }
            }
            Slot::Closing => add(&mut self.count.closing),
            Slot::CoolingDown { .. } => add(&mut self.count.cooling_down),
        }
    }
}
