//! Watches the pool between two looks and decides which alerts are logged.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_database::{Counters, Holder, HolderState, Status};

use super::alert::{Alert, Cause, broken, in_use, seconds, usage_text, waiting};
use super::throttle::Throttle;
use crate::settings::Monitor as Settings;

/// How many holders one warning names.
const NAMED: usize = 5;

/// Compares each look at the pool with those before, and says what is worth a warning now.
///
/// Pure: time and snapshots come in, warnings go out.
#[derive(Debug)]
pub(super) struct AlertRules {
    settings: Settings,
    throttle: Throttle,
    /// What has been counted, and reported of, so far.
    reported: Option<Counters>,
    busy_since: Option<Duration>,
    /// Leases that were held too long at the last look, by slot.
    long: BTreeMap<u64, Long>,
}

/// What the log is reported.
#[derive(Clone, Debug)]
pub(super) struct Warning {
    pub(super) alert: Alert,
    /// How many of its kind were not reported of since the last one that was.
    pub(super) left_out: u64,
}

#[derive(Debug)]
struct Long {
    route: String,
    name: String,
    doing: &'static str,
    held: Duration,
    /// Whether the log was reported of it.
    named: bool,
}

impl Warning {
    pub(super) fn new(cause: Cause, seen: impl Into<String>, left_out: u64) -> Self {
        let alert = cause.alert(seen);
        Self { alert, left_out }
    }
}

impl AlertRules {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            throttle: Throttle::default(),
            reported: None,
            busy_since: None,
            long: BTreeMap::new(),
        }
    }

    pub(super) fn check(&mut self, now: Duration, status: &Status, holders: &[Holder]) -> Vec<Warning> {
        let mut all = self.counted(now, status);
        let lasting = [broken(status), waiting(status), self.stayed_busy(now, status)];
        for alert in lasting.into_iter().flatten() {
            let admitted = self.throttle.admit(now, alert.cause, "", 1);
            all.extend(admitted.map(|left_out| Warning { alert, left_out }));
        }
        all.extend(self.leases(now, holders));
        all
    }

    /// What is counted is reported with everything since it was reported of last, and so leaves nothing out.
    fn counted(&mut self, now: Duration, status: &Status) -> Vec<Warning> {
        let Self {
            throttle, reported, ..
        } = self;
        let (before, after) = (reported.get_or_insert(status.counters), &status.counters);
        let mut all = Vec::new();
        let mut tell = |cause: Cause, count: u64, seen: &dyn Fn() -> String| {
            let reported = count > 0 && throttle.open(now, cause, "").is_some();
            if reported {
                all.push(Warning::new(cause, seen(), 0));
            }
            reported
        };
        let (refused, share) = (after.refused - before.refused, status.share);
        let seen = || format!("{refused} connection attempts were refused; the share is {share}");
        if tell(Cause::Refused, refused, &seen) {
            before.refused = after.refused;
        }
        let unserved = after.timed_out + after.rejected - before.timed_out - before.rejected;
        let seen = || format!("{unserved} callers got no connection");
        if tell(Cause::TimedOut, unserved, &seen) {
            (before.timed_out, before.rejected) = (after.timed_out, after.rejected);
        }
        let idle = after.idle_in_transaction - before.idle_in_transaction;
        if let Some(last) = &status.last_idle {
            let seen = || {
                let (millis, label) = (last.idle.as_millis(), &last.label);
                format!(
                    "a connection was idle in a transaction {idle} times, last for {millis} ms in {label}"
                )
            };
            if tell(Cause::IdleInTransaction, idle, &seen) {
                before.idle_in_transaction = after.idle_in_transaction;
            }
        }
        all
    }

    fn stayed_busy(&mut self, now: Duration, status: &Status) -> Option<Alert> {
        if in_use(status) <= self.settings.usage_warning_ratio {
            self.busy_since = None;
            return None;
        }
        let since = *self.busy_since.get_or_insert(now);
        let busy = now.saturating_sub(since);
        (busy >= self.settings.usage_warning_after)
            .then(|| Cause::HighUse.alert(format!("{}, for {}", usage_text(status), seconds(busy))))
    }

    fn leases(&mut self, now: Duration, holders: &[Holder]) -> Vec<Warning> {
        let known = std::mem::take(&mut self.long);
        let long = holders
            .iter()
            .filter(|holder| holder.held >= self.settings.leak_detection_threshold)
            .map(|holder| (holder.slot, Long::of(holder, known.get(&holder.slot))));
        self.long = long.collect();
        let back = self.back(now, known);
        let mut all = self.held(now);
        all.extend(back);
        all
    }

    /// Names leases that are held too long, once each. One that may not be named yet is named as soon as its route
    /// may be, if it is still held.
    fn held(&mut self, now: Duration) -> Vec<Warning> {
        let mut unnamed: BTreeMap<String, Vec<&mut Long>> = BTreeMap::new();
        for lease in self.long.values_mut().filter(|lease| !lease.named) {
            unnamed.entry(lease.route.clone()).or_default().push(lease);
        }
        let mut all = Vec::new();
        for (route, leases) in unnamed {
            let Some(left_out) = self.throttle.open(now, Cause::LongLease, &route) else {
                continue;
            };
            let mut names = Vec::new();
            for lease in leases {
                lease.named = true;
                names.push(format!(
                    "{}, {} for {}",
                    lease.name,
                    lease.doing,
                    seconds(lease.held)
                ));
            }
            let seen = format!("connections held for long: {}", listed(&names));
            all.push(Warning::new(Cause::LongLease, seen, left_out));
        }
        all
    }

    /// Reports the named leases that have ended, and counts those that were never reported.
    fn back(&mut self, now: Duration, known: BTreeMap<u64, Long>) -> Vec<Warning> {
        let mut back: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (slot, lease) in known {
            if self.long.get(&slot).is_some_and(|now| now.held >= lease.held) {
                continue;
            }
            if lease.named {
                let after = format!("{} after more than {}", lease.name, seconds(lease.held));
                back.entry(lease.route).or_default().push(after);
            } else {
                self.throttle.leave_out(Cause::LongLease, &lease.route, 1);
            }
        }
        let mut all = Vec::new();
        for (route, names) in back {
            let count = names.len() as u64;
            if let Some(left_out) = self.throttle.admit(now, Cause::LeaseReturned, &route, count) {
                let seen = format!("connections released after a long lease: {}", listed(&names));
                all.push(Warning::new(Cause::LeaseReturned, seen, left_out));
            }
        }
        all
    }
}

