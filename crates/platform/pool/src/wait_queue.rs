//! The waiting line: requests before background work, in order of arrival, each findable by waiter_id.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::types::{Lane, Timestamp, WaiterId};

/// One caller that waits.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Waiter {
    pub(crate) lane: Lane,
    pub(crate) since: Timestamp,
}

/// Four lines by lane and by whether the caller writes; waiter ids order them all.
///
/// Writers stand apart because only one may go at a time on SQLite, and readers pass them meanwhile.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Queue {
    lines: [BTreeMap<WaiterId, Waiter>; 4],
    patience: Duration,
    next_ticket: u64,
    /// Before this no overdue background waiter goes first again.
    next_turn: Timestamp,
}

impl Queue {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            lines: Default::default(),
            patience,
            next_ticket: 0,
            next_turn: Timestamp::ZERO,
        }
    }

    pub(crate) fn push(&mut self, waiter: Waiter) -> WaiterId {
        let waiter_id = WaiterId(self.next_ticket);
        self.next_ticket += 1;
        self.lines[line_of(waiter.lane)].insert(waiter_id, waiter);
        waiter_id
    }

    pub(crate) fn remove(&mut self, waiter_id: WaiterId) -> Option<Waiter> {
        self.lines.iter_mut().find_map(|line| line.remove(&waiter_id))
    }

    pub(crate) fn pop_any(&mut self) -> Option<WaiterId> {
        self.lines
            .iter_mut()
            .find_map(|line| line.pop_first())
            .map(|(waiter_id, _)| waiter_id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.iter().all(BTreeMap::is_empty)
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.iter().map(BTreeMap::len).sum()
    }

    /// Requests and background work waiting.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        (
            self.lines[0].len() + self.lines[1].len(),
            self.lines[2].len() + self.lines[3].len(),
        )
    }

    /// Takes out the first waiter that may have a connection now.
    pub(crate) fn take_next(
        &mut self,
        now: Timestamp,
        may: impl Fn(Lane) -> bool,
    ) -> Option<(WaiterId, Waiter)> {
        let background = self.head(2, &may);
        let patient = |(_, waiter): &(_, Waiter)| waiter.since + self.patience <= now;
        let overdue = background.filter(patient).filter(|_| self.next_turn <= now);
        if overdue.is_some() {
            self.next_turn = now + self.patience;
        }
        let (waiter_id, _) = overdue.or_else(|| self.head(0, &may)).or(background)?;
        self.remove(waiter_id).map(|waiter| (waiter_id, waiter))
    }

    /// The elder of a lane's two line heads that may go.
    fn head(&self, first: usize, may: &impl Fn(Lane) -> bool) -> Option<(WaiterId, Waiter)> {
        let heads = self.lines[first..first + 2]
            .iter()
            .filter_map(BTreeMap::first_key_value);
        let ready = heads.filter(|(_, waiter)| may(waiter.lane));
        ready
            .min_by_key(|(waiter_id, _)| **waiter_id)
            .map(|(waiter_id, waiter)| (*waiter_id, *waiter))
    }

    /// How many waiters could use a connection if it opened now.
    pub(crate) fn eligible(&self, background_room: usize, writer_busy: bool) -> usize {
        // Writers have lines of their own only where there is a single writer.
        let writers = |line: &BTreeMap<_, _>| usize::from(!line.is_empty() && !writer_busy);
        let requests = self.lines[0].len();
        let background = (self.lines[2].len() + writers(&self.lines[3])).min(background_room);
        requests + writers(&self.lines[1]) + background
    }
}

fn line_of(lane: Lane) -> usize {
    usize::from(lane.background) * 2 + usize::from(lane.writes)
}
