//! The judge of openings: when the next attempt may be made, and when callers are told that none will do.
//!
//! It judges openings only, never what happens to statements. Three kinds of failure ask for three
//! answers. *Refused*: somebody answers and is full, so wait and try alone. *Unreachable*: nobody
//! answers, so callers wait through a grace, then fail fast while probes find the way back. *For good*:
//! the next attempt would fail for the same reason, so callers learn at once and attempts are spaced.

use std::collections::VecDeque;
use std::time::Duration;

use crate::types::{ConnectErrorKind, Timestamp};

/// The first wait after a refusal; it doubles up to [`BACKOFF_MOST`].
const BACKOFF_LEAST: Duration = Duration::from_millis(5);
const BACKOFF_MOST: Duration = Duration::from_millis(250);
/// The first wait after an unreachable server; it doubles up to [`PROBE_MOST`].
const PROBE_LEAST: Duration = Duration::from_millis(25);
const PROBE_MOST: Duration = Duration::from_millis(500);
/// Above this many openings at once there is no bound but the share.
const WINDOW_WIDE: usize = 8;
/// The shortest limit of a probe.
const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// Openings that may overlap in last_connect_error: one patient, the others [`PROBE_MOST`] apart.
const PROBES_AT_ONCE: usize = 5;
/// Each tenth probe is patient, or a slow link would never be found open again. As the others begin
/// [`PROBE_MOST`] apart, the next patient one begins when this one ends.
const PATIENT_EACH: u32 = 10;
const PATIENT_LIMIT: Duration = Duration::from_secs(5);
/// Supavisor bans a client for 120 s after 10 failed authentications within 150 s
/// (`lib/supavisor/circuit_breaker.ex`, 2.9); half of that leaves room for another instance.
const FATAL_WINDOW: Duration = Duration::from_secs(150);
const FATAL_MOST: usize = 5;
const FATAL_SPACING: Duration = Duration::from_secs(30);
/// A refusal this soon after a close of ours was caused by it.
const COOLDOWN_EVIDENCE: Duration = Duration::from_millis(250);
const COOLDOWN_LEAST: Duration = Duration::from_millis(2);
const COOLDOWN_MOST: Duration = Duration::from_millis(100);
/// A rest that successes have worn down to less than this is none.
const COOLDOWN_FORGOTTEN: Duration = Duration::from_millis(1);

/// What callers are told when the breaker is open.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// Nobody answers.
    Unreachable,
    /// The settings do not fit the server: wrong password, unknown database, TLS.
    Permanent,
    /// The pooler has turned this client away for a while.
    Banned,
}

/// What is known of the way to the server.
#[derive(Clone, Debug, Hash)]
pub struct CircuitBreaker {
    grace: Duration,
    random: u64,
    /// Openings that may go at once: one until the first success, halved by a refusal, then one more
    /// with each success until [`WINDOW_WIDE`].
    window: usize,
    narrowed: bool,
    last_alive: Option<Timestamp>,
    /// When an opening was answered last, be it with a refusal.
    last_answer: Option<Timestamp>,
    refusals: u32,
    next_attempt: Timestamp,
    trouble_since: Option<Timestamp>,
    last_trouble: Timestamp,
    /// Openings that nobody answered since the last_connect_error began.
    unanswered: u32,
    probes: u32,
    tripped: bool,
    shut_until: Option<(Timestamp, Outage)>,
    fatal: VecDeque<Timestamp>,
    last_close: Option<Timestamp>,
    cooldown: Duration,
}

impl CircuitBreaker {
    pub(crate) fn new(grace: Duration, seed: u64) -> Self {
        Self {
            grace,
            random: seed | 1,
            window: 1,
            narrowed: false,
            last_alive: None,
            last_answer: None,
            refusals: 0,
            next_attempt: Timestamp::ZERO,
            trouble_since: None,
            last_trouble: Timestamp::ZERO,
            unanswered: 0,
            probes: 0,
            tripped: false,
            shut_until: None,
            fatal: VecDeque::new(),
            last_close: None,
            cooldown: Duration::ZERO,
        }
    }

    /// Refusals since the last success.
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    /// What callers are told now, if the breaker is open.
    pub fn denies(&self, now: Timestamp) -> Option<Outage> {
        match self.shut_until {
            Some((until, outage)) if now < until => Some(outage),
            _ => self.tripped.then_some(Outage::Unreachable),
        }
    }

