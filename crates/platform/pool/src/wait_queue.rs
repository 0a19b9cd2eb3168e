//! Wait queue: requests before background work, each in order of arrival.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::types::{Lane, Timestamp, WaiterId};

/// A waiting caller.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Waiter {
    pub(crate) lane: Lane,
    pub(crate) since: Timestamp,
}

/// Four queues, by priority and access; the ids order them all.
///
/// Writers have queues of their own because SQLite serves one at a time, and readers overtake them meanwhile.
#[derive(Clone, Debug, Hash)]
pub(crate) struct WaitQueue {
    queues: [BTreeMap<WaiterId, Waiter>; 4],
    background_timeout: Duration,
    next_id: u64,
    /// Before this time no overdue background work is served before requests again.
    next_background_turn: Timestamp,
}

impl WaitQueue {
    pub(crate) fn new(background_timeout: Duration) -> Self {
        Self {
            queues: Default::default(),
            background_timeout,
            next_id: 0,
            next_background_turn: Timestamp::ZERO,
        }
    }

    pub(crate) fn push(&mut self, waiter: Waiter) -> WaiterId {
        let waiter_id = WaiterId(self.next_id);
        self.next_id += 1;
        self.insert(waiter_id, waiter);
        waiter_id
    }

    /// Inserts a waiter at the place of an earlier arrival.
    pub(crate) fn insert(&mut self, waiter_id: WaiterId, waiter: Waiter) {
        self.queues[index_of(waiter.lane)].insert(waiter_id, waiter);
    }

    pub(crate) fn remove(&mut self, waiter_id: WaiterId) -> Option<Waiter> {
        self.queues.iter_mut().find_map(|queue| queue.remove(&waiter_id))
    }

    pub(crate) fn pop_any(&mut self) -> Option<WaiterId> {
        self.queues
            .iter_mut()
            .find_map(|queue| queue.pop_first())
            .map(|(waiter_id, _)| waiter_id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(BTreeMap::is_empty)
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.iter().map(BTreeMap::len).sum()
    }

    /// Requests and background work waiting.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        (
            self.queues[0].len() + self.queues[1].len(),
            self.queues[2].len() + self.queues[3].len(),
        )
    }

    /// Removes and returns the first waiter that is eligible for a connection now.
    pub(crate) fn pop_eligible(
        &mut self,
        now: Timestamp,
        eligible: impl Fn(Lane) -> bool,
    ) -> Option<(WaiterId, Waiter)> {
        let background = self.head(2, &eligible);
        let waited = |(_, waiter): &(_, Waiter)| waiter.since + self.background_timeout <= now;
        let overdue = background
            .filter(waited)
            .filter(|_| self.next_background_turn <= now);
        if overdue.is_some() {
            self.next_background_turn = now + self.background_timeout;
        }
        let (waiter_id, _) = overdue.or_else(|| self.head(0, &eligible)).or(background)?;
        self.remove(waiter_id).map(|waiter| (waiter_id, waiter))
    }

    /// The first eligible waiter of a priority's two queues.
    fn head(&self, first: usize, eligible: &impl Fn(Lane) -> bool) -> Option<(WaiterId, Waiter)> {
        let heads = self.queues[first..first + 2]
            .iter()
            .filter_map(BTreeMap::first_key_value);
        let ready = heads.filter(|(_, waiter)| eligible(waiter.lane));
        ready
            .min_by_key(|(waiter_id, _)| **waiter_id)
            .map(|(waiter_id, waiter)| (*waiter_id, *waiter))
    }

    /// How many waiters could use a connection now.
    pub(crate) fn usable(&self, background_room: usize, writers_leased: usize) -> usize {
        // Writers have queues of their own only where there is a single writer.
        let writers = |queue: &BTreeMap<_, _>| usize::from(!queue.is_empty() && writers_leased == 0);
        let requests = self.queues[0].len();
        let background = (self.queues[2].len() + writers(&self.queues[3])).min(background_room);
        requests + writers(&self.queues[1]) + background
    }
}

fn index_of(lane: Lane) -> usize {
    usize::from(lane.is_background()) * 2 + usize::from(lane.writes())
}
