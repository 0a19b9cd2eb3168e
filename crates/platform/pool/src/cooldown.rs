//! Cool-down: how long the slot of a closed connection stays occupied, learned from refusals.
//!
//! A pooler frees its place some time after a client has closed its connection. A refusal right after a close shows
//! that the next attempt came too early; closed slots then cool down, longer with each such refusal and shorter with
//! each success.

use std::time::Duration;

use crate::types::Timestamp;

/// A refusal this soon after a close was caused by it.
const EVIDENCE: Duration = Duration::from_millis(250);
const MIN: Duration = Duration::from_millis(2);
const MAX: Duration = Duration::from_millis(100);
/// A cool-down that successes have shortened to less than this is dropped.
const FORGOTTEN: Duration = Duration::from_millis(1);

/// The time that a pooler was seen to need after a close.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Cooldown {
    last_close: Option<Timestamp>,
    time: Duration,
}

impl Cooldown {
    /// A connection was closed; returns how long its slot cools down, if at all.
    pub(crate) fn closed(&mut self, now: Timestamp) -> Option<Duration> {
        self.last_close = Some(now);
        (!self.time.is_zero()).then_some(self.time)
    }

    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    pub(crate) fn refused(&mut self, now: Timestamp) {
        if self.last_close.is_some_and(|close| now < close + EVIDENCE) {
            self.time = (self.time * 2).clamp(MIN, MAX);
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.time = self.time * 7 / 8;
        if self.time < FORGOTTEN {
            self.time = Duration::ZERO;
        }
    }
}
