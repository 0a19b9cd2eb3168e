//! What the pool's lock guards: the ledger, and the things of which the ledger only knows the names.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::queue::Granted;
use crate::breaker::Verdict;
use crate::error::Error;
use crate::events::Totals;
use crate::lease::Berth;
use crate::ledger::{Denial, Failure, Ledger, Moment, SlotId, Ticket};
use crate::refusal::{Class, Reason};
use crate::settings::{Instances, Settings};
use crate::status::{IdleLease, Server};
use crate::tag::Tag;
use crate::timings::Timings;

/// What the lock guards: the ledger, and the things it only knows the names of.
#[derive(Debug)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) berths: HashMap<SlotId, Berth>,
    pub(super) waiters: HashMap<Ticket, Waiting>,
    /// Dropping a sender gives its opening up.
    pub(super) openings: HashMap<SlotId, oneshot::Sender<()>>,
    pub(super) holders: HashMap<SlotId, (Arc<Tag>, Instant, Option<i32>)>,
    pub(super) armed: Option<Moment>,
    pub(super) draining: bool,
    pub(super) instances: u32,
    pub(super) looked: Option<Moment>,
    pub(super) last_success: Option<Moment>,
    pub(super) trouble: Option<Reason>,
    pub(super) server: Option<Server>,
    pub(super) totals: Totals,
    pub(super) waits: Timings,
    pub(super) uses: Timings,
    pub(super) opens: Timings,
    pub(super) last_idle: Option<IdleLease>,
    pub(super) rate: Rate,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) answer: oneshot::Sender<Result<Granted, Error>>,
    pub(super) tag: Arc<Tag>,
    pub(super) since: Instant,
}

impl State {
    pub(super) fn new(ledger: Ledger, settings: &Settings) -> Self {
        let instances = match settings.instances {
            Instances::Fixed(instances) => instances,
            Instances::Auto => 1,
        };
        Self {
            ledger,
            berths: HashMap::new(),
            waiters: HashMap::new(),
            openings: HashMap::new(),
            holders: HashMap::new(),
            armed: None,
            draining: false,
            instances,
            looked: None,
            last_success: None,
            trouble: None,
            server: None,
            totals: Totals::default(),
            waits: Timings::default(),
            uses: Timings::default(),
            opens: Timings::default(),
            last_idle: None,
            rate: Rate::default(),
        }
    }

    pub(super) fn release(&mut self, slot: SlotId) {
        self.holders.remove(&slot);
    }

    pub(super) fn reason(&self) -> Reason {
        self.trouble.unwrap_or(Reason::NoAnswer)
    }

    pub(super) fn explain(&self, denial: Denial) -> Error {
        match denial {
            Denial::Full => Error::Saturated {
                retry_after: self.retry_after(),
            },
            Denial::Draining => Error::ShuttingDown,
            Denial::Broken(Verdict::Unreachable) => Error::Unreachable {
                reason: self.reason(),
            },
            Denial::Broken(Verdict::Misconfigured | Verdict::Banned) => Error::Misconfigured {
                reason: self.reason(),
            },
        }
    }

    /// The queue's length over the rate at which connections come back.
    pub(super) fn retry_after(&self) -> Duration {
        let (requests, background) = self.ledger.waiting();
        let waiting = u32::try_from(requests + background).unwrap_or(u32::MAX).max(1);
        let seconds = f64::from(waiting) * self.rate.seconds_each();
        Duration::from_secs_f64(seconds.clamp(1.0, 30.0).ceil())
    }

    pub(super) fn trouble_with(&mut self, class: Class) -> Failure {
        let (failure, trouble) = match class {
            Class::Refused => return Failure::Refused,
            Class::Banned => (Failure::Banned, Reason::Banned),
            Class::Unreachable(reason) => (Failure::Unreachable, reason),
            Class::ForGood(reason) => (Failure::ForGood, reason),
            // The set-up is a statement that any server understands: one that refuses it does not fit.
            Class::Statement => (Failure::ForGood, Reason::Settings),
        };
        self.trouble = Some(trouble);
        failure
    }
}

/// How fast connections come back: a moving average of the time between two returns.
#[derive(Debug, Default)]
pub(super) struct Rate {
    last: Option<Moment>,
    seconds: f64,
}

impl Rate {
    pub(super) fn note(&mut self, now: Moment) {
        if let Some(last) = self.last {
            self.seconds += ((now.saturating_sub(last)).as_secs_f64() - self.seconds) / 16.0;
        }
        self.last = Some(now);
    }

    pub(super) fn seconds_each(&self) -> f64 {
        self.seconds
    }
}
