//! The attempts that run at the moment, and until when their claims are valid.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::claims::Claim;
use crate::stats::{Ended, Stats};

/// The attempts that run at the moment.
#[derive(Debug, Default)]
pub(crate) struct Running {
    attempts: Mutex<HashMap<Uuid, Entry>>,
    changed: Notify,
    pub(crate) stats: Stats,
}

#[derive(Debug)]
struct Entry {
    claim: Claim,
    name: &'static str,
    attempt: u16,
    began: Instant,
    valid_until: watch::Sender<Option<Instant>>,
}

/// An attempt that runs at the moment.
#[derive(Clone, Debug)]
pub struct RunningJob {
    /// The job's id.
    pub id: Uuid,
    /// The job's name.
    pub name: &'static str,
    /// The number of the attempt.
    pub attempt: u16,
    /// How long it has been running.
    pub running_for: Duration,
}

/// Until when a claim is valid.
#[derive(Debug)]
pub(crate) struct Expiry(watch::Receiver<Option<Instant>>);

impl Expiry {
    /// Waits until the claim has expired or is lost.
    pub(crate) async fn expired(&mut self) {
        loop {
            let Some(until) = *self.0.borrow_and_update() else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => return,
                changed = self.0.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Running {
    /// Adds an attempt whose claim is valid until the given time.
    pub(crate) fn add(&self, claim: Claim, name: &'static str, attempt: u16, until: Instant) -> Expiry {
        let (valid_until, watching) = watch::channel(Some(until));
        let entry = Entry {
            claim,
            name,
            attempt,
            began: Instant::now(),
            valid_until,
        };
        self.lock().insert(claim.job_id, entry);
        self.stats.started(name);
        Expiry(watching)
    }

    /// Notes that an attempt has ended. Its claim is extended until [`remove`](Self::remove).
    pub(crate) fn ended_as(&self, claim: Claim, ended: Ended) {
        let attempt = self
            .lock()
            .get(&claim.job_id)
            .map(|entry| (entry.name, entry.began.elapsed()));
        if let Some((name, took)) = attempt {
            self.stats.ended(name, took, ended);
        }
    }

    pub(crate) fn remove(&self, claim: Claim) {
        let mut attempts = self.lock();
        if attempts
            .get(&claim.job_id)
            .is_some_and(|entry| entry.claim == claim)
        {
            attempts.remove(&claim.job_id);
        }
        drop(attempts);
        self.changed.notify_waiters();
    }

    /// Returns the claims that are still valid.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let attempts = self.lock();
        let valid = attempts
            .values()
            .filter(|entry| entry.valid_until.borrow().is_some());
        valid.map(|entry| entry.claim).collect()
    }

    /// Whether the claim is valid.
    pub(crate) fn is_valid(&self, claim: Claim) -> bool {
        let attempts = self.lock();
        let entry = attempts.get(&claim.job_id).filter(|entry| entry.claim == claim);
        entry.is_some_and(|entry| {
            entry
                .valid_until
                .borrow()
                .is_some_and(|until| until > Instant::now())
        })
    }

    /// Notes until when the claims that were extended are valid, and cancels those that were asked for and were not.
    pub(crate) fn extended(&self, asked: &[Claim], extended: &[Uuid], until: Instant) {
        let attempts = self.lock();
        for claim in asked {
            let entry = attempts.get(&claim.job_id).filter(|entry| entry.claim == *claim);
            if let Some(entry) = entry {
                let is_extended = extended.contains(&claim.job_id);
                entry.valid_until.send_replace(is_extended.then_some(until));
            }
        }
    }

    /// Cancels every attempt, and returns the claims that they had.
    pub(crate) fn cancel_all(&self) -> Vec<Claim> {
        let attempts = self.lock();
        let cancelled = attempts
            .values()
            .filter(|entry| entry.valid_until.send_replace(None).is_some());
        cancelled.map(|entry| entry.claim).collect()
    }

    /// Waits until no attempt runs.
    pub(crate) async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn list(&self) -> Vec<RunningJob> {
        let attempts = self.lock();
        let listed = attempts.values().map(|entry| RunningJob {
            id: entry.claim.job_id,
            name: entry.name,
            attempt: entry.attempt,
            running_for: entry.began.elapsed(),
        });
        listed.collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
