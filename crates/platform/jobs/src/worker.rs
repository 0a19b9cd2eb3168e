//! The worker: takes jobs that are ready, runs them, and records the result.
//!
//! It holds no connection while a job runs, other than the job's own. Four tasks share its state:
//!
//! - [`take`] claims as many jobs as there are free places, in one statement, and starts them.
//! - [`run`] is one attempt, in a task of its own: with a timeout, until the claim is lost.
//! - [`heartbeat`] extends all claims in one statement, three times within their duration. A claim that cannot be extended
//!   in time is lost, and its attempt is cancelled before another worker can take the job.
//! - [`finish`] marks jobs as done, as many at once as have ended since its last statement.

mod finish;
mod heartbeat;
mod listen;
mod run;
mod running;
mod take;

use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_database::Database;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use self::running::Running;
pub use self::running::RunningJob;
use crate::claims::{self, Claim};
use crate::registry::Registry;
use crate::stats::JobStats;
use crate::{Jobs, Settings, schedule, status};

/// The time that an attempt gets to end once it is cancelled.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs jobs of the queue, in tasks on the runtime on which it was started. Dropped, it ends without draining: its claims
/// expire.
#[derive(Debug)]
#[must_use]
pub struct Worker {
    shared: Arc<Shared>,
    /// Ends when the worker stops.
    taking: JoinSet<()>,
    tasks: JoinSet<()>,
}

/// What the tasks of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) jobs: Jobs,
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) name: String,
    pub(crate) running: Running,
    pub(crate) places: Arc<Semaphore>,
    /// When the worker was told to stop.
    pub(crate) stopping: watch::Sender<Option<Instant>>,
    /// Jobs whose work has ended well and that have to be marked as done.
    pub(crate) done: mpsc::UnboundedSender<Claim>,
}

impl Worker {
    /// Starts a worker for the jobs in `registry`, and its schedule. Call it on the main runtime: connections that a
    /// worker opens must outlive the threads that serve HTTP.
    ///
    /// Slot cost: see the settings; everything it does waits behind requests and leaves them a slot.
    pub fn start(database: &Database, jobs: &Jobs, registry: Registry, settings: Settings) -> Self {
        let (done, ended) = mpsc::unbounded_channel();
        let schedules = registry.schedules.clone();
        let shared = Arc::new(Shared {
            name: name(database),
            database: database.clone(),
            jobs: jobs.clone(),
            registry,
            places: Arc::new(Semaphore::new(settings.workers)),
            settings,
            running: Running::default(),
            stopping: watch::Sender::new(None),
            done,
        });
        jobs.set_worker(&shared);
        let (mut taking, mut tasks) = (JoinSet::new(), JoinSet::new());
        if shared.settings.workers > 0 {
            tasks.spawn(schedule::run(shared.database.clone(), jobs.clone(), schedules));
            tasks.spawn(heartbeat::run(shared.clone()));
            tasks.spawn(finish::run(shared.clone(), ended));
            if shared.settings.listen {
                jobs.announce();
                tasks.spawn(listen::run(shared.clone()));
            }
            tasks.spawn(status::watch(shared.clone()));
            taking.spawn(take::run(shared.clone()));
        }
        Self {
            shared,
            taking,
            tasks,
        }
    }

    /// Takes no more jobs, and announces to those that run that the worker stops.
    pub fn stop_taking(&self) {
        self.shared.stop_taking();
    }

    /// Takes no more jobs, waits for those that run, and releases the claims of those that still run after
    /// `jobs.shutdown_timeout`, without counting their attempts.
    pub async fn stop(mut self) {
        self.stop_taking();
        let since = (*self.shared.stopping.borrow()).unwrap_or_else(Instant::now);
        let limit = self
            .shared
            .settings
            .shutdown_timeout
            .saturating_sub(since.elapsed());
        if tokio::time::timeout(limit, self.drained()).await.is_err() {
            let cancelled = self.shared.running.cancel_all();
            tracing::warn!(
                jobs = cancelled.len(),
                "jobs were still running when jobs.shutdown_timeout expired: they run again"
            );
            // Another worker must not start one before it has ended here.
            let _ = tokio::time::timeout(CANCEL_TIMEOUT, self.shared.running.ended()).await;
            self.shared.release(&cancelled).await;
        }
        self.tasks.shutdown().await;
    }

    async fn drained(&mut self) {
        while self.taking.join_next().await.is_some() {}
        self.shared.running.ended().await;
    }

    /// Returns the attempts that run at the moment.
    pub fn running(&self) -> Vec<RunningJob> {
        self.shared.running.list()
    }

    /// Returns what was done since the start, by job name.
    pub fn stats(&self) -> Vec<(&'static str, JobStats)> {
        self.shared.running.stats.all()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.running.cancel_all();
    }
}

impl Shared {
    /// Releases claims, so that other workers need not wait until they expire.
    pub(crate) async fn release(&self, claims: &[Claim]) {
        if claims.is_empty() {
            return;
        }
        let session = claims::session(&self.database, "jobs: release", self.settings.claim_timeout);
        if let Err(error) = claims::release(&session, claims).await {
            tracing::warn!(error = %error, "claims could not be released: their jobs run again when the claims expire");
        }
    }

    pub(crate) fn stop_taking(&self) {
        self.stopping.send_if_modified(|stopping| {
            let is_first = stopping.is_none();
            stopping.get_or_insert_with(Instant::now);
            is_first
        });
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.borrow().is_some()
    }
}

/// The name under which claims are shown: that of the instance, or of the process where the database has no names.
fn name(database: &Database) -> String {
    let process = || format!("process {}", std::process::id());
    database.instance().map_or_else(process, str::to_owned)
}
