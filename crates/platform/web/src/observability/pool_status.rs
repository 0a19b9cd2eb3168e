//! The pool in the names that dashboards for SQLAlchemy's `QueuePool` use.

use std::time::Duration;

use berth_database::{Counters, Histogram, Holder, Outage, PoolerMode, Reason, Status, Strategy};
use serde::Serialize;
use utoipa::ToSchema;

use super::alert::{Alert, most_urgent};
use crate::settings::Monitor;

/// The numbers of the pool, under the names of SQLAlchemy's `QueuePool`:
///
/// | here | in the status of the pool |
/// |---|---|
/// | `size` | `pool_size`: connections kept when idle |
/// | `checked_in` | `slots.idle` |
/// | `checked_out` | `slots.leased` |
/// | `overflow` | connections open now beyond `pool_size` |
/// | `max_connections` | `pool_size + max_overflow`: the most that this process ever opens |
/// | `invalid` | `totals.dead`: connections found dead since the start |
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolStatus {
    #[schema(value_type = String, example = "pooled")]
    strategy: Strategy,
    #[schema(value_type = String, example = "session")]
    pooler_mode: PoolerMode,
    size: u32,
    checked_in: usize,
    checked_out: usize,
    overflow: usize,
    max_connections: u32,
    invalid: u64,
    connecting: usize,
    /// 1 while a connection waits for notifications or is being opened for that.
    listening: usize,
    closing: usize,
    /// Slots kept empty after a close until the pooler has released the connection too.
    cooling_down: usize,
    waiting: usize,
    waiting_background: usize,
    oldest_wait_ms: u64,
    /// This process's present part of `limit - reserve`.
    share: usize,
    limit: u32,
    reserve: u32,
    instances: u32,
    draining: bool,
    #[schema(value_type = Object)]
    totals: Counters,
    wait_ms: Percentiles,
    use_ms: Percentiles,
    open_ms: Percentiles,
    consecutive_refusals: u32,
    /// Why new callers fail at once, while the circuit breaker is open.
    #[schema(value_type = Option<String>, example = json!(null))]
    breaker: Option<Outage>,
    /// Why the last connection attempt failed, until one succeeds.
    #[schema(value_type = Option<String>, example = json!(null))]
    last_connect_error: Option<Reason>,
    #[schema(value_type = Option<Object>)]
    warning: Option<Alert>,
}

/// The numbers that `GET /health` shows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolSummary {
    size: u32,
    checked_in: usize,
    checked_out: usize,
    overflow: usize,
    max_connections: u32,
    waiting: usize,
}

/// Upper bounds of the histogram's buckets, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Percentiles {
    p50: f64,
    p95: f64,
    p99: f64,
    count: u64,
}

impl PoolStatus {
    pub(crate) fn of((status, holders): &(Status, Vec<Holder>), settings: &Monitor) -> Self {
        let summary = Self::summary(status);
        Self {
            strategy: status.strategy,
            pooler_mode: status.pooler,
            size: summary.size,
            checked_in: summary.checked_in,
            checked_out: summary.checked_out,
            overflow: summary.overflow,
            max_connections: summary.max_connections,
            invalid: status.counters.dead,
            connecting: status.slots.connecting,
            listening: status.slots.listening,
            closing: status.slots.closing,
            cooling_down: status.slots.cooling_down,
            waiting: status.waiting,
            waiting_background: status.waiting_background,
            oldest_wait_ms: whole_millis(status.oldest_wait),
            share: status.share,
            limit: status.limit,
            reserve: status.reserve,
            instances: status.instances,
            draining: status.draining,
            totals: status.counters,
            wait_ms: Percentiles::of(&status.waits),
            use_ms: Percentiles::of(&status.uses),
            open_ms: Percentiles::of(&status.opens),
            consecutive_refusals: status.consecutive_refusals,
            breaker: status.breaker,
            last_connect_error: status.last_connect_error,
            warning: most_urgent(status, holders, settings),
        }
    }

    pub(crate) fn summary(status: &Status) -> PoolSummary {
        let (idle, leased) = (status.slots.idle, status.slots.leased);
        let kept = usize::try_from(status.pool_size).unwrap_or(usize::MAX);
        PoolSummary {
            size: status.pool_size,
            checked_in: idle,
            checked_out: leased,
            overflow: (idle + leased).saturating_sub(kept),
            max_connections: status.pool_size + status.max_overflow,
            waiting: status.waiting,
        }
    }
}

impl Percentiles {
    fn of(timings: &Histogram) -> Self {
        let millis = |part| timings.percentile(part).as_secs_f64() * 1e3;
        Self {
            p50: millis(0.5),
            p95: millis(0.95),
            p99: millis(0.99),
            count: timings.count(),
        }
    }
}

pub(crate) fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::idle_pool;
    use super::*;

    #[tokio::test]
    async fn overflow_is_what_is_open_beyond_the_size() {
        let mut status = idle_pool();
        for (idle, leased, overflow) in [(0, 0, 0), (1, 2, 0), (1, 3, 1), (0, 5, 2)] {
            (status.slots.idle, status.slots.leased) = (idle, leased);
            let summary = PoolStatus::summary(&status);
            assert_eq!(
                (summary.size, summary.checked_in, summary.checked_out),
                (3, idle, leased)
            );
            assert_eq!((summary.overflow, summary.max_connections), (overflow, 5));
        }
    }
}
