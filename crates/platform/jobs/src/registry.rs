//! The registry: the jobs that a worker can run, their state, and their schedules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::schedule::{Schedule, Scheduled};
use crate::{Job, JobError, Work};

/// Lists the jobs that a worker can run, and the schedule.
///
/// Jobs with a name that is not listed are left to workers of another version or another service.
#[derive(Clone, Default)]
pub struct Registry {
    handlers: BTreeMap<&'static str, Arc<dyn Handler>>,
    pub(crate) schedules: Vec<Scheduled>,
}

impl Registry {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind of job, with what it needs to run.
    #[must_use]
    pub fn job<J: Job>(mut self, state: J::State) -> Self {
        self.handlers.insert(J::NAME, Arc::new(Typed::<J>(state)));
        self
    }

    /// Enqueues a job at each occurrence of a schedule, once for all instances. The job's kind must be listed, too.
    #[must_use]
    pub fn schedule<J: Job>(mut self, schedule: Schedule, job: J) -> Self {
        self.schedules.push(Scheduled::new(schedule, &job));
        self
    }

    /// Puts several registries together: those of the parts of a service.
    pub fn merged(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::new();
        for part in parts {
            all.handlers.extend(part.handlers);
            all.schedules.extend(part.schedules);
        }
        all
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.handlers.keys().copied().collect()
    }

    pub(crate) fn handler(&self, name: &str) -> Option<(&'static str, Arc<dyn Handler>)> {
        let (name, handler) = self.handlers.get_key_value(name)?;
        Some((*name, handler.clone()))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("jobs", &self.names())
            .field("schedules", &self.schedules)
            .finish()
    }
}

/// Runs the jobs of one kind.
pub(crate) trait Handler: Send + Sync {
    fn run<'w>(&'w self, payload: &'w str, work: &'w Work) -> BoxFuture<'w, Result<(), JobError>>;
}

struct Typed<J: Job>(J::State);

impl<J: Job> Handler for Typed<J> {
    fn run<'w>(&'w self, payload: &'w str, work: &'w Work) -> BoxFuture<'w, Result<(), JobError>> {
        Box::pin(async move {
            // serde's own message contains values.
            let job: J = serde_json::from_str(payload).map_err(|error| {
                let place = (error.line(), error.column());
                format!("the stored content does not fit the job's type, at line and column {place:?}")
            })?;
            job.run(&self.0, work).await
        })
    }
}