    pub(crate) fn succeeded(&mut self, now: Timestamp) {
        (self.last_alive, self.last_answer) = (Some(now), Some(now));
        self.refusals = 0;
        self.window = if self.narrowed {
            self.window + 1
        } else {
            usize::MAX
        };
        if self.window > WINDOW_WIDE {
            (self.window, self.narrowed) = (usize::MAX, false);
        }
        self.shut_until = None;
        self.cooldown = self.cooldown * 7 / 8;
        if self.cooldown < COOLDOWN_FORGOTTEN {
            self.cooldown = Duration::ZERO;
        }
        self.calm();
    }

    /// A connection came back from use in good order: the server lives, though openings may fail.
    pub(crate) fn alive(&mut self, now: Timestamp) {
        self.last_alive = Some(now);
        if self.tripped {
            self.tripped = false;
            self.trouble_since = Some(now);
        }
    }

    /// An opening that began at `since` brought no connection.
    pub(crate) fn failed(&mut self, now: Timestamp, since: Timestamp, failure: ConnectErrorKind) {
        if !matches!(
            failure,
            ConnectErrorKind::Unreachable | ConnectErrorKind::Cancelled
        ) {
            self.last_answer = Some(now);
        }
        match failure {
            ConnectErrorKind::Full => self.refused(now),
            ConnectErrorKind::Unreachable => self.unanswered(now, since),
            ConnectErrorKind::Permanent => {
                self.fatal.retain(|at| *at + FATAL_WINDOW > now);
                self.fatal.push_back(now);
                let crowded = self.fatal.len().checked_sub(FATAL_MOST);
                let free = crowded.and_then(|first| self.fatal.get(first));
                let spaced = now + FATAL_SPACING;
                let until = free.map_or(spaced, |at| spaced.max(*at + FATAL_WINDOW));
                self.shut(until, Outage::Permanent);
            }
            ConnectErrorKind::Banned(pause) => {
                let extra = self.jittered(pause / 10);
                self.shut(now + pause + extra, Outage::Banned);
            }
            ConnectErrorKind::Cancelled => {}
        }
    }

    fn refused(&mut self, now: Timestamp) {
        self.calm();
        (self.window, self.narrowed) = ((self.window.min(WINDOW_WIDE) / 2).max(1), true);
        let wait = doubled(BACKOFF_LEAST, self.refusals, BACKOFF_MOST);
        self.refusals = self.refusals.saturating_add(1);
        self.next_attempt = now + self.jittered(wait);
        self.learn_cooldown(now);
    }

