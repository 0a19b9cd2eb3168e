//! State under the pool's lock: the scheduler, and what its ids stand for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::acquire::Grant;
use super::orphans::Orphan;
use crate::connect::connect_error::{ConnectError, Reason};
use crate::error::Error;
use crate::pool::lease::PooledConnection;
use crate::pool::status::{IdleLease, Server};
use crate::settings::{Instances, Settings};
use crate::stats::activity::SessionActivity;
use crate::stats::counters::Counters;
use crate::stats::histogram::Histogram;
use berth_pool::Outage;
use berth_pool::{AcquireError, ConnectErrorKind, Scheduler, SlotId, Timestamp, WaiterId};

/// What the lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) scheduler: Scheduler,
    pub(super) connections: HashMap<SlotId, PooledConnection>,
    pub(super) waiters: HashMap<WaiterId, Waiting>,
    /// Dropping a sender cancels its connection attempt.
    pub(super) connecting: HashMap<SlotId, oneshot::Sender<()>>,
    /// Dropping it closes the listener's connection.
    pub(super) listener: Option<oneshot::Sender<()>>,
    pub(super) holders: HashMap<SlotId, (Arc<SessionActivity>, Instant, Option<i32>)>,
    pub(super) next_wake: Option<Timestamp>,
    pub(super) draining: bool,
    pub(super) instances: u32,
    pub(super) counted_at: Option<Timestamp>,
    pub(super) last_success: Option<Timestamp>,
    pub(super) last_connect_error: Option<Reason>,
    /// What the last attempt that was refused or failed was answered, and when.
    pub(super) last_failed_attempt: Option<(String, Timestamp)>,
    pub(super) server: Option<Server>,
    pub(super) counters: Counters,
    pub(super) orphans: Vec<Orphan>,
    /// The sessions that an administrator's command ended lately, by address, with the time.
    pub(super) terminations: Vec<(usize, Instant)>,
    /// Connections made before are closed when they are released.
    pub(super) outdated: Option<Instant>,
    pub(super) waits: Histogram,
    pub(super) uses: Histogram,
    pub(super) opens: Histogram,
    pub(super) last_idle: Option<IdleLease>,
    pub(super) rate: Rate,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) answer: oneshot::Sender<Result<Grant, Error>>,
    pub(super) activity: Arc<SessionActivity>,
    pub(super) since: Instant,
}

impl State {
    pub(super) fn new(scheduler: Scheduler, settings: &Settings) -> Self {
        let instances = match settings.instances {
            Instances::Fixed(instances) => instances,
            Instances::Auto => 1,
        };
        Self {
            scheduler,
            connections: HashMap::new(),
            waiters: HashMap::new(),
            connecting: HashMap::new(),
            listener: None,
            holders: HashMap::new(),
            next_wake: None,
            draining: false,
            instances,
            counted_at: None,
            last_success: None,
            last_connect_error: None,
            last_failed_attempt: None,
            server: None,
            counters: Counters::default(),
            orphans: Vec::new(),
            terminations: Vec::new(),
            outdated: None,
            waits: Histogram::default(),
            uses: Histogram::default(),
            opens: Histogram::default(),
            last_idle: None,
            rate: Rate::default(),
        }
    }

    pub(super) fn release(&mut self, slot: SlotId) {
        self.holders.remove(&slot);
    }

    pub(super) fn reason(&self) -> Reason {
        self.last_connect_error.unwrap_or(Reason::NoAnswer)
    }

    pub(super) fn explain(&self, error: AcquireError) -> Error {
        match error {
            AcquireError::Full => Error::Saturated {
                retry_after: self.retry_after(),
            },
            AcquireError::Draining => Error::ShuttingDown,
            AcquireError::CircuitOpen(Outage::Unreachable) => Error::Unreachable {
                reason: self.reason(),
            },
            AcquireError::CircuitOpen(Outage::Permanent | Outage::Banned) => Error::Permanent {
                reason: self.reason(),
            },
        }
    }

    /// The length of the queue over the rate of releases.
    pub(super) fn retry_after(&self) -> Duration {
        let (requests, background) = self.scheduler.waiting();
        let waiting = u32::try_from(requests + background).unwrap_or(u32::MAX).max(1);
        let seconds = f64::from(waiting) * self.rate.seconds_each();
        Duration::from_secs_f64(seconds.clamp(1.0, 30.0).ceil())
    }

    /// Records why the last attempt failed, unless it was refused, which is temporary.
    pub(super) fn note_failure(&mut self, error: ConnectError) -> ConnectErrorKind {
        if !error.is_full() {
            self.last_connect_error = Some(error.reason);
        }
        error.kind
    }
}

/// Rate of releases: a moving average of the time between two of them.
#[derive(Debug, Default)]
pub(super) struct Rate {
    last: Option<Timestamp>,
    seconds: f64,
}

impl Rate {
    pub(super) fn note(&mut self, now: Timestamp) {
        if let Some(last) = self.last {
            self.seconds += ((now.saturating_sub(last)).as_secs_f64() - self.seconds) / 16.0;
        }
        self.last = Some(now);
    }

    pub(super) fn seconds_each(&self) -> f64 {
        self.seconds
    }
}
