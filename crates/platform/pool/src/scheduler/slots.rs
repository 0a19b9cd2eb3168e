//! State of each slot, and how many slots are in each state.

use std::collections::BTreeMap;

use crate::types::{Lane, SlotCounts, SlotId, Timestamp};

/// The state of an occupied slot.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Slot {
    Connecting {
        since: Timestamp,
        /// Begun during an outage, with a short timeout.
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
    /// The listener's, from the connection attempt on.
    Listening,
    Closing,
    CoolingDown {
        until: Timestamp,
    },
}

/// The occupied slots, counted where their states change and nowhere else.
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

    /// The states of the slots, the oldest slot first.
    pub(super) fn states(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    /// The oldest slot whose state matches.
    pub(super) fn find(&self, matches: impl Fn(&Slot) -> bool) -> Option<SlotId> {
        let mut found = self.slots.iter().filter(|(_, state)| matches(state));
        found.next().map(|(slot, _)| *slot)
    }

    /// The most recently used idle connection, which is the most likely to be alive.
    pub(super) fn last_used(&self) -> Option<SlotId> {
        self.idle.last().copied()
    }

    /// Idle connections with the times at which they expire and were last used, the least recently used first.
    pub(super) fn idle(&self) -> impl Iterator<Item = (SlotId, Timestamp, Timestamp)> {
        self.idle.iter().filter_map(|slot| match self.slots.get(slot)? {
            Slot::Idle { expires, since } => Some((*slot, *expires, *since)),
            _ => None,
        })
    }

    /// Slots that count against the share when it shrinks; closing ones leave by themselves, and so does the listener.
    pub(super) fn in_use(&self) -> usize {
        self.count.connecting + self.count.idle + self.count.leased
    }

    /// Notes that a connection attempt has passed authentication.
    pub(super) fn log_in(&mut self, slot: SlotId) {
        if let Some(Slot::Connecting { logged_in, .. }) = self.slots.get_mut(&slot) {
            *logged_in = true;
        }
    }

    /// Notes that a connection attempt is cancelled; returns whether it was not yet.
    pub(super) fn cancel_connect(&mut self, slot: SlotId) -> bool {
        match self.slots.get_mut(&slot) {
            Some(Slot::Connecting { cancelled, .. }) => !std::mem::replace(cancelled, true),
            _ => false,
        }
    }

    fn tally(&mut self, state: &Slot, by: isize) {
        let add = |count: &mut usize| *count = count.saturating_add_signed(by);
        match state {
            Slot::Connecting { .. } => add(&mut self.count.connecting),
            Slot::Idle { .. } => add(&mut self.count.idle),
            Slot::Leased { lane, .. } => {
                add(&mut self.count.leased);
                if lane.is_background() {
                    add(&mut self.background_leased);
                }
                if lane.writes() {
                    add(&mut self.writers_leased);
                }
            }
            Slot::Listening => add(&mut self.count.listening),
            Slot::Closing => add(&mut self.count.closing),
            Slot::CoolingDown { .. } => add(&mut self.count.cooling_down),
        }
    }
}
