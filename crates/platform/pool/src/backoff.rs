//! Backoff: when the next connection attempt may begin, and how many may overlap.
//!
//! After a refusal the pause doubles from 5 to 250 ms, one attempt at a time. After an attempt without an answer it
//! doubles from 25 to 500 ms. The number of attempts that may overlap is halved by a refusal and grows by one with
//! each success.

use std::time::Duration;

use crate::types::Timestamp;

/// The first pause after a refusal; it doubles up to [`REFUSED_MAX`].
const REFUSED_MIN: Duration = Duration::from_millis(5);
const REFUSED_MAX: Duration = Duration::from_millis(250);
/// The first pause after an attempt without an answer; it doubles up to [`PROBE_INTERVAL`].
const UNANSWERED_MIN: Duration = Duration::from_millis(25);
/// Probes of a server that does not answer begin at most this far apart.
pub(crate) const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Above this many concurrent attempts only the share is a bound.
const WINDOW_MAX: usize = 8;

/// The pauses between connection attempts.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Backoff {
    random: u64,
    /// Refusals since the last success.
    refusals: u32,
    /// Attempts without an answer since the outage began.
    unanswered: u32,
    next_attempt: Timestamp,
    window: Window,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: seed | 1,
            refusals: 0,
            unanswered: 0,
            next_attempt: Timestamp::ZERO,
            window: Window::FIRST,
        }
    }

    pub(crate) fn refusals(&self) -> u32 {
        self.refusals
    }

    pub(crate) fn next_attempt(&self) -> Timestamp {
        self.next_attempt
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.next_attempt <= now
    }

    /// Whether one more attempt may begin beside those under way while the server answers.
    pub(crate) fn allows(&self, now: Timestamp, under_way: usize) -> bool {
        if self.refusals > 0 {
            self.is_due(now) && under_way == 0
        } else {
            under_way < self.window.size
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.refusals = 0;
        self.window.grow();
    }

    /// The server answers that it is full.
    pub(crate) fn refused(&mut self, now: Timestamp) {
        self.window.halve();
        let pause = doubled(REFUSED_MIN, self.refusals, REFUSED_MAX);
        self.refusals = self.refusals.saturating_add(1);
        self.next_attempt = now + self.jittered(pause);
    }

    /// An attempt that began at `since` got no answer; `first` of an outage or one of several.
    ///
    /// An attempt that hung has taken longer than any pause, and later ones have begun beside it meanwhile, so it does
    /// not move the next one.
    pub(crate) fn unanswered(&mut self, now: Timestamp, since: Timestamp, outage: OutagePhase) {
        let pause = doubled(UNANSWERED_MIN, self.unanswered, PROBE_INTERVAL);
        let next = now + self.jittered(pause);
        let hung = since + PROBE_INTERVAL <= now;
        match outage {
            OutagePhase::Begins => self.next_attempt = next,
            OutagePhase::Continues if hung => {}
            OutagePhase::Continues => self.next_attempt = self.next_attempt.min(next),
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.window.narrow();
    }

    /// The server answers again: the next attempt without an answer is the first of another outage.
    pub(crate) fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// Allows one attempt at a time.
    pub(crate) fn narrow(&mut self) {
        self.window.narrow();
    }

    /// Lets the next attempt begin at this time.
    pub(crate) fn set_next(&mut self, at: Timestamp) {
        self.next_attempt = at;
    }

    /// Lets the next attempt begin at this time, unless it may begin earlier.
    pub(crate) fn bring_forward(&mut self, at: Timestamp) {
        self.next_attempt = self.next_attempt.min(at);
    }

    /// Half to all of a duration, so that instances do not attempt in step (xorshift64).
    pub(crate) fn jittered(&mut self, time: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let thousandths = u32::try_from(500 + self.random % 501).unwrap_or(1000);
        time * thousandths / 1000
    }
}

/// Whether an attempt without an answer is the first of its outage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OutagePhase {
    Begins,
    Continues,
}

/// How many attempts may overlap.
#[derive(Clone, Debug, Hash)]
struct Window {
    size: usize,
    /// Grows one by one since a refusal; otherwise the first success opens it fully.
    narrowed: bool,
}

impl Window {
    const FIRST: Self = Self {
        size: 1,
        narrowed: false,
    };

    fn grow(&mut self) {
        self.size = if self.narrowed { self.size + 1 } else { usize::MAX };
        if self.size > WINDOW_MAX {
            (self.size, self.narrowed) = (usize::MAX, false);
        }
    }

    fn halve(&mut self) {
        self.size = (self.size.min(WINDOW_MAX) / 2).max(1);
        self.narrowed = true;
    }

    fn narrow(&mut self) {
        self.size = 1;
    }
}

fn doubled(least: Duration, times: u32, most: Duration) -> Duration {
    (least * 2_u32.saturating_pow(times.min(16))).min(most)
}
