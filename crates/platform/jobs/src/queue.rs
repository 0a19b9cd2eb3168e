//! The queue: stores jobs in the transaction of the work that makes them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use berth_database::{Error, Session};
use berth_service::new_id;
use futures_util::future::BoxFuture;
use sea_orm::{ConnectionTrait, DbErr};
use tokio::sync::Notify;
use tracing::Span;
use uuid::Uuid;

use crate::options::{JobOptions, OnConflict, RunAt};
use crate::sql::{Dialect, Parameters};
use crate::{Job, Tracing};

/// Stores jobs. Clones are the same queue: they wake the same workers.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    wake: Notify,
    tracing: Tracing,
}

/// What became of a job that was enqueued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enqueued {
    /// It exists, under this id, once the session commits. After [`OnConflict::Replace`] it may be the id of a job that
    /// was there before.
    Stored(Uuid),
    /// A job with the same unique key waits or runs already; nothing was stored.
    Existing,
}

impl Jobs {
    /// Makes a queue that stores no trace with its jobs.
    pub fn new() -> Self {
        Self::with_tracing(Tracing::default())
    }

    /// Makes a queue that stores the present trace with each job, and runs jobs within it.
    pub fn with_tracing(tracing: Tracing) -> Self {
        let wake = Notify::new();
        Self {
            shared: Arc::new(Shared { wake, tracing }),
        }
    }

    /// Waits until a job is enqueued in this process, unless one was since the last time.
    pub(crate) async fn woken(&self) {
        self.shared.wake.notified().await;
    }

    pub(crate) fn in_trace<'f>(
        &self,
        span: &Span,
        traceparent: Option<&str>,
        running: BoxFuture<'f, ()>,
    ) -> BoxFuture<'f, ()> {
        (self.shared.tracing.scope)(span, traceparent, running)
    }

    /// Stores a job in the session's own transaction: it exists exactly if the rest of the transaction does.
    ///
    /// A worker of this process is woken after the commit. Slot cost: one statement of the session.
    ///
    /// # Errors
    ///
    /// The database's. [`Error::UniqueViolation`] for a unique key that exists, where the options say so.
    pub async fn enqueue<J: Job>(&self, session: &Session, job: J) -> Result<Enqueued, Error> {
        let options = job.options();
        self.enqueue_with(session, job, options).await
    }

    /// Stores a job as [`enqueue`](Self::enqueue) does, with other options than the job's own.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_with<J: Job>(
        &self,
        session: &Session,
        job: J,
        options: JobOptions,
    ) -> Result<Enqueued, Error> {
        let payload = serde_json::to_string(&job).map_err(|error| DbErr::Json(error.to_string()))?;
        let row = NewJob {
            name: J::NAME,
            payload,
            options,
        };
        self.insert(session, row).await
    }

    pub(crate) async fn insert(&self, session: &Session, new: NewJob) -> Result<Enqueued, Error> {
        let now = matches!(new.options.run_at, RunAt::Now);
        let (sql, parameters) = new.insert(Dialect::of(session), (self.shared.tracing.present)());
        let statement = Dialect::of(session).statement(sql, parameters.0);
        let Some(row) = session.query_one_raw(statement).await? else {
            return Ok(Enqueued::Existing);
        };
        if now {
            let woken = self.shared.clone();
            session.after_commit(move || woken.wake.notify_one());
        }
        Ok(Enqueued::Stored(row.try_get_by_index(0)?))
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Jobs").finish_non_exhaustive()
    }
}

/// A row to be stored.
pub(crate) struct NewJob {
    pub(crate) name: &'static str,
    pub(crate) payload: String,
    pub(crate) options: JobOptions,
}

impl NewJob {
    fn insert(self, dialect: Dialect, traceparent: Option<String>) -> (String, Parameters) {
        let mut values = Parameters::default();
        let JobOptions {
            queue,
            priority,
            run_at,
            max_attempts,
            timeout,
            unique,
        } = self.options;
        let (unique_key, on_conflict) = unique.unzip();
        let placeholders = [
            values.add(new_id()),
            values.add(self.name),
            values.add(queue.into_owned()),
            values.add(priority as i16),
            values.add(self.payload),
            values.add(i32::from(max_attempts)),
            values.add(millis(timeout)),
            values.add(unique_key),
            values.add(traceparent),
        ];
        let run_at = match run_at {
            RunAt::Now => dialect.now().to_owned(),
            RunAt::After(after) => {
                let seconds = values.add(after.as_secs_f64());
                dialect.after(&seconds)
            }
            RunAt::At(time) => values.add(time),
        };
        let sql = format!(
            "INSERT INTO jobs (id, name, queue, priority, payload, max_attempts, timeout_ms, unique_key, traceparent, \
             state, attempt, again, created_at, available_at) \
             VALUES ({}, 'waiting', 0, false, {}, {run_at}){} RETURNING id",
            placeholders.join(", "),
            dialect.now(),
            conflict(on_conflict.unwrap_or(OnConflict::Fail)),
        );
        (sql, values)
    }
}

/// What the statement says about a row with the same name and key that waits or runs: one whose `available_at` is set.
fn conflict(policy: OnConflict) -> &'static str {
    match policy {
        OnConflict::Fail => "",
        OnConflict::Keep => " ON CONFLICT (name, unique_key) WHERE available_at IS NOT NULL DO NOTHING",
        OnConflict::Replace => {
            " ON CONFLICT (name, unique_key) WHERE available_at IS NOT NULL DO UPDATE SET \
             queue = excluded.queue, priority = excluded.priority, payload = excluded.payload, \
             max_attempts = excluded.max_attempts, timeout_ms = excluded.timeout_ms, \
             traceparent = excluded.traceparent, again = jobs.state = 'running', \
             attempt = CASE jobs.state WHEN 'waiting' THEN 0 ELSE jobs.attempt END, \
             available_at = CASE jobs.state WHEN 'waiting' THEN excluded.available_at ELSE jobs.available_at END"
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
