//! Status of the pool: one snapshot under one lock, so that its numbers add up.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use crate::connect::connect_error::Reason;
use crate::settings::{PoolerMode, Strategy};
use crate::stats::activity::HolderState;
use crate::stats::counters::Counters;
use crate::stats::histogram::Histogram;
use berth_pool::Outage;
use berth_pool::SlotCounts;

/// A consistent snapshot of the pool.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Keeps connections, or opens one for each lease.
    pub strategy: Strategy,
    /// What stands in front of the server.
    pub pooler: PoolerMode,
    /// The most clients that the pooler or server admits, over all instances; for SQLite, which has no limit, the share.
    pub limit: u32,
    /// Connections of the limit left to others; 0 for SQLite.
    pub reserve: u32,
    /// Live instances that share the limit, this one included, as far as known.
    pub instances: u32,
    /// This process's present part of `limit - reserve`.
    pub share: usize,
    /// Connections kept when idle.
    pub pool_size: u32,
    /// Connections allowed beyond that.
    pub max_overflow: u32,
    /// Slots by state; the sum never exceeds the share, but for what was held when it shrank.
    pub slots: SlotCounts,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Background work that waits for a connection.
    pub waiting_background: usize,
    /// How long the oldest waiter has waited.
    pub oldest_wait: Duration,
    /// Why new callers are denied, if the circuit breaker is open.
    pub breaker: Option<Outage>,
    /// Why the last connection attempt failed, until one succeeds.
    pub last_connect_error: Option<Reason>,
    /// The last connection attempt that was refused or failed, also after later ones succeeded.
    pub last_failed_attempt: Option<FailedAttempt>,
    /// Refusals since the last connection attempt that succeeded.
    pub consecutive_refusals: u32,
    /// The time since a connection attempt succeeded or a lease was released in good order.
    pub last_success: Option<Duration>,
    /// Set once the pool takes no more callers.
    pub draining: bool,
    /// Sums since the start.
    pub counters: Counters,
    /// How long callers waited for a connection.
    pub waits: Histogram,
    /// How long connections were held.
    pub uses: Histogram,
    /// How long connecting took.
    pub opens: Histogram,
    /// The last connection that was idle inside a transaction for more than 50 ms.
    pub last_idle: Option<IdleLease>,
}

/// A connection attempt that was refused or failed.
#[derive(Clone, Debug, Serialize)]
pub struct FailedAttempt {
    /// What the server, pooler or driver answered. For operators only: it may name hosts and users.
    pub answer: String,
    /// How long ago that was.
    pub ago: Duration,
}

/// A connection that its session held in a transaction without using it.
#[derive(Clone, Debug, Serialize)]
pub struct IdleLease {
    /// The route or job.
    pub label: Cow<'static, str>,
    /// How long it was idle.
    pub idle: Duration,
}

/// A session that holds a connection.
#[derive(Clone, Debug, Serialize)]
pub struct Holder {
    /// The slot's number.
    pub slot: u64,
    /// The route or job.
    pub label: Cow<'static, str>,
    /// The request's id, if it is one.
    pub request_id: Option<String>,
    /// How long it has held the connection.
    pub held: Duration,
    /// What it does.
    pub state: HolderState,
    /// How long it has done that.
    pub for_time: Duration,
    /// The statement under way or the last one, without its parameters.
    pub statement: Option<String>,
    /// Statements of this session so far.
    pub statements: u32,
    /// The server process that serves it, where it is known.
    pub pid: Option<i32>,
}

/// What answered at the database's address.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// `PostgreSQL` or `SQLite`.
    pub product: &'static str,
    /// Its version, as it reports it.
    pub version: String,
}

impl std::fmt::Display for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.product, self.version)
    }
}

/// Lists the sessions that held a connection when the pool was closed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("connections still held when the pool closed: {}", list(.holders))]
pub struct StillHeld {
    /// The sessions that held one.
    pub holders: Vec<Holder>,
}

fn list(holders: &[Holder]) -> String {
    let lines = holders.iter().map(|holder| {
        let request = holder.request_id.as_deref().unwrap_or("no request");
        format!(
            "{} ({request}) for {:.1} s",
            holder.label,
            holder.held.as_secs_f64()
        )
    });
    lines.collect::<Vec<_>>().join(", ")
}
