//! Alerts: the conditions an operator should know, with remedies.

use std::time::Duration;

use berth_database::{Holder, Outage, Status};
use serde::Serialize;

use crate::settings::Monitor as Settings;

/// Within this time after a success a failed connection attempt is not an outage.
const RECENT: Duration = Duration::from_secs(5);

/// A condition that an operator should know of, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Alert {
    pub(crate) cause: Cause,
    /// What was observed, with its numbers.
    pub(crate) seen: String,
    /// What to do.
    pub(crate) remedy: &'static str,
    /// The section of the documentation about it.
    pub(crate) see: &'static str,
}

/// The causes of alerts, most urgent first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
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
        let (remedy, see) = self.text();
        Alert {
            cause: self,
            seen: seen.into(),
            remedy,
            see,
        }
    }

    /// The same name as in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Banned => "banned",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::LongLease => "long_lease",
            Self::LeaseReturned => "lease_returned",
            Self::Waiting => "waiting",
            Self::HighUse => "high_use",
            Self::IdleInTransaction => "idle_in_transaction",
            Self::SlowRequest => "slow_request",
        }
    }

    /// The remedy and the section of the documentation: the log, the status routes and the page share them.
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Permanent => (
                "No attempt will succeed until it is corrected: check database.url, its password and its TLS settings, \
                 then restart.",
                "docs/troubleshooting.md#permanent",
            ),
            Self::Banned => (
                "The pooler has banned this address after failed logins. Correct the password first, then wait two \
                 minutes; each further attempt prolongs the ban.",
                "docs/troubleshooting.md#banned",
            ),
            Self::Unreachable => (
                "Requests that need the database fail until it answers; the pool keeps probing. Check that the \
                 server or pooler runs and can be reached from here.",
                "docs/troubleshooting.md#unreachable",
            ),
            Self::TimedOut => (
                "Find what holds the connections at /debug/db-pool; shorten slow statements; raise database.pool_size and \
                 database.max_overflow if the share allows it.",
                "docs/troubleshooting.md#timeouts",
            ),
            Self::Refused => (
                "Clients outside this service use the limit, or database.limit is set higher than it is. See which are \
                 connected at /debug/db-pool, then lower database.limit or raise database.reserve.",
                "docs/troubleshooting.md#too-many-connections",
            ),
            Self::LongLease => (
                "Look at its route: commit the session before slow work, and give statements a deadline.",
                "docs/troubleshooting.md#leaks",
            ),
            Self::LeaseReturned => (
                "It was slow, not leaked: look at what its route does while it holds a connection.",
                "docs/troubleshooting.md#leaks",
            ),
            Self::Waiting => (
                "Short waits are normal with a small share. If they grow, look for slow statements and long leases before \
                 raising the limit.",
                "docs/troubleshooting.md#waiting",
            ),
            Self::HighUse => (
                "There is little room for a burst: look for slow statements and long leases, or give this process more of \
                 the limit.",
                "docs/troubleshooting.md#high-use",
            ),
            Self::IdleInTransaction => (
                "Call session.commit() before anything slow that is not the database: hashing, HTTP, rendering.",
                "docs/troubleshooting.md#idle-in-transaction",
            ),
            Self::SlowRequest => (
                "A long wait: too few connections for the load. A long lease: a slow statement, or one for each row; the \
                 metrics of statements show which.",
                "docs/troubleshooting.md#slow-requests",
            ),
        }
    }
}

/// The most urgent alert of one snapshot; `None` when all is well.
pub(crate) fn most_urgent(status: &Status, holders: &[Holder], settings: &Settings) -> Option<Alert> {
    let usage_warning_ratio = || Cause::HighUse.alert(usage_text(status));
    broken(status)
        .or_else(|| refused(status))
        .or_else(|| held_long(holders, settings.leak_detection_threshold))
        .or_else(|| waiting(status))
        .or_else(|| (in_use(status) > settings.usage_warning_ratio).then(usage_warning_ratio))
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

/// Without routes: `/debug/db-pool` shows them to those who may see them.
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
    (waiting > 0).then(|| Cause::Waiting.alert(seen()))
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
