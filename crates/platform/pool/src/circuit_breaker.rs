//! Circuit breaker for connection attempts: when callers fail fast, and when the server is probed.
//!
//! It judges connection attempts only, never statements. Each kind of failure has its own answer:
//!
//! - *Full*: the server answers and has no room. Callers wait; attempts back off ([`crate::backoff`]).
//! - *Unreachable*: nothing answers. Callers wait through a grace, then fail fast while probes go on.
//! - *Permanent*: the next attempt would fail for the same reason. Callers get the reason at once, and attempts are
//!   spaced so that a pooler that bans clients after failed logins is not provoked.
//! - *Banned*: the pooler names a time during which it admits nothing. No attempt is made until then.

use std::collections::VecDeque;
use std::time::Duration;

use crate::backoff::{Backoff, OutagePhase, PROBE_INTERVAL};
use crate::cooldown::Cooldown;
use crate::types::{ConnectErrorKind, Outage, Timestamp};

/// The shortest timeout of a probe.
const PROBE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Attempts that may overlap during an outage: one long probe, the others [`PROBE_INTERVAL`] apart.
const PROBES_MAX: usize = 5;
/// Each tenth probe gets a long timeout, so that a slow link is found open again. As the others begin
/// [`PROBE_INTERVAL`] apart, the next long one begins when this one ends.
const LONG_PROBE_EACH: u32 = 10;
const LONG_PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Supavisor bans a client for 120 s after 10 failed authentications within 150 s
/// (`lib/supavisor/circuit_breaker.ex`, 2.9); half of that leaves room for another instance.
const PERMANENT_WINDOW: Duration = Duration::from_secs(150);
const PERMANENT_MAX: usize = 5;
const PERMANENT_PAUSE: Duration = Duration::from_secs(30);

/// What is known about the way to the server.
#[derive(Clone, Debug, Hash)]
pub struct CircuitBreaker {
    grace: Duration,
    backoff: Backoff,
    cooldown: Cooldown,
    /// When a connection last succeeded or was released in good order.
    last_alive: Option<Timestamp>,
    /// When an attempt last got an answer, a refusal included.
    last_answer: Option<Timestamp>,
    trouble: Trouble,
    shut_until: Option<(Timestamp, Outage)>,
    /// Recent permanent failures, the oldest first.
    permanent: VecDeque<Timestamp>,
}

/// A period in which attempts get no answer.
#[derive(Clone, Debug, Default, Hash)]
struct Trouble {
    since: Option<Timestamp>,
    last: Timestamp,
    probes: u32,
    /// Callers fail fast.
    tripped: bool,
}

impl CircuitBreaker {
    pub(crate) fn new(grace: Duration, seed: u64) -> Self {
        Self {
            grace,
            backoff: Backoff::new(seed),
            cooldown: Cooldown::default(),
            last_alive: None,
            last_answer: None,
            trouble: Trouble::default(),
            shut_until: None,
            permanent: VecDeque::new(),
        }
    }

    /// Returns the number of refusals since the last success.
    pub fn refusals(&self) -> u32 {
        self.backoff.refusals()
    }

    /// Returns the outage that callers are denied with, while the breaker is open.
    pub fn denies(&self, now: Timestamp) -> Option<Outage> {
        let tripped = self.trouble.tripped.then_some(Outage::Unreachable);
        self.shut(now).map(|(_, outage)| outage).or(tripped)
    }

    /// Whether attempts get no answer at present.
    pub fn is_unreachable(&self) -> bool {
        self.trouble.since.is_some()
    }

    pub(crate) fn succeeded(&mut self, now: Timestamp) {
        (self.last_alive, self.last_answer) = (Some(now), Some(now));
        self.backoff.succeeded();
        self.cooldown.succeeded();
        self.shut_until = None;
        self.end_trouble();
    }

    /// A connection was released in good order: the server lives, though attempts may fail.
    pub(crate) fn alive(&mut self, now: Timestamp) {
        self.last_alive = Some(now);
        if self.trouble.tripped {
            self.trouble.tripped = false;
            self.trouble.since = Some(now);
        }
    }

    /// An attempt that began at `since` brought no connection.
    pub(crate) fn failed(&mut self, now: Timestamp, since: Timestamp, kind: ConnectErrorKind) {
        match kind {
            ConnectErrorKind::Cancelled => return,
            ConnectErrorKind::Unreachable => return self.unanswered(now, since),
            ConnectErrorKind::Full => {
                self.end_trouble();
                self.backoff.refused(now);
                self.cooldown.refused(now);
            }
            ConnectErrorKind::Permanent => {
                let until = self.next_permanent_attempt(now);
                self.shut_until(until, Outage::Permanent);
            }
            ConnectErrorKind::Banned(pause) => {
                let extra = self.backoff.jittered(pause / 10);
                self.shut_until(now + pause + extra, Outage::Banned);
            }
        }
        self.last_answer = Some(now);
    }

    fn unanswered(&mut self, now: Timestamp, since: Timestamp) {
        let phase = if self.is_unreachable() {
            OutagePhase::Continues
        } else {
            OutagePhase::Begins
        };
        self.backoff.unanswered(now, since, phase);
        self.trouble.since.get_or_insert(now);
        self.trouble.last = now;
    }

