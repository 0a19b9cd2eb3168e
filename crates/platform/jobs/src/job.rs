//! A job: what is stored, what it needs to run, and how it fails.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{JobOptions, Work};

/// Work that goes on after the response.
///
/// The value is stored as JSON and read again by a worker, perhaps one of another version of the service: fields that
/// are added need `#[serde(default)]`. It runs **at least once**: a worker that crashes after its work and before the
/// job is marked as done leaves it to another worker. What the job does in [`Work::session`] is stored exactly once,
/// since the mark is part of the same transaction; what it does elsewhere must tolerate a repetition.
///
/// # Examples
///
/// ```
/// use berth_jobs::{Job, JobError, Work};
/// use sea_orm::ConnectionTrait;
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct ForgetUser {
///     id: i64,
/// }
///
/// impl Job for ForgetUser {
///     const NAME: &'static str = "forget_user";
///     type State = ();
///
///     async fn run(self, _: &(), work: &Work) -> Result<(), JobError> {
///         let delete = format!("DELETE FROM visits WHERE user_id = {}", self.id);
///         work.session().execute_unprepared(&delete).await?;
///         Ok(())
///     }
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name in the table. It must stay the same for as long as jobs of this name may be stored.
    const NAME: &'static str;

    /// What the job needs to run: services, a mailer. A worker has one and lends it to each job.
    type State: Clone + Send + Sync + 'static;

    /// Returns how the job is stored and run, unless the caller of `enqueue_with` says otherwise.
    fn options(&self) -> JobOptions {
        JobOptions::default()
    }

    /// Does the work.
    ///
    /// # Errors
    ///
    /// [`JobError`]: whether and when it is tried again. A panic counts as an error that may pass.
    ///
    /// # Cancel safety
    ///
    /// It is dropped at its timeout, when the worker has lost its claim, and at the end of the time that a worker has to
    /// stop. [`Work::stopping`] announces the last.
    fn run(self, state: &Self::State, work: &Work) -> impl Future<Output = Result<(), JobError>> + Send;
}

/// Why a job failed, and whether it is tried again. Every error converts into one that may pass.
#[derive(Debug)]
pub struct JobError {
    pub(crate) retry: Retry,
    pub(crate) source: Box<dyn Error + Send + Sync>,
}

/// When a failed job is tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Retry {
    /// After the back-off.
    Backoff,
    After(Duration),
    Never,
}

impl JobError {
    /// Fails for a reason that another attempt will meet again: the job is dead at once.
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            retry: Retry::Never,
            source: source.into(),
        }
    }

    /// Fails for a reason that ends after this time, such as a rate limit. The attempt counts.
    pub fn retry_after(after: Duration, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            retry: Retry::After(after),
            source: source.into(),
        }
    }

    /// Returns whether the job is dead without another attempt.
    pub fn is_permanent(&self) -> bool {
        self.retry == Retry::Never
    }

    /// Returns when the job is tried again, where that is not left to the back-off.
    pub fn retries_after(&self) -> Option<Duration> {
        match self.retry {
            Retry::After(after) => Some(after),
            Retry::Backoff | Retry::Never => None,
        }
    }

    /// Returns why it failed.
    pub fn cause(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.source.as_ref()
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for JobError {
    fn from(source: E) -> Self {
        Self {
            retry: Retry::Backoff,
            source: source.into(),
        }
    }
}
