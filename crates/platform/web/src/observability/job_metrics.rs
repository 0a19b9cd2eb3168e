//! The metrics of jobs.

use std::fmt::Error;

use berth_jobs::{Depth, JobStats, Jobs};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::pool_metrics::{Families, histogram};

/// The attempts of this process, and the queue as its worker counted it last.
#[derive(Debug)]
pub(super) struct JobMetrics {
    jobs: Jobs,
}

impl JobMetrics {
    pub(super) fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }
}

impl Collector for JobMetrics {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let status = self.jobs.status();
        let mut families = Families(encoder);
        if let Some(depth) = &status.depth {
            queue(&mut families, depth)?;
        }
        attempts(&mut families, &status.stats)
    }
}

fn queue(families: &mut Families<'_>, depth: &Depth) -> Result<(), Error> {
    let count = |count: i64| usize::try_from(count).unwrap_or_default();
    families.gauges(
        "job_queue_jobs",
        "Jobs in the queue, by state, in all instances together; `scheduled` ones wait for their time",
        "state",
        &[
            ("ready", count(depth.ready)),
            ("scheduled", count(depth.scheduled)),
            ("running", count(depth.running)),
            ("dead", count(depth.dead)),
        ],
    )?;
    families.gauge(
        "job_queue_oldest_ready_seconds",
        "Time for which the oldest ready job has been ready",
        depth.oldest_ready_seconds,
    )
}

fn attempts(families: &mut Families<'_>, all: &[(&'static str, JobStats)]) -> Result<(), Error> {
    let mut family = families.family(
        "job_duration_seconds",
        "Time that an attempt ran, whatever came of it, by job",
        MetricType::Histogram,
    )?;
    for (name, stats) in all {
        histogram(family.encode_family(&[("job", *name)])?, &stats.run_times)?;
    }
    let counts: Vec<_> = all
        .iter()
        .flat_map(|(name, stats)| {
            [
                ("done", stats.done),
                ("failed", stats.failed),
                ("dead", stats.dead),
            ]
            .map(|(outcome, count)| ([("job", *name), ("outcome", outcome)], count))
        })
        .collect();
    families.labelled_counters("job_attempts", "Attempts that ended, by job and outcome", &counts)
}
