use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use database::{Holder, HolderState, Status, Totals};

use super::advice::{Advice, Cause, broken, in_use, seconds, use_in_words, waiting};
use super::throttle::Throttle;
use crate::settings::Monitor as Settings;

/// How many holders one warning names.
const NAMED: usize = 5;

/// Compares each look at the pool with those before, and says what is worth a warning now.
///
/// Pure: time and snapshots come in, warnings go out.
#[derive(Debug)]
pub(super) struct Watch {
    settings: Settings,
    throttle: Throttle,
    /// What has been counted, and told of, so far.
    told: Option<Totals>,
    busy_since: Option<Duration>,
    /// Leases that were held too long at the last look, by slot.
    long: HashMap<u64, Long>,
}

/// What the log is told.
#[derive(Clone, Debug)]
pub(super) struct Warning {
    pub(super) advice: Advice,
    /// How many of its kind were not told of since the last one that was.
    pub(super) left_out: u64,
}

#[derive(Clone, Debug)]
struct Long {
    route: String,
    name: String,
    held: Duration,
    named: bool,
}

impl Watch {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            throttle: Throttle::default(),
            told: None,
            busy_since: None,
            long: HashMap::new(),
        }
    }

    pub(super) fn look(&mut self, now: Duration, status: &Status, holders: &[Holder]) -> Vec<Warning> {
        let mut all = self.counted(now, status);
        let lasting = [broken(status), waiting(status), self.stayed_busy(now, status)];
        for advice in lasting.into_iter().flatten() {
            let admitted = self.throttle.admit(now, advice.cause, "", 1);
            all.extend(admitted.map(|left_out| Warning { advice, left_out }));
        }
        all.extend(self.leases(now, holders));
        all
    }

    /// What is counted is told with everything since it was told of last, and so leaves nothing out.
    fn counted(&mut self, now: Duration, status: &Status) -> Vec<Warning> {
        let Self { throttle, told, .. } = self;
        let (before, after) = (told.get_or_insert(status.totals), &status.totals);
        let mut all = Vec::new();
        let mut tell = |cause: Cause, count: u64, seen: &dyn Fn() -> String| {
            let told = count > 0 && throttle.open(now, cause, "").is_some();
            if told {
                all.push(Warning {
                    advice: cause.because(seen()),
                    left_out: 0,
                });
            }
            told
        };
        let (refused, share) = (after.refused - before.refused, status.share);
        let seen = || format!("{refused} attempts to connect were refused; our share is {share}");
        if tell(Cause::Refused, refused, &seen) {
            before.refused = after.refused;
        }
        let unserved = after.timed_out + after.turned_away - before.timed_out - before.turned_away;
        let seen = || format!("{unserved} callers got no connection");
        if tell(Cause::TimedOut, unserved, &seen) {
            (before.timed_out, before.turned_away) = (after.timed_out, after.turned_away);
        }
        let idle = after.idle_in_transaction - before.idle_in_transaction;
        if let Some(last) = &status.last_idle {
            let seen = || {
                let (millis, label) = (last.idle.as_millis(), &last.label);
                format!(
                    "{idle} times a connection lay idle inside a transaction, last for {millis} ms in {label}"
                )
            };
            if tell(Cause::IdleInTransaction, idle, &seen) {
                before.idle_in_transaction = after.idle_in_transaction;
            }
        }
        all
    }

    fn stayed_busy(&mut self, now: Duration, status: &Status) -> Option<Advice> {
        if in_use(status) <= self.settings.high_use {
            self.busy_since = None;
            return None;
        }
        let since = *self.busy_since.get_or_insert(now);
        let busy = now.saturating_sub(since);
        (busy >= self.settings.high_use_for)
            .then(|| Cause::HighUse.because(format!("{}, for {}", use_in_words(status), seconds(busy))))
    }

    /// Names leases that are held too long, once each, and says so when one does come back. One that may not be named
    /// yet is named as soon as its route may be, if it is still held.
    fn leases(&mut self, now: Duration, holders: &[Holder]) -> Vec<Warning> {
        let known = std::mem::take(&mut self.long);
        let mut new: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        for holder in holders
            .iter()
            .filter(|holder| holder.held >= self.settings.long_lease)
        {
            // A lease only gets older: a younger one in the same slot is another one.
            let named = known
                .get(&holder.slot)
                .is_some_and(|long| long.named && long.held <= holder.held);
            let (name, held) = (name(holder), holder.held);
            if !named {
                let doing = format!("{name}, {} for {}", doing(holder), seconds(held));
                new.entry(holder.label.to_string())
                    .or_default()
                    .push((holder.slot, doing));
            }
            let route = holder.label.to_string();
            let long = Long {
                route,
                name,
                held,
                named,
            };
            self.long.insert(holder.slot, long);
        }
        let mut back: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (slot, long) in known {
            let still = self.long.get(&slot).is_some_and(|now| now.held >= long.held);
            match (still, long.named) {
                (true, _) => {}
                (false, true) => {
                    let after = format!("{} after more than {}", long.name, seconds(long.held));
                    back.entry(long.route).or_default().push(after);
                }
                (false, false) => self.throttle.leave_out(Cause::LongLease, &long.route, 1),
            }
        }
        let mut all = Vec::new();
        for (route, holders) in new {
            let Some(left_out) = self.throttle.open(now, Cause::LongLease, &route) else {
                continue;
            };
            let (slots, names): (Vec<_>, Vec<_>) = holders.into_iter().unzip();
            for slot in slots {
                self.long.entry(slot).and_modify(|long| long.named = true);
            }
            let seen = format!("connections held for long: {}", listed(&names));
            let advice = Cause::LongLease.because(seen);
            all.push(Warning { advice, left_out });
        }
        for (route, names) in back {
            let count = names.len() as u64;
            let admitted = self.throttle.admit(now, Cause::LeaseReturned, &route, count);
            all.extend(admitted.map(|left_out| {
                let seen = format!("connections came back: {}", listed(&names));
                let advice = Cause::LeaseReturned.because(seen);
                Warning { advice, left_out }
            }));
        }
        all
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
    use super::super::advice::advise;
    use super::*;

    fn settings() -> Settings {
        Settings {
            enabled: true,
            interval: Duration::from_secs(1),
            high_use: 0.8,
            high_use_for: Duration::from_secs(10),
            long_lease: Duration::from_secs(10),
            slow_request: Duration::from_secs(5),
        }
    }

    fn watch() -> Watch {
        Watch::new(settings())
    }

    /// A pool at rest with a share of five.
    async fn calm() -> Status {
        let url = std::env::temp_dir().join("never-opened.sqlite");
        let settings = database::Settings::for_url(&format!("sqlite://{}?mode=rwc", url.display())).unwrap();
        let status = database::Database::new(settings).unwrap().status();
        assert_eq!(status.share, 5);
        status
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
        all.iter().map(|warning| warning.advice.cause).collect()
    }

    #[tokio::test]
    async fn a_burst_is_not_high_use_and_a_while_of_it_is() {
        let (mut watch, mut status) = (watch(), calm().await);
        status.slots.leased = 5;
        let at = Duration::from_secs;
        assert!(watch.look(at(0), &status, &[]).is_empty());
        status.slots.leased = 4;
        assert!(
            watch.look(at(9), &status, &[]).is_empty(),
            "80 % is not above 80 %"
        );
        status.slots.leased = 5;
        assert!(watch.look(at(10), &status, &[]).is_empty());
        assert_eq!(causes(&watch.look(at(20), &status, &[])), [Cause::HighUse]);
    }

    #[tokio::test]
    async fn a_long_lease_is_named_once_and_another_one_in_its_slot_again() {
        let (mut watch, status) = (watch(), calm().await);
        let at = Duration::from_secs;
        assert!(watch.look(at(9), &status, &[holder(1, 9)]).is_empty());
        let named = watch.look(at(10), &status, &[holder(1, 10)]);
        assert_eq!(causes(&named), [Cause::LongLease]);
        let seen = &named[0].advice.seen;
        assert!(
            seen.contains("GET /report (request request-1), idle in a transaction for 10.0 s"),
            "{named:?}"
        );
        assert!(watch.look(at(80), &status, &[holder(1, 80)]).is_empty());
        let both = watch.look(at(100), &status, &[holder(1, 12)]);
        assert_eq!(causes(&both), [Cause::LongLease, Cause::LeaseReturned]);
        let back = watch.look(at(200), &status, &[]);
        assert_eq!(causes(&back), [Cause::LeaseReturned]);
        assert!(watch.look(at(300), &status, &[]).is_empty());
    }

    #[tokio::test]
    async fn a_second_leak_is_named_at_once_on_another_route_and_within_the_minute_on_the_same() {
        let (mut watch, status) = (watch(), calm().await);
        let at = Duration::from_secs;
        assert_eq!(watch.look(at(10), &status, &[holder(1, 10)]).len(), 1);
        let other = Holder {
            label: "POST /orders".into(),
            ..holder(2, 10)
        };
        let named = watch.look(
            at(20),
            &status,
            &[holder(1, 20), other.clone(), holder(3, 10), holder(4, 10)],
        );
        assert_eq!(named.len(), 1);
        assert!(
            named[0].advice.seen.contains("POST /orders (request request-2)"),
            "{named:?}"
        );
        // The fourth comes back before its turn.
        let later = Holder {
            held: Duration::from_secs(60),
            ..other
        };
        let named = watch.look(at(70), &status, &[holder(1, 70), later, holder(3, 60)]);
        assert_eq!(named.len(), 1);
        let seen = &named[0].advice.seen;
        assert!(
            seen.contains("request-3") && !seen.contains("request-1"),
            "{named:?}"
        );
        assert_eq!(named[0].left_out, 1);
    }

    #[tokio::test]
    async fn many_long_leases_of_a_route_are_one_line_that_says_how_many() {
        let (mut watch, status) = (watch(), calm().await);
        let holders: Vec<_> = (0..8).map(|slot| holder(slot, 60)).collect();
        let named = watch.look(Duration::ZERO, &status, &holders);
        assert_eq!(named.len(), 1);
        let seen = &named[0].advice.seen;
        assert!(
            seen.contains("request-4") && seen.ends_with("and 3 more"),
            "{named:?}"
        );
    }

    #[tokio::test]
    async fn what_is_counted_is_told_once_and_nothing_of_it_is_lost() {
        let (mut watch, mut status) = (watch(), calm().await);
        let at = Duration::from_secs;
        status.totals.refused = 7;
        assert!(
            watch.look(at(0), &status, &[]).is_empty(),
            "it was so before anybody looked"
        );
        status.totals.refused = 9;
        status.totals.timed_out = 1;
        status.totals.turned_away = 1;
        let told = watch.look(at(1), &status, &[]);
        assert_eq!(causes(&told), [Cause::Refused, Cause::TimedOut]);
        let seen = |told: &[Warning], at: usize| told[at].advice.seen.clone();
        assert!(
            seen(&told, 0).starts_with("2 attempts") && seen(&told, 1).starts_with("2 callers"),
            "{told:?}"
        );
        status.totals.refused = 509;
        assert!(watch.look(at(2), &status, &[]).is_empty(), "one a minute");
        let told = watch.look(at(61), &status, &[]);
        assert_eq!(causes(&told), [Cause::Refused]);
        assert!(seen(&told, 0).starts_with("500 attempts"), "{told:?}");
        assert!(watch.look(at(200), &status, &[]).is_empty());
    }

    #[tokio::test]
    async fn a_queue_is_told_of_while_refusals_go_on() {
        let (mut watch, mut status) = (watch(), calm().await);
        watch.look(Duration::ZERO, &status, &[]);
        (status.waiting, status.refusals_in_a_row, status.totals.refused) = (3, 2, 2);
        let told = watch.look(Duration::ZERO, &status, &[]);
        assert_eq!(causes(&told), [Cause::Refused, Cause::Waiting]);
    }

    #[tokio::test]
    async fn an_open_breaker_comes_before_everything_else() {
        let mut status = calm().await;
        (status.waiting, status.refusals_in_a_row) = (3, 2);
        let advise = |status: &Status| advise(status, &[], &settings()).unwrap();
        assert_eq!(advise(&status).cause, Cause::Refused);
        status.breaker = Some(database::Verdict::Misconfigured);
        status.trouble = Some(database::Reason::Credentials);
        let advice = advise(&status);
        assert_eq!(advice.cause, Cause::Misconfigured);
        assert_eq!(advice.seen, "the server does not accept the user or password");
    }

    #[tokio::test]
    async fn what_was_is_no_advice_while_requests_are_served() {
        let mut status = calm().await;
        let advise = |status: &Status, holders: &[Holder]| {
            advise(status, holders, &settings()).map(|advice| advice.cause)
        };
        status.refusals_in_a_row = 4;
        assert_eq!(advise(&status, &[]), None, "nobody waits for one");
        status.trouble = Some(database::Reason::NoAnswer);
        status.last_success = Some(Duration::from_millis(10));
        assert_eq!(advise(&status, &[]), None, "others are served");
        status.last_success = Some(Duration::from_secs(60));
        assert_eq!(advise(&status, &[]), Some(Cause::Unreachable));
        status.trouble = Some(database::Reason::Credentials);
        assert_eq!(advise(&status, &[]), Some(Cause::Misconfigured));
        status.trouble = None;
        assert_eq!(advise(&status, &[holder(1, 9)]), None);
        assert_eq!(advise(&status, &[holder(1, 10)]), Some(Cause::LongLease));
    }
}