    /// Notes a permanent failure; returns when the next attempt may begin.
    fn next_permanent_attempt(&mut self, now: Timestamp) -> Timestamp {
        self.permanent.retain(|at| *at + PERMANENT_WINDOW > now);
        self.permanent.push_back(now);
        let excess = self.permanent.len().checked_sub(PERMANENT_MAX);
        let oldest = excess.and_then(|index| self.permanent.get(index));
        let paused = now + PERMANENT_PAUSE;
        oldest.map_or(paused, |at| paused.max(*at + PERMANENT_WINDOW))
    }

    /// Makes no attempt until then. Concurrent attempts may fail for different reasons; the longest pause counts.
    fn shut_until(&mut self, until: Timestamp, outage: Outage) {
        self.end_trouble();
        self.backoff.narrow();
        if self.shut_until.is_none_or(|(shut, _)| shut < until) {
            self.shut_until = Some((until, outage));
        }
    }

    fn shut(&self, now: Timestamp) -> Option<(Timestamp, Outage)> {
        self.shut_until.filter(|(until, _)| now < *until)
    }

    /// An attempt has had no answer since `since`; that counts as trouble unless a later one was answered.
    pub(crate) fn hanging(&mut self, now: Timestamp, since: Timestamp) {
        let answered = self.last_answer.is_some_and(|answer| answer > since);
        if self.hang_deadline(since) <= now && !answered && !self.is_unreachable() {
            self.trouble.since = Some(since);
            self.trouble.last = now;
            self.backoff.narrow();
            self.backoff.set_next(now);
        }
    }

    /// When an attempt counts as hanging. Without a minimum and without a grace each one would at once.
    pub(crate) fn hang_deadline(&self, since: Timestamp) -> Timestamp {
        since + self.grace.max(PROBE_TIMEOUT_MIN)
    }

    /// Trips once trouble has lasted for the grace and no connection has shown life within it.
    pub(crate) fn trip_if_due(&mut self, now: Timestamp) {
        let outlasted = self.trouble.since.is_some_and(|since| since + self.grace <= now);
        self.trouble.tripped |= outlasted && !self.recently_alive(now);
    }

    pub(crate) fn recently_alive(&self, now: Timestamp) -> bool {
        self.alive_until().is_some_and(|until| now < until)
    }

    /// When the last sign of life stops counting.
    pub(crate) fn alive_until(&self) -> Option<Timestamp> {
        self.last_alive.map(|alive| alive + self.grace)
    }

    /// Forgets an old failure that did not trip the breaker, so that it does not make the next caller fail fast.
    pub(crate) fn forget_stale_trouble(&mut self, now: Timestamp) {
        if !self.trouble.tripped && self.trouble.last + self.grace < now {
            self.trouble.since = None;
        }
    }

    /// A connection was closed here, which makes room at the server; returns how long its slot cools down, if at all.
    pub(crate) fn closed_one(&mut self, now: Timestamp) -> Option<Duration> {
        if self.refusals() > 0 && !self.is_unreachable() {
            self.backoff.bring_forward(now + self.cooldown.time());
        }
        self.cooldown.closed(now)
    }

    /// Whether attempts are made although no caller waits.
    pub(crate) fn probing(&self) -> bool {
        self.trouble.tripped
    }

    /// Whether one more attempt may begin now beside those under way.
    pub(crate) fn permits(&self, now: Timestamp, under_way: usize) -> bool {
        if self.shut(now).is_some() {
            false
        } else if self.is_unreachable() {
            self.backoff.is_due(now)
        } else {
            self.backoff.allows(now, under_way)
        }
    }

    /// Whether as many attempts overlap as an outage allows.
    pub(crate) fn probes_full(&self, connecting: usize) -> bool {
        self.is_unreachable() && connecting >= PROBES_MAX
    }

    /// Notes an attempt; returns its timeout.
    pub(crate) fn attempt(&mut self, now: Timestamp, usual: Duration, share: usize) -> Duration {
        if !self.is_unreachable() {
            return usual;
        }
        self.backoff.set_next(now + PROBE_INTERVAL);
        self.trouble.probes = self.trouble.probes.saturating_add(1);
        if self.trouble.probes.is_multiple_of(LONG_PROBE_EACH) {
            usual.min(LONG_PROBE_TIMEOUT)
        } else {
            usual.min(self.probe_timeout(share))
        }
    }

    /// The timeout of a probe: as long as lets one begin each [`PROBE_INTERVAL`] where the share has room, with a long
    /// one beside them.
    pub(crate) fn probe_timeout(&self, share: usize) -> Duration {
        let quick = share.min(PROBES_MAX).saturating_sub(1);
        let slots = u32::try_from(quick).unwrap_or(1);
        (PROBE_INTERVAL * slots).max(PROBE_TIMEOUT_MIN)
    }

    /// When the next attempt may begin, where time alone decides.
    pub(crate) fn next_attempt(&self, now: Timestamp) -> Option<Timestamp> {
        let pausing = self.is_unreachable() || self.refusals() > 0;
        let paused = pausing.then(|| self.backoff.next_attempt());
        self.shut(now).map(|(until, _)| until).or(paused)
    }

    /// When callers are denied if no connection shows life until then.
    pub(crate) fn trips_at(&self) -> Option<Timestamp> {
        let since = self.trouble.since.filter(|_| !self.trouble.tripped)?;
        let graced = since + self.grace;
        Some(self.alive_until().map_or(graced, |alive| graced.max(alive)))
    }

    fn end_trouble(&mut self) {
        self.trouble.since = None;
        self.trouble.tripped = false;
        self.trouble.probes = 0;
        self.backoff.answered();
    }
}
