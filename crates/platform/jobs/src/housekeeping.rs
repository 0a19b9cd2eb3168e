//! The platform's own job: deletes rows whose time is over.

use std::fmt;
use std::sync::Arc;

use berth_database::Session;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::job::{Job, JobError};
use crate::{InvalidSchedule, JobOptions, Missed, Registry, Schedule, Settings, Work, admin};

/// Deletes rows of one kind in a session, and returns how many.
type Cleaner = Box<dyn for<'s> Fn(&'s Session) -> BoxFuture<'s, Result<u64, JobError>> + Send + Sync>;

/// Deletes rows whose time is over: done jobs, and what other crates of the platform add.
#[derive(Clone, Default)]
pub struct Housekeeping(Vec<(&'static str, Arc<Cleaner>)>);

impl Housekeeping {
    /// Makes one that deletes done jobs after `jobs.keep_done`.
    pub fn new(settings: &Settings) -> Self {
        let keep = settings.keep_done.as_secs_f64();
        Self::default().with("done jobs", move |session| {
            Box::pin(async move { Ok(admin::forget_done(session, keep).await?) })
        })
    }

    /// Adds a kind of rows.
    #[must_use]
    pub fn with(
        mut self,
        what: &'static str,
        delete: impl for<'s> Fn(&'s Session) -> BoxFuture<'s, Result<u64, JobError>> + Send + Sync + 'static,
    ) -> Self {
        self.0.push((what, Arc::new(Box::new(delete))));
        self
    }

    /// Adds its job and its schedule to a registry: each hour, once for all instances.
    #[must_use]
    pub fn register(self, registry: Registry) -> Registry {
        let registry = registry.job::<Clean>(self);
        // A test reads the expression: it is valid.
        match hourly() {
            Ok(hourly) => registry.schedule(hourly, Clean {}),
            Err(_) => registry,
        }
    }
}

impl fmt::Debug for Housekeeping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.0.iter().map(|(what, _)| what))
            .finish()
    }
}

fn hourly() -> Result<Schedule, InvalidSchedule> {
    Ok(Schedule::new("platform_housekeeping", "17 * * * *")?.missed(Missed::RunOnce))
}

#[derive(Debug, Deserialize, Serialize)]
struct Clean {}

impl Job for Clean {
    const NAME: &'static str = "platform_housekeeping";
    type State = Housekeeping;

    fn options(&self) -> JobOptions {
        JobOptions::default().max_attempts(3)
    }

    async fn run(self, housekeeping: &Housekeeping, work: &Work) -> Result<(), JobError> {
        for (what, delete) in &housekeeping.0 {
            let deleted = delete(work.session()).await?;
            // Each in a transaction of its own, so that none is long.
            work.session().commit().await?;
            tracing::debug!(what, deleted, "expired rows were deleted");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_valid() {
        hourly().unwrap();
    }
}
