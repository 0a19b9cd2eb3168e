//! Alert rules: compare snapshots of the pool and decide which warnings are logged: leaks, waiting callers, high use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use berth_database::{Holder, HolderState, IdleLease, Status};

use super::alert::{Alert, Cause, broken, in_use, seconds, usage_text, waiting};
use super::throttle::Throttle;
use crate::settings::Monitor as Settings;

/// The most leases that one warning lists.
const MAX_LISTED: usize = 5;

/// Decides which warnings are logged; pure: the time and snapshots are arguments.
#[derive(Debug)]
pub(super) struct AlertRules {
    settings: Settings,
    throttle: Throttle,
    /// The value of each counter at its last warning.
    reported: BTreeMap<Cause, u64>,
    busy_since: Option<Duration>,
    /// Leases held for too long at the last check, by slot.
    long_leases: BTreeMap<u64, LongLease>,
}

/// An alert for the log.
#[derive(Clone, Debug)]
pub(super) struct Warning {
    pub(super) alert: Alert,
    /// Occurrences that were not logged since the last warning of this kind.
    pub(super) left_out: u64,
}

#[derive(Debug)]
struct LongLease {
    holder: Holder,
    reported: bool,
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
            reported: BTreeMap::new(),
            busy_since: None,
            long_leases: BTreeMap::new(),
        }
    }

    pub(super) fn check(&mut self, now: Duration, status: &Status, holders: &[Holder]) -> Vec<Warning> {
        let mut warnings = self.increases(now, status);
        let lasting = [broken(status), waiting(status), self.stayed_busy(now, status)];
        for alert in lasting.into_iter().flatten() {
            let left_out = self.throttle.admit(now, alert.cause, "", 1);
            warnings.extend(left_out.map(|left_out| Warning { alert, left_out }));
        }
        let ended = self.update_long_leases(holders);
        warnings.extend(self.held_long(now));
        warnings.extend(ended);
        warnings
    }

    /// Reports counters that grew. Each warning reports the increase since the previous one, so throttling loses no
    /// count.
    fn increases(&mut self, now: Duration, status: &Status) -> Vec<Warning> {
        let counters = &status.counters;
        let totals = [
            (Cause::Refused, counters.refused),
            (Cause::TimedOut, counters.timed_out + counters.rejected),
            (Cause::IdleInTransaction, counters.idle_in_transaction),
        ];
        let mut warnings = Vec::new();
        for (cause, total) in totals {
            let reported = self.reported.entry(cause).or_insert(total);
            let count = total - *reported;
            if count > 0 && self.throttle.open(now, cause, "").is_some() {
                *reported = total;
                warnings.push(Warning::new(cause, increase_text(cause, count, status), 0));
            }
        }
        warnings
    }

    fn stayed_busy(&mut self, now: Duration, status: &Status) -> Option<Alert> {
        if in_use(status) <= self.settings.usage_warning_ratio {
            self.busy_since = None;
            return None;
        }
        let busy = now.saturating_sub(*self.busy_since.get_or_insert(now));
        (busy >= self.settings.usage_warning_after)
            .then(|| Cause::HighUse.alert(format!("{}, for {}", usage_text(status), seconds(busy))))
    }

    /// Replaces the long leases by those of this snapshot, and reports the end of leases that were reported.
    fn update_long_leases(&mut self, holders: &[Holder]) -> Option<Warning> {
        let mut before = std::mem::take(&mut self.long_leases);
        let threshold = self.settings.leak_detection_threshold;
        for holder in holders.iter().filter(|holder| holder.held >= threshold).cloned() {
            let slot = holder.slot;
            // A lease only gets older: a younger one in the same slot is another lease.
            let same = before
                .get(&slot)
                .is_some_and(|lease| lease.holder.held <= holder.held);
            let reported = same && before.remove(&slot).is_some_and(|lease| lease.reported);
            self.long_leases.insert(slot, LongLease { holder, reported });
        }
        let (reported, unreported): (Vec<_>, Vec<_>) = before.into_values().partition(|lease| lease.reported);
        for lease in unreported {
            self.throttle.leave_out(Cause::LongLease, &lease.holder.label, 1);
        }
        let texts: Vec<_> = reported
            .iter()
            .map(|lease| returned_text(&lease.holder))
            .collect();
        let seen = format!("connections released after a long lease: {}", listed(&texts));
        (!texts.is_empty()).then(|| Warning::new(Cause::LeaseReturned, seen, 0))
    }

    /// Reports each long lease once. A lease that is throttled is reported later if it is still held then.
    fn held_long(&mut self, now: Duration) -> Vec<Warning> {
        let unreported = self.long_leases.values().filter(|lease| !lease.reported);
        let routes: BTreeSet<_> = unreported.map(|lease| lease.holder.label.clone()).collect();
        let mut warnings = Vec::new();
        for route in routes {
            let Some(left_out) = self.throttle.open(now, Cause::LongLease, &route) else {
                continue;
            };
            let mut texts = Vec::new();
            for lease in self
                .long_leases
                .values_mut()
                .filter(|lease| !lease.reported && lease.holder.label == route)
            {
                lease.reported = true;
                texts.push(held_text(&lease.holder));
            }
            let seen = format!("connections held for long: {}", listed(&texts));
            warnings.push(Warning::new(Cause::LongLease, seen, left_out));
        }
        warnings
    }
}

fn increase_text(cause: Cause, count: u64, status: &Status) -> String {
    match (cause, &status.last_idle) {
        (Cause::Refused, _) => {
            let share = status.share;
            format!("{count} connection attempts were refused; the share is {share}")
        }
        (Cause::IdleInTransaction, Some(IdleLease { label, idle })) => {
            let millis = idle.as_millis();
            format!("a connection was idle in a transaction {count} times, last for {millis} ms in {label}")
        }
        (Cause::IdleInTransaction, None) => format!("a connection was idle in a transaction {count} times"),
        _ => format!("{count} callers got no connection"),
    }
}

fn held_text(holder: &Holder) -> String {
    let state = match holder.state {
        HolderState::Running => "running a statement",
        HolderState::InTransaction => "idle in a transaction",
        HolderState::Idle => "idle",
    };
    format!("{}, {state} for {}", name(holder), seconds(holder.held))
}

fn returned_text(holder: &Holder) -> String {
    format!("{} after more than {}", name(holder), seconds(holder.held))
}

fn name(holder: &Holder) -> String {
    match &holder.request_id {
        Some(id) => format!("{} (request {id})", holder.label),
        None => holder.label.to_string(),
    }
}

fn listed(texts: &[String]) -> String {
    let first = texts[..texts.len().min(MAX_LISTED)].join("; ");
    match texts.len().saturating_sub(MAX_LISTED) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

#[cfg(test)]
mod tests;
