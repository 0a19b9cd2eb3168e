use std::collections::HashMap;
use std::time::Duration;

use database::{Holder, HolderState, Status, Totals};

use super::advice::{Advice, Cause, in_use, of_the_moment, seconds, use_in_words};
use crate::settings::Monitor as Settings;

/// How many holders one warning names.
const NAMED: usize = 5;

/// Compares each look at the pool with the one before, and says what is worth a warning.
///
/// Pure: time and snapshots come in, advice goes out.
#[derive(Debug)]
pub(super) struct Watch {
    settings: Settings,
    before: Option<Totals>,
    busy_since: Option<Duration>,
    /// Leases that were held too long at the last look, by slot.
    long: HashMap<u64, Long>,
}

#[derive(Clone, Debug)]
struct Long {
    name: String,
    held: Duration,
}

impl Watch {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            before: None,
            busy_since: None,
            long: HashMap::new(),
        }
    }

    pub(super) fn look(&mut self, now: Duration, status: &Status, holders: &[Holder]) -> Vec<Advice> {
        let before = self.before.replace(status.totals).unwrap_or(status.totals);
        let mut all = self.counted(&before, status);
        // Refusals are counted, above, and use is judged over a while, below; the rest counts as it is.
        let now_true = of_the_moment(status, f64::INFINITY).into_iter();
        all.extend(now_true.filter(|advice| advice.cause != Cause::Refused));
        all.extend(self.stayed_busy(now, status));
        all.extend(self.leases(holders));
        all
    }

    fn counted(&self, before: &Totals, status: &Status) -> Vec<Advice> {
        let after = &status.totals;
        let (refused, share) = (after.refused - before.refused, status.share);
        let unserved = after.timed_out + after.turned_away - before.timed_out - before.turned_away;
        let idle = after.idle_in_transaction - before.idle_in_transaction;
        let mut all = Vec::new();
        if refused > 0 {
            let seen = format!("{refused} attempts to connect were refused; our share is {share}");
            all.push(Cause::Refused.because(seen));
        }
        if unserved > 0 {
            all.push(Cause::TimedOut.because(format!("{unserved} callers got no connection")));
        }
        if let Some(last) = status.last_idle.as_ref().filter(|_| idle > 0) {
            let millis = last.idle.as_millis();
            let seen = format!(
                "{idle} times a connection lay idle inside a transaction, last for {millis} ms in {}",
                last.label
            );
            all.push(Cause::IdleInTransaction.because(seen));
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

    /// Names leases that are held too long, once each, and says so when one does come back.
    fn leases(&mut self, holders: &[Holder]) -> Vec<Advice> {
        let known = std::mem::take(&mut self.long);
        let (mut new, mut back) = (Vec::new(), Vec::new());
        for holder in holders
            .iter()
            .filter(|holder| holder.held >= self.settings.long_lease)
        {
            let name = name(holder);
            // A lease only gets older: a younger one in the same slot is another one.
            let same = known
                .get(&holder.slot)
                .is_some_and(|long| long.held <= holder.held);
            if !same {
                new.push(format!("{name}, {} for {}", doing(holder), seconds(holder.held)));
            }
            let held = holder.held;
            self.long.insert(holder.slot, Long { name, held });
        }
        for (slot, long) in known {
            let still = self.long.get(&slot).is_some_and(|now| now.held >= long.held);
            if !still {
                back.push(format!("{} after more than {}", long.name, seconds(long.held)));
            }
        }
        let new =
            listed(&new).map(|names| Cause::LongLease.because(format!("connections held for long: {names}")));
        let back = listed(&back)
            .map(|names| Cause::LeaseReturned.because(format!("connections came back: {names}")));
        new.into_iter().chain(back).collect()
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

fn listed(names: &[String]) -> Option<String> {
    let more = names.len().saturating_sub(NAMED);
    let named = names
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    match more {
        _ if names.is_empty() => None,
        0 => Some(named),
        more => Some(format!("{named}; and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::advice::advise;
    use super::*;

    fn watch() -> Watch {
        Watch::new(Settings {
            enabled: true,
            interval: Duration::from_secs(1),
            high_use: 0.8,
            high_use_for: Duration::from_secs(10),
            long_lease: Duration::from_secs(10),
            slow_request: Duration::from_secs(5),
        })
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

    fn causes(all: &[Advice]) -> Vec<Cause> {
        all.iter().map(|advice| advice.cause).collect()
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
        let now = Duration::ZERO;
        assert!(watch.look(now, &status, &[holder(1, 9)]).is_empty());
        let named = watch.look(now, &status, &[holder(1, 10)]);
        assert_eq!(causes(&named), [Cause::LongLease]);
        assert!(
            named[0]
                .seen
                .contains("GET /report (request request-1), idle in a transaction for 10.0 s"),
            "{named:?}"
        );
        assert!(watch.look(now, &status, &[holder(1, 30)]).is_empty());
        let both = watch.look(now, &status, &[holder(1, 12)]);
        assert_eq!(causes(&both), [Cause::LongLease, Cause::LeaseReturned]);
        assert_eq!(causes(&watch.look(now, &status, &[])), [Cause::LeaseReturned]);
        assert!(watch.look(now, &status, &[]).is_empty());
    }

    #[tokio::test]
    async fn many_long_leases_are_one_line_that_says_how_many() {
        let (mut watch, status) = (watch(), calm().await);
        let holders: Vec<_> = (0..8).map(|slot| holder(slot, 60)).collect();
        let named = watch.look(Duration::ZERO, &status, &holders);
        assert_eq!(named.len(), 1);
        assert!(
            named[0].seen.contains("request-4") && named[0].seen.ends_with("and 3 more"),
            "{named:?}"
        );
    }

    #[tokio::test]
    async fn what_is_counted_is_told_once() {
        let (mut watch, mut status) = (watch(), calm().await);
        let now = Duration::ZERO;
        status.totals.refused = 7;
        assert!(
            watch.look(now, &status, &[]).is_empty(),
            "it was so before anybody looked"
        );
        status.totals.refused = 9;
        status.totals.timed_out = 1;
        status.totals.turned_away = 1;
        let told = watch.look(now, &status, &[]);
        assert_eq!(causes(&told), [Cause::Refused, Cause::TimedOut]);
        assert!(
            told[0].seen.starts_with("2 attempts") && told[1].seen.starts_with("2 callers"),
            "{told:?}"
        );
        assert!(watch.look(now, &status, &[]).is_empty());
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
        assert_eq!(advise(&status, 0.8).unwrap().cause, Cause::Refused);
        status.breaker = Some(database::Verdict::Misconfigured);
        status.trouble = Some(database::Reason::Credentials);
        let advice = advise(&status, 0.8).unwrap();
        assert_eq!(advice.cause, Cause::Misconfigured);
        assert_eq!(advice.seen, "the server does not accept the user or password");
    }
}