impl Long {
    fn of(holder: &Holder, before: Option<&Self>) -> Self {
        Self {
            route: holder.label.to_string(),
            name: name(holder),
            doing: doing(holder),
            held: holder.held,
            // A lease only gets older: a younger one in the same slot is another one.
            named: before.is_some_and(|before| before.named && before.held <= holder.held),
        }
    }
}

fn name(holder: &Holder) -> String {
    match &holder.request_id {
        Some(id) => format!("{} (request {id})", holder.label),
        None => holder.label.to_string(),
    }
}

fn doing(holder: &Holder) -> &'static str {
    match holder.state {
        HolderState::Running => "running a statement",
        HolderState::InTransaction => "idle in a transaction",
        HolderState::Idle => "idle",
    }
}

fn listed(names: &[String]) -> String {
    let named = names[..names.len().min(NAMED)].join("; ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::alert::most_urgent;
    use super::super::idle_pool;
    use super::*;

    fn settings() -> Settings {
        Settings {
            enabled: true,
            interval: Duration::from_secs(1),
            usage_warning_ratio: 0.8,
            usage_warning_after: Duration::from_secs(10),
            leak_detection_threshold: Duration::from_secs(10),
            slow_request: Duration::from_secs(5),
        }
    }

    fn rules() -> AlertRules {
        AlertRules::new(settings())
    }

    fn holder(slot: u64, held: u64) -> Holder {
        Holder {
            slot,
            label: "GET /report".into(),
            request_id: Some(format!("request-{slot}")),
            held: Duration::from_secs(held),
            state: HolderState::InTransaction,
            for_time: Duration::from_secs(1),
            statement: None,
            statements: 1,
            pid: None,
        }
    }

    fn causes(all: &[Warning]) -> Vec<Cause> {
        all.iter().map(|warning| warning.alert.cause).collect()
    }

    #[tokio::test]
    async fn a_burst_is_not_high_use_and_a_while_of_it_is() {
        let (mut rules, mut status) = (rules(), idle_pool());
        status.slots.leased = 5;
        let at = Duration::from_secs;
        assert!(rules.check(at(0), &status, &[]).is_empty());
        status.slots.leased = 4;
        assert!(
            rules.check(at(9), &status, &[]).is_empty(),
            "80 % is not above 80 %"
        );
        status.slots.leased = 5;
        assert!(rules.check(at(10), &status, &[]).is_empty());
        assert_eq!(causes(&rules.check(at(20), &status, &[])), [Cause::HighUse]);
    }

    #[tokio::test]
    async fn a_long_lease_is_named_once_and_another_one_in_its_slot_again() {
        let (mut rules, status) = (rules(), idle_pool());
        let at = Duration::from_secs;
        assert!(rules.check(at(9), &status, &[holder(1, 9)]).is_empty());
        let named = rules.check(at(10), &status, &[holder(1, 10)]);
        assert_eq!(causes(&named), [Cause::LongLease]);
        let seen = &named[0].alert.seen;
        assert!(
            seen.contains("GET /report (request request-1), idle in a transaction for 10.0 s"),
            "{named:?}"
        );
        assert!(rules.check(at(80), &status, &[holder(1, 80)]).is_empty());
        let both = rules.check(at(100), &status, &[holder(1, 12)]);
        assert_eq!(causes(&both), [Cause::LongLease, Cause::LeaseReturned]);
        let back = rules.check(at(200), &status, &[]);
        assert_eq!(causes(&back), [Cause::LeaseReturned]);
        assert!(rules.check(at(300), &status, &[]).is_empty());
    }

    #[tokio::test]
    async fn a_second_leak_is_named_at_once_on_another_route_and_within_the_minute_on_the_same() {
        let (mut rules, status) = (rules(), idle_pool());
        let at = Duration::from_secs;
        assert_eq!(rules.check(at(10), &status, &[holder(1, 10)]).len(), 1);
        let other = Holder {
            label: "POST /orders".into(),
            ..holder(2, 10)
        };
        let named = rules.check(
            at(20),
            &status,
            &[holder(1, 20), other.clone(), holder(3, 10), holder(4, 10)],
        );
        assert_eq!(named.len(), 1);
        assert!(
            named[0].alert.seen.contains("POST /orders (request request-2)"),
            "{named:?}"
        );
        // The fourth comes back before its turn.
        let later = Holder {
            held: Duration::from_secs(60),
            ..other
        };
        let named = rules.check(at(70), &status, &[holder(1, 70), later, holder(3, 60)]);
        assert_eq!(named.len(), 1);
        let seen = &named[0].alert.seen;
        assert!(
            seen.contains("request-3") && !seen.contains("request-1"),
            "{named:?}"
        );
        assert_eq!(named[0].left_out, 1);
    }

    #[tokio::test]
    async fn many_long_leases_of_a_route_are_one_line_that_says_how_many() {
        let (mut rules, status) = (rules(), idle_pool());
        let holders: Vec<_> = (0..8).map(|slot| holder(slot, 60)).collect();
        let named = rules.check(Duration::ZERO, &status, &holders);
        assert_eq!(named.len(), 1);
        let seen = &named[0].alert.seen;
        assert!(
            seen.contains("request-4") && seen.ends_with("and 3 more"),
            "{named:?}"
        );
    }

    #[tokio::test]
    async fn what_is_counted_is_reported_once_and_nothing_of_it_is_lost() {
        let (mut rules, mut status) = (rules(), idle_pool());
        let at = Duration::from_secs;
        status.counters.refused = 7;
        assert!(
            rules.check(at(0), &status, &[]).is_empty(),
            "it was so before anybody looked"
        );
        status.counters.refused = 9;
        status.counters.timed_out = 1;
        status.counters.rejected = 1;
        let reported = rules.check(at(1), &status, &[]);
        assert_eq!(causes(&reported), [Cause::Refused, Cause::TimedOut]);
        let seen = |reported: &[Warning], at: usize| reported[at].alert.seen.clone();
        assert!(
            seen(&reported, 0).starts_with("2 connection attempts")
                && seen(&reported, 1).starts_with("2 callers"),
            "{reported:?}"
        );
        status.counters.refused = 509;
        assert!(rules.check(at(2), &status, &[]).is_empty(), "one a minute");
        let reported = rules.check(at(61), &status, &[]);
        assert_eq!(causes(&reported), [Cause::Refused]);
        assert!(
            seen(&reported, 0).starts_with("500 connection attempts"),
            "{reported:?}"
        );
        assert!(rules.check(at(200), &status, &[]).is_empty());
    }

    #[tokio::test]
    async fn a_queue_is_reported_of_while_refusals_go_on() {
        let (mut rules, mut status) = (rules(), idle_pool());
        rules.check(Duration::ZERO, &status, &[]);
        (
            status.waiting,
            status.consecutive_refusals,
            status.counters.refused,
        ) = (3, 2, 2);
        let reported = rules.check(Duration::ZERO, &status, &[]);
        assert_eq!(causes(&reported), [Cause::Refused, Cause::Waiting]);
    }

    #[tokio::test]
    async fn an_open_breaker_comes_before_everything_else() {
        let mut status = idle_pool();
        (status.waiting, status.consecutive_refusals) = (3, 2);
        let most_urgent = |status: &Status| most_urgent(status, &[], &settings()).unwrap();
        assert_eq!(most_urgent(&status).cause, Cause::Refused);
        status.breaker = Some(berth_database::Outage::Permanent);
        status.last_connect_error = Some(berth_database::Reason::Credentials);
        let alert = most_urgent(&status);
        assert_eq!(alert.cause, Cause::Permanent);
        assert_eq!(alert.seen, "the server does not accept the user or password");
    }

    #[tokio::test]
    async fn what_was_is_no_alert_while_requests_are_served() {
        let mut status = idle_pool();
        let most_urgent = |status: &Status, holders: &[Holder]| {
            most_urgent(status, holders, &settings()).map(|alert| alert.cause)
        };
        status.consecutive_refusals = 4;
        assert_eq!(most_urgent(&status, &[]), None, "no caller waits");
        status.last_connect_error = Some(berth_database::Reason::NoAnswer);
        status.last_success = Some(Duration::from_millis(10));
        assert_eq!(most_urgent(&status, &[]), None, "others are served");
        status.last_success = Some(Duration::from_secs(60));
        assert_eq!(most_urgent(&status, &[]), Some(Cause::Unreachable));
        status.last_connect_error = Some(berth_database::Reason::Credentials);
        assert_eq!(most_urgent(&status, &[]), Some(Cause::Permanent));
        status.last_connect_error = None;
        assert_eq!(most_urgent(&status, &[holder(1, 9)]), None);
        assert_eq!(most_urgent(&status, &[holder(1, 10)]), Some(Cause::LongLease));
    }
}
