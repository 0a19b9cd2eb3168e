//! How a job is stored and run.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// Says how a job is stored and run.
#[derive(Clone, Debug)]
pub struct JobOptions {
    pub(crate) queue: Cow<'static, str>,
    pub(crate) priority: Priority,
    pub(crate) run_at: RunAt,
    pub(crate) max_attempts: u16,
    pub(crate) timeout: Duration,
    pub(crate) unique: Option<(String, OnConflict)>,
}

/// Which of the jobs that are ready runs first. Jobs of one priority run in the order in which they became ready.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Priority {
    /// Before all others.
    High = 0,
    /// The usual one.
    #[default]
    Normal = 1,
    /// When nothing else is ready.
    Low = 2,
}

/// When a job becomes ready.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RunAt {
    /// At once.
    #[default]
    Now,
    /// After this time, by the clock of the database.
    After(Duration),
    /// At this time.
    At(DateTime<Utc>),
}

/// What happens to a job whose unique key is the key of one that waits or runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnConflict {
    /// The stored job stays as it is, and the new one is not stored.
    #[default]
    Keep,
    /// The stored job gets the content, the time and the options of the new one. If it runs at the moment, it runs again
    /// afterwards.
    Replace,
    /// Enqueuing fails with a unique violation.
    Fail,
}

impl Default for JobOptions {
    /// The queue `default`, normal priority, at once, 10 attempts of at most 5 minutes each.
    fn default() -> Self {
        Self {
            queue: Cow::Borrowed("default"),
            priority: Priority::Normal,
            run_at: RunAt::Now,
            max_attempts: 10,
            timeout: Duration::from_secs(300),
            unique: None,
        }
    }
}

impl JobOptions {
    /// Sets the queue. A worker takes jobs from the queues in its setting `jobs.queues`, by default from all.
    #[must_use]
    pub fn queue(self, queue: impl Into<Cow<'static, str>>) -> Self {
        Self {
            queue: queue.into(),
            ..self
        }
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Sets when the job becomes ready.
    #[must_use]
    pub fn run_at(self, run_at: RunAt) -> Self {
        Self { run_at, ..self }
    }

    /// Sets how often the job is tried before it is dead; at least once.
    #[must_use]
    pub fn max_attempts(self, max_attempts: u16) -> Self {
        Self {
            max_attempts: max_attempts.max(1),
            ..self
        }
    }

    /// Sets the time after which an attempt is cancelled and counts as failed.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Makes the job unique: of the jobs with this name and key, one waits or runs at a time.
    #[must_use]
    pub fn unique(self, key: impl ToString, on_conflict: OnConflict) -> Self {
        Self {
            unique: Some((key.to_string(), on_conflict)),
            ..self
        }
    }
}
