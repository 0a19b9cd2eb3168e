//! The queue: stores jobs in the transaction of the work that makes them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use berth_database::{Error, Session};
use berth_service::new_id;
use futures_util::future::BoxFuture;
use sea_orm::DbErr;
use tokio::sync::Notify;
use tracing::Span;
use uuid::Uuid;

use crate::options::{JobOptions, OnConflict, RunAt};
use crate::sql::{Dialect, Parameters};
use crate::{Depth, Job, Status, Tracing, worker};

/// The channel on which jobs are announced.
pub(crate) const CHANNEL: &str = "job_queue";

/// Stores jobs. Clones are the same queue: they wake the same workers.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    wake: Notify,
    tracing: Tracing,
    /// Whether jobs are announced to workers in other processes.
    announces: AtomicBool,
    /// The worker of this process.
    worker: Mutex<Weak<worker::Shared>>,
    depth: Mutex<Option<Depth>>,
    depth_asked: Notify,
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
        Self {
            shared: Arc::new(Shared {
                wake: Notify::new(),
                tracing,
                announces: AtomicBool::new(false),
                worker: Mutex::default(),
                depth: Mutex::default(),
                depth_asked: Notify::new(),
            }),
        }
    }

    /// Returns what the worker of this process runs and has done, and the queue as it was counted last.
    ///
    /// Slot cost: none. The worker counts the queue afterwards, in the background lane, at most every 15 seconds.
    pub fn status(&self) -> Status {
        self.shared.depth_asked.notify_one();
        let worker = lock(&self.shared.worker).upgrade();
        Status {
            running: worker
                .as_ref()
                .map(|worker| worker.running.list())
                .unwrap_or_default(),
            stats: worker
                .map(|worker| worker.running.stats.all())
                .unwrap_or_default(),
            depth: *lock(&self.shared.depth),
        }
    }

    /// Lets the worker of this process take no more jobs: at the signal to stop, while requests under way go on.
    pub fn stop_taking(&self) {
        if let Some(worker) = lock(&self.shared.worker).upgrade() {
            worker.stop_taking();
        }
    }

    pub(crate) fn set_worker(&self, worker: &Arc<worker::Shared>) {
        *lock(&self.shared.worker) = Arc::downgrade(worker);
    }

    /// Waits until the numbers of the queue are asked for.
    pub(crate) async fn depth_asked(&self) {
        self.shared.depth_asked.notified().await;
    }

    pub(crate) fn set_depth(&self, depth: Depth) {
        *lock(&self.shared.depth) = Some(depth);
    }

    /// Announces jobs to workers in other processes, too, where their setting `jobs.listen` is on: by a notification in
    /// the statement that stores the job. PostgreSQL commits transactions with notifications one after the other.
    pub fn announce(&self) {
        self.shared.announces.store(true, Ordering::Relaxed);
    }

    /// Wakes the worker of this process.
    pub(crate) fn wake(&self) {
        self.shared.wake.notify_one();
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
        let (mut sql, parameters) = new.insert(Dialect::of(session), (self.shared.tracing.present)());
        if now && Dialect::of(session).is_postgres() && self.shared.announces.load(Ordering::Relaxed) {
            sql.push_str(&format!(", pg_notify('{CHANNEL}', '')::text"));
        }
        let statement = Dialect::of(session).statement(sql, parameters.0);
        // A user's role may not write the table.
        let Some(row) = session.query_one_as_login_role(statement).await? else {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
