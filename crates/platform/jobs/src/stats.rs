//! What the workers of this process have done, by job name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use berth_database::Histogram;

/// The attempts at the jobs of one name, since the start of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobStats {
    /// Attempts that run at the moment.
    pub running: usize,
    /// How long attempts ran, whatever came of them.
    pub run_times: Histogram,
    /// Attempts after which the job was done.
    pub done: u64,
    /// Attempts that failed and are followed by another one.
    pub failed: u64,
    /// Jobs that are dead.
    pub dead: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    Done,
    Failed,
    Dead,
    /// The claim was lost or released; another worker runs the job.
    Cancelled,
}

#[derive(Debug, Default)]
pub(crate) struct Stats(Mutex<BTreeMap<&'static str, JobStats>>);

impl Stats {
    pub(crate) fn started(&self, name: &'static str) {
        self.update(name, |stats| stats.running += 1);
    }

    pub(crate) fn ended(&self, name: &'static str, took: Duration, ended: Ended) {
        self.update(name, |stats| {
            stats.running = stats.running.saturating_sub(1);
            stats.run_times.record(took);
            match ended {
                Ended::Done => stats.done += 1,
                Ended::Failed => stats.failed += 1,
                Ended::Dead => stats.dead += 1,
                Ended::Cancelled => {}
            }
        });
    }

    pub(crate) fn all(&self) -> Vec<(&'static str, JobStats)> {
        let stats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stats.iter().map(|(name, stats)| (*name, *stats)).collect()
    }

    fn update(&self, name: &'static str, change: impl FnOnce(&mut JobStats)) {
        let mut stats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(stats.entry(name).or_default());
    }
}