    /// The pause doubles with each failure. A probe that hung has taken longer than any pause, and the
    /// next ones have begun beside it meanwhile: it changes nothing in when they begin.
    fn unanswered(&mut self, now: Timestamp, since: Timestamp) {
        let next = now + self.jittered(doubled(PROBE_LEAST, self.unanswered, PROBE_MOST));
        let hung = since + PROBE_MOST <= now;
        if !self.troubled() {
            self.next_attempt = next;
        } else if !hung {
            self.next_attempt = self.next_attempt.min(next);
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.trouble_since.get_or_insert(now);
        self.last_trouble = now;
        self.window = 1;
    }

    /// Makes no attempt until then; openings that were under way together may give different reasons,
    /// and the longest pause holds.
    fn shut(&mut self, until: Timestamp, outage: Outage) {
        self.calm();
        self.window = 1;
        if self.shut_until.is_none_or(|(shut, _)| shut < until) {
            self.shut_until = Some((until, outage));
        }
    }

    /// An opening has had no answer since `since`, which says something if none has had one later.
    pub(crate) fn hanging(&mut self, now: Timestamp, since: Timestamp) {
        let answered = self.last_answer.is_some_and(|answer| answer > since);
        if self.hangs_at(since) <= now && !answered && !self.troubled() {
            self.trouble_since = Some(since);
            self.last_trouble = now;
            self.window = 1;
            self.next_attempt = now;
        }
    }

    /// When an opening counts as hanging. With no grace at all each opening would, the moment it begins.
    pub(crate) fn hangs_at(&self, since: Timestamp) -> Timestamp {
        since + self.grace.max(PROBE_LIMIT)
    }

    /// Trips once the last_connect_error has outlasted the grace and nothing has shown life within it.
    pub(crate) fn trip_if_due(&mut self, now: Timestamp) {
        let outlasted = self.trouble_since.is_some_and(|since| since + self.grace <= now);
        self.tripped |= outlasted && !self.lately_alive(now);
    }

    pub(crate) fn lately_alive(&self, now: Timestamp) -> bool {
        self.alive_until().is_some_and(|until| now < until)
    }

    /// How long what showed life last counts as alive.
    pub(crate) fn alive_until(&self) -> Option<Timestamp> {
        self.last_alive.map(|alive| alive + self.grace)
    }

    /// One failure long ago is no reason to fail the next caller fast.
    pub(crate) fn forget_stale_trouble(&mut self, now: Timestamp) {
        if !self.tripped && self.last_trouble + self.grace < now {
            self.trouble_since = None;
        }
    }

    /// A connection of ours was closed, which makes room; returns the rest its slot needs, if any.
    pub(crate) fn closed_one(&mut self, now: Timestamp) -> Option<Duration> {
        self.last_close = Some(now);
        if self.refusals > 0 && self.trouble_since.is_none() {
            self.next_attempt = self.next_attempt.min(now + self.cooldown);
        }
        (!self.cooldown.is_zero()).then_some(self.cooldown)
    }

    pub fn troubled(&self) -> bool {
        self.trouble_since.is_some()
    }

    /// Whether attempts are made though nobody waits.
    pub(crate) fn probing(&self) -> bool {
        self.tripped
    }

    /// Whether one more opening may begin beside those under way, as far as time goes in last_connect_error.
    pub(crate) fn permits(&self, now: Timestamp, opening: usize) -> bool {
        match self.shut_until {
            Some((until, _)) if now < until => false,
            _ if self.troubled() => self.next_attempt <= now,
            _ if self.refusals > 0 => self.next_attempt <= now && opening == 0,
            _ => opening < self.window,
        }
    }

    /// Whether openings overlap in last_connect_error as much as they may.
    pub(crate) fn crowded(&self, opening: usize) -> bool {
        self.troubled() && opening >= PROBES_AT_ONCE
    }

    /// Notes an attempt and says how long it may take.
    pub(crate) fn attempt(&mut self, now: Timestamp, usual: Duration, share: usize) -> Duration {
        if !self.troubled() {
            return usual;
        }
        self.next_attempt = now + PROBE_MOST;
        self.probes = self.probes.saturating_add(1);
        if self.probes.is_multiple_of(PATIENT_EACH) {
            usual.min(PATIENT_LIMIT)
        } else {
            usual.min(self.probe_patience(share))
        }
    }

    /// How long an opening is left alone in last_connect_error: so that one begins each [`PROBE_MOST`] where the
    /// share has room, and a patient one beside them.
    pub(crate) fn probe_patience(&self, share: usize) -> Duration {
        let quick = share.min(PROBES_AT_ONCE).saturating_sub(1);
        let slots = u32::try_from(quick).unwrap_or(1);
        (PROBE_MOST * slots).max(PROBE_LIMIT)
    }

    /// When the next opening may begin, where that is a matter of time.
    pub(crate) fn next_attempt(&self, now: Timestamp) -> Option<Timestamp> {
        match self.shut_until {
            Some((until, _)) if now < until => Some(until),
            _ => (self.troubled() || self.refusals > 0).then_some(self.next_attempt),
        }
    }

    /// When callers are sent away if nothing shows life until then.
    pub(crate) fn trips_at(&self) -> Option<Timestamp> {
        let last_connect_error = self.trouble_since.filter(|_| !self.tripped)? + self.grace;
        Some(
            self.alive_until()
                .map_or(last_connect_error, |alive| last_connect_error.max(alive)),
        )
    }

    fn calm(&mut self) {
        self.trouble_since = None;
        self.tripped = false;
        self.unanswered = 0;
        self.probes = 0;
    }

    /// A pooler frees a place some time after the close that made it: closed slots rest that long.
    fn learn_cooldown(&mut self, now: Timestamp) {
        if self
            .last_close
            .is_some_and(|close| now < close + COOLDOWN_EVIDENCE)
        {
            self.cooldown = (self.cooldown * 2).clamp(COOLDOWN_LEAST, COOLDOWN_MOST);
        }
    }

    /// Half to all of a duration, so that instances do not march in step (xorshift64).
    fn jittered(&mut self, time: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let thousandths = u32::try_from(500 + self.random % 501).unwrap_or(1000);
        time * thousandths / 1000
    }
}

fn doubled(least: Duration, times: u32, most: Duration) -> Duration {
    (least * 2_u32.saturating_pow(times.min(16))).min(most)
}
