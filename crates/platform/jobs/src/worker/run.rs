//! One attempt at a job.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use berth_database::{Error, Outcome, Session};
use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::Shared;
use super::running::Expiry;
use crate::claims::{self, Claim, ClaimedJob, Failed};
use crate::error_text::text_of;
use crate::job::Retry;
use crate::registry::Handler;
use crate::stats::Ended;
use crate::{JobError, Work};

/// The pause after a failure to report one.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Starts an attempt in a task of its own, which keeps the place until it has ended.
pub(super) fn start(shared: &Arc<Shared>, job: ClaimedJob, place: OwnedSemaphorePermit, until: Instant) {
    // Only jobs with names of the registry are claimed.
    let Some((name, handler)) = shared.registry.handler(&job.name) else {
        return;
    };
    let attempt = Attempt::new(shared, job, name);
    let span = tracing::info_span!("job", job.name = name, job.id = %attempt.job.id, job.attempt = attempt.job.attempt,
        trace_id = tracing::field::Empty, otel.name = tracing::field::Empty, otel.kind = tracing::field::Empty);
    let (jobs, traceparent) = (shared.jobs.clone(), attempt.job.traceparent.clone());
    let expiry = shared
        .running
        .add(attempt.claim, name, attempt.work.attempt, until);
    let running = async move {
        attempt.run(handler, expiry).await;
        drop(place);
    };
    tokio::spawn(
        jobs.in_trace(&span, traceparent.as_deref(), Box::pin(running))
            .instrument(span),
    );
}

struct Attempt {
    shared: Arc<Shared>,
    job: ClaimedJob,
    claim: Claim,
    work: Work,
}

/// How the work of an attempt ended, if it was not cancelled.
type Outcomes = Result<(), JobError>;

impl Attempt {
    fn new(shared: &Arc<Shared>, job: ClaimedJob, name: &'static str) -> Self {
        let timeout = Duration::from_millis(u64::try_from(job.timeout_ms).unwrap_or_default());
        let work = Work {
            id: job.id,
            name,
            attempt: u16::try_from(job.attempt).unwrap_or(u16::MAX),
            max_attempts: u16::try_from(job.max_attempts).unwrap_or(u16::MAX),
            deadline: Instant::now() + timeout,
            database: shared.database.clone(),
            session: OnceLock::new(),
            stopping: shared.stopping.subscribe(),
        };
        Self {
            claim: job.claim(),
            shared: shared.clone(),
            job,
            work,
        }
    }

    async fn run(mut self, handler: Arc<dyn Handler>, mut expiry: Expiry) {
        let outcome = tokio::select! {
            outcome = self.outcome(&handler) => Some(outcome),
            () = expiry.expired() => None,
        };
        match outcome {
            Some(outcome) => self.settle(outcome).await,
            None => {
                self.roll_back().await;
                tracing::warn!(
                    "the attempt was cancelled: its claim was lost or released, and the job runs again"
                );
                self.end(Ended::Cancelled);
            }
        }
    }

    /// Runs the handler. A panic and the end of the time are failures that may pass.
    async fn outcome(&self, handler: &Arc<dyn Handler>) -> Outcomes {
        if self.work.attempt > self.work.max_attempts {
            // The last attempt never ended; the reason is in the row.
            let reason = "the worker stopped, or lost the database, in the last attempt";
            return Err(JobError::permanent(reason));
        }
        let running = AssertUnwindSafe(handler.run(&self.job.payload, &self.work)).catch_unwind();
        match tokio::time::timeout_at(self.work.deadline.into(), running).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(format!("panicked: {}", message(&*panic)).into()),
            Err(_) => Err(format!("took longer than {} ms", self.job.timeout_ms).into()),
        }
    }

    async fn settle(&mut self, outcome: Outcomes) {
        let outcome = match (outcome, self.work.session.take()) {
            (Ok(()), Some(session)) => self.complete_in(session).await,
            (Ok(()), None) => Ok(Completed::Not),
            (Err(error), session) => {
                if let Some(session) = session {
                    let _ = session.end(Outcome::Rollback).await;
                }
                Err(error)
            }
        };
        match outcome {
            Ok(Completed::Yes) => {
                self.log_done();
                self.end(Ended::Done);
            }
            Ok(Completed::Not) => {
                self.log_done();
                self.shared.running.ended_as(self.claim, Ended::Done);
                // It keeps the claim until the mark is stored.
                if self.shared.done.send(self.claim).is_err() {
                    self.shared.running.remove(self.claim);
                }
            }
            Ok(Completed::Lost) => {
                tracing::warn!("the claim was lost before the job was done: its work was rolled back");
                self.end(Ended::Cancelled);
            }
            Err(error) => self.failed(&error).await,
        }
    }

    /// Marks the job as done in the transaction of its own work, so that both are stored or neither.
    async fn complete_in(&self, session: Session) -> Result<Completed, JobError> {
        let marked = match claims::complete(&session, &[self.claim]).await {
            // The job ended its session itself.
            Err(Error::SessionClosed) => return Ok(Completed::Not),
            marked => marked?,
        };
        if marked.is_empty() {
            let _ = session.end(Outcome::Rollback).await;
            return Ok(Completed::Lost);
        }
        session.end(Outcome::Commit).await?;
        Ok(Completed::Yes)
    }

    async fn roll_back(&mut self) {
        if let Some(session) = self.work.session.take() {
            let _ = session.end(Outcome::Rollback).await;
        }
    }

    /// Stores why the attempt failed, and when the next one is; tries again for as long as the claim is valid.
    async fn failed(&self, error: &JobError) {
        let text = text_of(error.cause());
        let (next, ended) = self.next(error.retry);
        match &next {
            Failed::RetryAfter(after) => {
                tracing::warn!(
                    error = text,
                    retry_in_ms = after.as_millis() as u64,
                    "job failed; it will be retried"
                );
            }
            Failed::Dead => {
                tracing::error!(error = text, "job failed and is dead; `jobs retry` runs it again")
            }
        }
        loop {
            let session = claims::session(
                &self.shared.database,
                "jobs: failed",
                self.shared.settings.claim_timeout,
            );
            let Err(error) = claims::fail(&session, self.claim, &next, &text).await else {
                break;
            };
            tracing::warn!(error = %error, "the failure of a job cannot be stored; retrying");
            tokio::time::sleep(RETRY_PAUSE).await;
            if !self.shared.running.is_valid(self.claim) {
                break;
            }
        }
        self.end(ended);
    }

    fn next(&self, retry: Retry) -> (Failed, Ended) {
        if retry == Retry::Never || self.work.is_last_attempt() {
            return (Failed::Dead, Ended::Dead);
        }
        let after = match retry {
            Retry::After(after) => after,
            Retry::Backoff | Retry::Never => self.backoff(),
        };
        (Failed::RetryAfter(after), Ended::Failed)
    }

    /// Doubles with each attempt. Random by a half, so that jobs that failed together do not come back together.
    fn backoff(&self) -> Duration {
        let settings = &self.shared.settings;
        let doublings = u32::from(self.work.attempt.saturating_sub(1)).min(30);
        let pause = settings
            .retry_min
            .saturating_mul(1 << doublings)
            .min(settings.retry_max);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    fn log_done(&self) {
        tracing::info!("job done");
    }

    fn end(&self, ended: Ended) {
        self.shared.running.ended_as(self.claim, ended);
        self.shared.running.remove(self.claim);
    }
}

/// Whether a job was marked as done together with its work.
enum Completed {
    Yes,
    /// It has no open session: the mark is a statement of its own.
    Not,
    Lost,
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("not a text")
}
