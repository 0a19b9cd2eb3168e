//! The listener: a connection that waits for notifications, in a slot that requests can always have back.
//!
//! The shell opens and closes it; the scheduler says when. It is background work: it begins only where the server has
//! room, and ends as soon as a request waits that no other slot can serve.

use std::time::Duration;

use super::Scheduler;
use super::slots::Slot;
use crate::types::{
    Action, CloseMode, CloseReason, ConnectErrorKind, ListenerEnd, Reuse, Rotation, SlotId, Timestamp,
    Writers,
};

/// The pause before the next listener; it doubles up to [`PAUSE_MAX`] unless one has lasted for that long.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The pause after a permanent failure: poolers ban clients that keep failing to log in.
const PERMANENT_PAUSE: Duration = Duration::from_secs(60);
/// The smallest share with a listener: requests keep one slot that is never the listener's.
const SHARE_MIN: usize = 2;

/// Whether a listener is wanted, and the one there is.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Listener {
    wanted: bool,
    /// The latest connection attempt failed, and no connection has shown life since: the server might refuse this one
    /// as well.
    pub(super) in_doubt: bool,
    /// Its slot, with the time since which it is occupied.
    slot: Option<(SlotId, Timestamp)>,
    /// Listeners in a row that ended early.
    failures: u32,
    next_attempt: Timestamp,
}

impl Scheduler {
    /// Asks for a listener: [`Action::OpenListener`] follows, now or when there is room.
    pub fn want_listener(&mut self, now: Timestamp) {
        self.listener.wanted = true;
        self.advance(now);
    }

    /// Asks for no listener: the one there is will be closed.
    pub fn dismiss_listener(&mut self, now: Timestamp) {
        self.listener.wanted = false;
        self.advance(now);
    }

    /// The listener's connection has ended or could not be made; it occupies nothing at the server.
    pub fn listener_ended(&mut self, now: Timestamp, slot: SlotId, how: ListenerEnd) {
        let Some((_, since)) = self.listener.slot.take_if(|(listener, _)| *listener == slot) else {
            return;
        };
        if since + PAUSE_MAX <= now {
            self.listener.failures = 0;
        }
        let usual = (PAUSE_MIN * 2_u32.saturating_pow(self.listener.failures.min(16))).min(PAUSE_MAX);
        self.listener.failures = self.listener.failures.saturating_add(1);
        let pause = match how {
            ListenerEnd::Failed(ConnectErrorKind::Permanent) => PERMANENT_PAUSE,
            ListenerEnd::Failed(ConnectErrorKind::Banned(time)) => time.max(PERMANENT_PAUSE),
            _ => usual,
        };
        self.listener.next_attempt = now + pause;
        self.free(now, slot);
        self.advance(now);
    }

    /// Returns whether these settings and this share leave room for a listener at all.
    pub fn may_listen(&self) -> bool {
        self.share >= SHARE_MIN
            && self.rotation == Rotation::Off
            && self.config.reuse == Reuse::Pooled
            && self.config.writers == Writers::Many
    }

    /// Closes the listener where it has to go, or begins one where it is wanted and there is room.
    pub(super) fn keep_listener(&mut self, now: Timestamp) {
        match self.listener.slot {
            Some((slot, _)) if self.must_end(now) => self.close_listener(slot),
            Some(_) => {}
            None if self.listener_is_due(now) => self.open_listener(now),
            None => {}
        }
    }

    fn close_listener(&mut self, slot: SlotId) {
        if matches!(self.slots.state(slot), Some(Slot::Listening)) {
            self.slots.put(slot, Slot::Closing);
            self.actions.push(Action::CloseListener { slot });
        }
    }

    fn must_end(&self, now: Timestamp) -> bool {
        let over = self.slots.in_use() + self.slots.count.listening > self.share;
        !self.listener.wanted || self.draining || !self.may_listen() || over || self.request_needs_slot(now)
    }

    /// Whether a request waits that neither an attempt under way nor a free slot will serve.
    fn request_needs_slot(&self, now: Timestamp) -> bool {
        let requests = self.queue.usable(0, self.slots.writers_leased);
        let no_room = self.slots.count.total() >= self.share || self.breaker.refusals() > 0;
        no_room && requests > self.under_way(now)
    }

    fn listener_is_due(&self, now: Timestamp) -> bool {
        self.listener.next_attempt <= now && self.listener_may_begin()
    }

    fn listener_may_begin(&self) -> bool {
        let quiet = self.queue.is_empty() && !self.listener.in_doubt;
        self.listener.wanted && !self.draining && self.may_listen() && quiet
    }

    /// Takes a free slot; where all are occupied, closes one of several idle connections and takes its slot later.
    fn open_listener(&mut self, now: Timestamp) {
        if self.slots.count.total() < self.share {
            let slot = self.slots.add(Slot::Listening);
            self.listener.slot = Some((slot, now));
            self.actions.push(Action::OpenListener { slot });
            return;
        }
        let settled =
            self.slots.count.closing + self.slots.count.connecting + self.slots.count.cooling_down == 0;
        if settled && self.slots.count.idle > 1 {
            let unused = self.slots.idle().next().map(|(slot, ..)| slot);
            if let Some(slot) = unused {
                self.close(slot, CloseMode::Graceful, CloseReason::Listener);
            }
        }
    }

    /// When the next listener may begin, if only time keeps it from that.
    pub(super) fn listener_due(&self) -> Option<Timestamp> {
        let waits = self.listener.slot.is_none() && self.listener_may_begin();
        waits.then_some(self.listener.next_attempt)
    }
}
