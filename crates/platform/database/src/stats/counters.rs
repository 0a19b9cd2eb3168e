//! Counters of everything that happens to connections, with a log line for each event.

use std::time::Duration;

use serde::Serialize;

use berth_pool::{CloseReason, SlotId};

/// The number of events of each kind since the start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Connection attempts that succeeded.
    pub opened: u64,
    /// Connection attempts refused because the pooler or server was full.
    pub refused: u64,
    /// Connection attempts that failed for another reason.
    pub failed: u64,
    /// Leases.
    pub leased: u64,
    /// Leases released in good order.
    pub returned: u64,
    /// Connections closed, for any reason.
    pub closed: u64,
    /// Connections closed for their age.
    pub recycled: u64,
    /// Connections found dead.
    pub dead: u64,
    /// Connections dropped in the middle of a statement, because its caller left or its deadline passed.
    pub cancelled: u64,
    /// Callers that got no connection within their time.
    pub timed_out: u64,
    /// Callers rejected at once because too many waited.
    pub rejected: u64,
    /// Statements sent again on another connection after the first was lost.
    pub retried: u64,
    /// Transactions committed.
    pub committed: u64,
    /// Transactions rolled back.
    pub rolled_back: u64,
    /// Commits whose answer was lost.
    pub commit_unknown: u64,
    /// Connections that was idle inside a transaction for more than 50 ms.
    pub idle_in_transaction: u64,
}

/// One event.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    Opened {
        slot: SlotId,
        pid: Option<i32>,
        took: Duration,
    },
    Refused {
        slot: SlotId,
        answer: &'a str,
    },
    Failed {
        slot: SlotId,
        answer: &'a str,
    },
    Leased {
        slot: SlotId,
        label: &'a str,
        waited: Duration,
    },
    Returned {
        slot: SlotId,
        held: Duration,
    },
    Closed {
        slot: SlotId,
        why: &'static str,
    },
    Dead {
        slot: SlotId,
    },
    Cancelled {
        slot: SlotId,
    },
    TimedOut {
        label: &'a str,
        waited: Duration,
    },
    Rejected {
        label: &'a str,
    },
    Retried {
        label: &'a str,
    },
    Committed,
    RolledBack,
    CommitUnknown {
        label: &'a str,
    },
    IdleInTransaction {
        label: &'a str,
        idle: Duration,
    },
}

impl Counters {
    /// Counts an event and logs it at debug level, an unknown commit as an error.
    pub(crate) fn record(&mut self, event: &Event<'_>) {
        match event {
            Event::Opened { slot, pid, took } => {
                self.opened += 1;
                tracing::debug!(
                    db.slot = slot.0,
                    db.pid = pid,
                    took_ms = millis(*took),
                    "connection opened"
                );
            }
            Event::Refused { slot, answer } => {
                self.refused += 1;
                tracing::debug!(
                    db.slot = slot.0,
                    answer,
                    "connection attempt refused: the pooler or server is full"
                );
            }
            Event::Failed { slot, answer } => {
                self.failed += 1;
                tracing::debug!(db.slot = slot.0, answer, "connection attempt failed");
            }
            Event::Leased { slot, label, waited } => {
                self.leased += 1;
                tracing::debug!(
                    db.slot = slot.0,
                    label,
                    wait_ms = millis(*waited),
                    "connection leased"
                );
            }
            Event::Returned { slot, held } => {
                self.returned += 1;
                tracing::debug!(db.slot = slot.0, held_ms = millis(*held), "connection released");
            }
            Event::Closed { slot, why } => {
                self.closed += 1;
                self.recycled += u64::from(*why == reason(CloseReason::Expired));
                tracing::debug!(db.slot = slot.0, why, "connection closed");
            }
            Event::Dead { slot } => {
                self.dead += 1;
                tracing::debug!(db.slot = slot.0, "connection found dead");
            }
            Event::Cancelled { slot } => {
                self.cancelled += 1;
                tracing::debug!(
                    db.slot = slot.0,
                    "connection dropped in the middle of a statement"
                );
            }
            Event::TimedOut { label, waited } => {
                self.timed_out += 1;
                tracing::debug!(
                    label,
                    wait_ms = millis(*waited),
                    "no connection became free in time"
                );
            }
            Event::Rejected { label } => {
                self.rejected += 1;
                tracing::debug!(label, "too many callers are already waiting");
            }
            Event::Retried { label } => {
                self.retried += 1;
                tracing::debug!(label, "statement retried on another connection");
            }
            Event::Committed => self.committed += 1,
            Event::RolledBack => self.rolled_back += 1,
            Event::CommitUnknown { label } => {
                self.commit_unknown += 1;
                tracing::error!(label, "the outcome of a commit is unknown");
            }
            Event::IdleInTransaction { label, idle } => {
                self.idle_in_transaction += 1;
                // A busy route would fill the log, so the background tasks that watch the counters warn instead.
                tracing::debug!(
                    label,
                    idle_ms = millis(*idle),
                    "a connection was idle inside a transaction: commit the session before slow work"
                );
            }
        }
    }
}

/// Returns the reason of a close, as the log shows it.
pub(crate) fn reason(why: CloseReason) -> &'static str {
    match why {
        CloseReason::Expired => "expired",
        CloseReason::Idle => "unused",
        CloseReason::OverShare => "over the share",
        CloseReason::Rotated => "rotated",
        CloseReason::Suspect => "suspect",
        CloseReason::Listener => "room for the listener",
        CloseReason::Draining => "shutting down",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
