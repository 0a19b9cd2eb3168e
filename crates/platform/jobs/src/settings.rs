//! `[jobs]`: the workers. `config/default.toml` documents every key.

use std::time::Duration;

use berth_settings::{between, seconds};
use garde::Validate;
use serde::{Deserialize, Serialize};

/// The settings in `[jobs]`.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Jobs that this process runs at once; 0 means none.
    #[garde(custom(between(0, 1000)))]
    pub workers: usize,
    /// Queues from which it takes jobs; an empty list means all.
    pub queues: Vec<String>,
    /// Longest pause between two looks for jobs.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.05, 3600.0)))]
    pub poll_interval: Duration,
    /// Whether jobs are announced to workers in other processes.
    pub listen: bool,
    /// Time after which the job of a worker that crashed is taken up again.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(1.0, 3600.0)))]
    pub claim_timeout: Duration,
    /// Pause before the second attempt; each later pause is twice as long.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.01, 3600.0)))]
    pub retry_min: Duration,
    /// Longest pause between two attempts.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.01, 604_800.0)))]
    pub retry_max: Duration,
    /// Time for running jobs after SIGTERM.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 3600.0)))]
    pub shutdown_timeout: Duration,
    /// Time that done jobs are kept.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 31_536_000.0)))]
    pub keep_done: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 4,
            queues: Vec::new(),
            poll_interval: Duration::from_secs(5),
            listen: false,
            claim_timeout: Duration::from_secs(30),
            retry_min: Duration::from_secs(5),
            retry_max: Duration::from_secs(3600),
            shutdown_timeout: Duration::from_secs(20),
            keep_done: Duration::from_secs(86_400),
        }
    }
}

impl Settings {
    /// Returns a key that contradicts another, with the rule that it breaks.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let rule = "must be at least jobs.retry_min";
        (self.retry_max < self.retry_min).then_some(("jobs.retry_max", rule))
    }
}
