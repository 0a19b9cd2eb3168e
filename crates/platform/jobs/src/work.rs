//! `Work`: what a worker passes to a job.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use berth_database::{Database, Session, SessionOptions};
use tokio::sync::watch;
use uuid::Uuid;

/// One attempt at a job: its session, its deadline, and the facts about it.
#[derive(Debug)]
pub struct Work {
    pub(crate) id: Uuid,
    pub(crate) name: &'static str,
    pub(crate) attempt: u16,
    pub(crate) max_attempts: u16,
    pub(crate) deadline: Instant,
    pub(crate) database: Database,
    pub(crate) session: OnceLock<Session>,
    pub(crate) stopping: watch::Receiver<Option<Instant>>,
}

impl Work {
    /// Returns the session of this attempt, for services.
    ///
    /// It is committed together with the mark that the job is done, and rolled back where the job fails or its claim is
    /// no longer this worker's. Commit it in the middle before slow work that is not the database.
    ///
    /// Slot cost: 0 or 1; it waits behind requests and leaves them a slot. Its deadline is the attempt's.
    pub fn session(&self) -> &Session {
        self.session.get_or_init(|| {
            let options = SessionOptions::new(format!("job {}", self.name))
                .request_id(self.id.to_string())
                .background()
                .deadline(self.remaining());
            self.database.session(options)
        })
    }

    /// Returns the job's id, the same in every attempt: a key with which a repetition can be recognised elsewhere.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Returns the number of this attempt, from 1.
    pub fn attempt(&self) -> u16 {
        self.attempt
    }

    /// Returns whether the job is dead if this attempt fails.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.max_attempts
    }

    /// Returns when the attempt is cancelled.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns the time that is left.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits until the worker stops: a long job can return early, and what it has committed remains. The job is cancelled
    /// some seconds later, as `jobs.shutdown_timeout` says, and runs again elsewhere without counting an attempt.
    pub async fn stopping(&self) {
        let mut stopping = self.stopping.clone();
        if stopping.wait_for(Option::is_some).await.is_err() {
            std::future::pending().await
        }
    }
}
