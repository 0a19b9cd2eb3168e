//! Alerts: conditions that need an operator's attention, with remedies.

use std::time::Duration;

use berth_database::{Holder, Outage, Status};
use serde::Serialize;

use crate::settings::Monitor as Settings;

/// Shorter waits are how a small share serves a burst.
const LONG_WAIT: Duration = Duration::from_millis(100);

/// A failed connection attempt this soon after a successful one is not an outage.
const RECENT: Duration = Duration::from_secs(5);

/// A condition that needs an operator's attention.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Alert {
    pub(crate) cause: Cause,
    /// What was observed.
    pub(crate) seen: String,
    /// What to do.
    pub(crate) remedy: &'static str,
    /// The section of the documentation about it.
    pub(crate) see: &'static str,
}

/// The causes of alerts, most urgent first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "&str")]
pub(crate) enum Cause {
    Permanent,
    Banned,
    Unreachable,
    TimedOut,
    Refused,
    LongLease,
    LeaseReturned,
    Waiting,
    HighUse,
    IdleInTransaction,
    SlowRequest,
}

impl Cause {
    pub(crate) fn alert(self, seen: impl Into<String>) -> Alert {
        let (_, see, remedy) = self.text();
        Alert {
            cause: self,
            seen: seen.into(),
            remedy,
            see,
        }
    }

    /// The name in JSON and in the log.
    pub(crate) fn name(self) -> &'static str {
        self.text().0
    }

    /// The name, the section of the documentation, and the remedy.
    fn text(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Permanent => (
                "permanent",
                "docs/troubleshooting.md#permanent",
                "No connection attempt can succeed until this is corrected. Check database.url, its password and \
                 its TLS settings, then restart.",
            ),
            Self::Banned => (
                "banned",
                "docs/troubleshooting.md#banned",
                "The pooler has banned this address after failed logins. Correct the password first, then wait two \
                 minutes; each further attempt prolongs the ban.",
            ),
            Self::Unreachable => (
                "unreachable",
                "docs/troubleshooting.md#unreachable",
                "Requests that need the database fail until it responds; the pool keeps probing. Check that the \
                 server or pooler is running and reachable from this machine.",
            ),
            Self::TimedOut => (
                "timed_out",
                "docs/troubleshooting.md#timeouts",
                "Find what holds the connections at /debug/db-pool, speed up slow statements, and raise \
                 database.pool_size and database.max_overflow if the share allows it.",
            ),
            Self::Refused => (
                "refused",
                "docs/troubleshooting.md#too-many-connections",
                "Other clients use up the limit, or database.limit is higher than the real limit. /debug/db-pool \
                 lists the connected clients; then lower database.limit or raise database.reserve.",
            ),
            Self::LongLease => (
                "long_lease",
                "docs/troubleshooting.md#leaks",
                "Check its route: commit the session before slow work, and give statements a deadline.",
            ),
            Self::LeaseReturned => (
                "lease_returned",
                "docs/troubleshooting.md#leaks",
                "It was slow, not leaked. Check what its route does while it holds a connection.",
            ),
            Self::Waiting => (
                "waiting",
                "docs/troubleshooting.md#waiting",
                "Short waits are normal with a small share. If they grow, look for slow statements and long leases before \
                 raising the limit.",
            ),
            Self::HighUse => (
                "high_use",
                "docs/troubleshooting.md#high-use",
                "A burst of requests would have to queue. Look for slow statements and long leases, or give this \
                 process a larger share of the limit.",
            ),
            Self::IdleInTransaction => (
                "idle_in_transaction",
                "docs/troubleshooting.md#idle-in-transaction",
                "Call session.commit() before slow work that does not use the database, such as hashing, HTTP calls \
                 or rendering.",
            ),
            Self::SlowRequest => (
                "slow_request",
                "docs/troubleshooting.md#slow-requests",
                "A long wait means too few connections for the load. A long lease means a slow statement or one \
                 statement per row; the statement metrics show which.",
            ),
        }
    }
}

