//! The metrics of the pool.

use std::fmt::Error;

use berth_database::{BOUNDS_MICROS, Histogram, Outage, Status, StatusHandle};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The pool's numbers, all from one snapshot, taken at each scrape.
///
/// What OpenTelemetry has a name for is called so, written as Prometheus writes it; the rest is `berth_`.
#[derive(Debug)]
pub(super) struct PoolMetrics {
    pool: StatusHandle,
}

impl PoolMetrics {
    pub(super) fn new(pool: StatusHandle) -> Self {
        Self { pool }
    }
}

impl Collector for PoolMetrics {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let status = self.pool.status();
        let mut families = Families(encoder);
        connections(&mut families, &status)?;
        events(&mut families, &status)?;
        trouble(&mut families, &status)?;
        self.statements(&mut families)
    }
}

impl PoolMetrics {
    fn statements(&self, families: &mut Families<'_>) -> Result<(), Error> {
        let all = self.pool.statements();
        let mut family = families.family(
            "db_client_operation_duration_seconds",
            "From sending a statement to its last row, by kind and first table",
            MetricType::Histogram,
        )?;
        for one in &all {
            let labels = [
                ("db_operation_name", one.operation),
                ("db_collection_name", &*one.table),
            ];
            histogram(family.encode_family(&labels)?, &one.timings)?;
        }
        Ok(())
    }
}

fn connections(families: &mut Families<'_>, status: &Status) -> Result<(), Error> {
    let slots = status.slots;
    let states = [
        ("used", slots.leased),
        ("idle", slots.idle),
        ("connecting", slots.connecting),
        ("listening", slots.listening),
        ("closing", slots.closing),
        ("cooling_down", slots.cooling_down),
    ];
    families.gauges(
        "db_client_connection_count",
        "Slots occupied, by state; their sum stays within the share",
        "db_client_connection_state",
        &states,
    )?;
    let plain = [
        (
            "db_client_connection_max",
            "Connections that this process may have at present: its share",
            status.share,
        ),
        (
            "db_client_connection_pending_requests",
            "Callers that wait for a connection",
            status.waiting + status.waiting_background,
        ),
        (
            "db_pool_share",
            "This process's present part of limit minus reserve",
            status.share,
        ),
        (
            "db_pool_limit",
            "Clients that the pooler or server admits, over all instances",
            status.limit as usize,
        ),
        (
            "db_pool_reserve",
            "Connections of the limit left to others",
            status.reserve as usize,
        ),
        (
            "db_pool_instances",
            "Instances that share the limit, as last counted",
            status.instances as usize,
        ),
    ];
    for (name, help, value) in plain {
        families.gauge(name, help, value as f64)?;
    }
    families.gauge(
        "db_pool_oldest_wait_seconds",
        "How long the oldest waiting caller has waited",
        status.oldest_wait.as_secs_f64(),
    )?;
    let times = [
        ("wait", "How long callers waited for a connection", &status.waits),
        ("use", "How long connections were held", &status.uses),
        ("create", "How long connection attempts took", &status.opens),
    ];
    for (what, help, timings) in times {
        let name = format!("db_client_connection_{what}_time_seconds");
        histogram(families.family(&name, help, MetricType::Histogram)?, timings)?;
    }
    Ok(())
}

fn events(families: &mut Families<'_>, status: &Status) -> Result<(), Error> {
    let totals = status.counters;
    let plain = [
        (
            "db_client_connection_timeouts",
            "Callers that got no connection within their time",
            totals.timed_out,
        ),
        (
            "db_pool_rejected",
            "Callers rejected at once because too many waited",
            totals.rejected,
        ),
        (
            "db_pool_refusals",
            "Connection attempts that the pooler or server refused",
            totals.refused,
        ),
        (
            "db_pool_retries",
            "Statements retried because their connection was lost",
            totals.retried,
        ),
        (
            "db_pool_idle_in_transaction",
            "Times a connection was idle in a transaction for more than 50 ms",
            totals.idle_in_transaction,
        ),
    ];
    for (name, help, total) in plain {
        ConstCounter::new(total).encode(families.family(name, help, MetricType::Counter)?)?;
    }
    let connections = [
        ("opened", totals.opened),
        ("failed", totals.failed),
        ("leased", totals.leased),
        ("returned", totals.returned),
        ("closed", totals.closed),
        ("recycled", totals.recycled),
        ("dead", totals.dead),
        ("cancelled", totals.cancelled),
    ];
    families.counters(
        "db_pool_connection_events",
        "Events of connections, by kind",
        "event",
        &connections,
    )?;
    let transactions = [
        ("committed", totals.committed),
        ("rolled_back", totals.rolled_back),
        ("unknown", totals.commit_unknown),
    ];
    families.counters(
        "db_pool_transactions",
        "How transactions ended",
        "outcome",
        &transactions,
    )
}

fn trouble(families: &mut Families<'_>, status: &Status) -> Result<(), Error> {
    let open = |outage| usize::from(status.breaker == Some(outage));
    let outages = [
        ("unreachable", open(Outage::Unreachable)),
        ("permanent", open(Outage::Permanent)),
        ("banned", open(Outage::Banned)),
    ];
    families.gauges(
        "db_pool_circuit_breaker_open",
        "1 while callers fail at once, by the kind of outage",
        "outage",
        &outages,
    )?;
    families.gauge(
        "db_pool_consecutive_refusals",
        "Refusals since a connection attempt last succeeded",
        f64::from(status.consecutive_refusals),
    )?;
    families.gauge(
        "db_pool_draining",
        "1 once no more callers are taken",
        f64::from(u8::from(status.draining)),
    )
}

/// The families of metrics that are being written.
pub(super) struct Families<'e>(pub(super) DescriptorEncoder<'e>);

impl Families<'_> {
    pub(super) fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        ConstGauge::new(value).encode(self.family(name, help, MetricType::Gauge)?)
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, usize)],
    ) -> Result<(), Error> {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (value, number) in values {
            ConstGauge::new(*number as f64).encode(family.encode_family(&[(label, *value)])?)?;
        }
        Ok(())
    }

    pub(super) fn labelled_counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: &[([(&str, &str); N], u64)],
    ) -> Result<(), Error> {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, number) in values {
            ConstCounter::new(*number).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> Result<(), Error> {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (value, number) in values {
            ConstCounter::new(*number).encode(family.encode_family(&[(label, *value)])?)?;
        }
        Ok(())
    }
}

pub(super) fn histogram(mut encoder: MetricEncoder<'_>, timings: &Histogram) -> Result<(), Error> {
    let bounds = BOUNDS_MICROS
        .iter()
        .map(|bound| *bound as f64 / 1e6)
        .chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(timings.buckets).collect();
    let sum = timings.sum_micros as f64 / 1e6;
    encoder.encode_histogram::<NoLabelSet>(sum, timings.count(), &buckets, None)
}