impl From<Cause> for &str {
    fn from(cause: Cause) -> Self {
        cause.name()
    }
}

/// The most urgent alert of one snapshot.
pub(crate) fn most_urgent(status: &Status, holders: &[Holder], settings: &Settings) -> Option<Alert> {
    let high_use = || Cause::HighUse.alert(usage_text(status));
    broken(status)
        .or_else(|| refused(status))
        .or_else(|| held_long(holders, settings.leak_detection_threshold))
        .or_else(|| waiting(status))
        .or_else(|| (in_use(status) > settings.usage_warning_ratio).then(high_use))
}

pub(super) fn broken(status: &Status) -> Option<Alert> {
    let served = status.last_success.is_some_and(|age| age < RECENT);
    let failing = || {
        status
            .last_connect_error
            .filter(|_| !served)
            .map(berth_database::Reason::outage)
    };
    let cause = match status.breaker.or_else(failing)? {
        Outage::Permanent => Cause::Permanent,
        Outage::Banned => Cause::Banned,
        Outage::Unreachable => Cause::Unreachable,
    };
    let trouble = status.last_connect_error.map(|reason| reason.to_string());
    Some(cause.alert(trouble.unwrap_or_else(|| "the last attempt failed".to_owned())))
}

fn refused(status: &Status) -> Option<Alert> {
    let (refusals, leased) = (status.consecutive_refusals, status.slots.leased);
    let seen = || {
        format!(
            "the last {refusals} connection attempts were refused while this process uses {leased} of {}",
            status.share
        )
    };
    let wanted = status.waiting + status.waiting_background > 0;
    (refusals > 0 && wanted).then(|| Cause::Refused.alert(seen()))
}

/// Names no routes: this text is public, and `/debug/db-pool` shows the routes to operators.
fn held_long(holders: &[Holder], leak_detection_threshold: Duration) -> Option<Alert> {
    let long = || {
        holders
            .iter()
            .map(|holder| holder.held)
            .filter(|held| *held >= leak_detection_threshold)
    };
    let longest = seconds(long().max()?);
    let (count, limit) = (long().count(), seconds(leak_detection_threshold));
    let seen = format!("{count} connections have been held for more than {limit}, the longest for {longest}");
    Some(Cause::LongLease.alert(seen))
}

pub(super) fn waiting(status: &Status) -> Option<Alert> {
    let waiting = status.waiting + status.waiting_background;
    let oldest = seconds(status.oldest_wait);
    let seen = || format!("{waiting} callers wait for a connection, the oldest for {oldest}");
    (waiting > 0 && status.oldest_wait >= LONG_WAIT).then(|| Cause::Waiting.alert(seen()))
}

/// The part of the share that is leased.
pub(crate) fn in_use(status: &Status) -> f64 {
    status.slots.leased as f64 / status.share.max(1) as f64
}

pub(crate) fn usage_text(status: &Status) -> String {
    let Status { slots, share, .. } = status;
    format!("{} of {share} connections of the share are in use", slots.leased)
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_links_to_a_section_that_exists() {
        let page = include_str!("../../../../../docs/troubleshooting.md");
        let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
        let anchors: Vec<_> = headings
            .map(|heading| heading.to_lowercase().replace(' ', "-"))
            .collect();
        for cause in [
            Cause::Permanent,
            Cause::Banned,
            Cause::Unreachable,
            Cause::TimedOut,
            Cause::Refused,
            Cause::LongLease,
            Cause::LeaseReturned,
            Cause::Waiting,
            Cause::HighUse,
            Cause::IdleInTransaction,
            Cause::SlowRequest,
        ] {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
            let see = cause.alert("").see;
            let anchor = see.strip_prefix("docs/troubleshooting.md#").unwrap();
            assert!(
                anchors.iter().any(|known| known == anchor),
                "{see} does not exist"
            );
        }
    }
}
