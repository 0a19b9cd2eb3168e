//! Checks the pool at an interval and logs warnings.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_database::{Database, Usage};

use super::alert::{Cause, seconds};
use super::alerts::{AlertRules, Warning};
use super::history::History;
use super::throttle::Throttle;
use crate::settings::Monitor as Settings;

/// Logs warnings about the pool and about slow requests.
///
/// Each warning names what was observed, the remedy and the section of the documentation. A cause warns once a minute,
/// per route if it concerns a route, with the count of occurrences that were not logged.
#[derive(Clone, Debug)]
pub struct Monitor {
    settings: Settings,
    began: Instant,
    throttle: Arc<Mutex<Throttle>>,
    history: Arc<History>,
}

impl Monitor {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            began: Instant::now(),
            throttle: Arc::default(),
            history: Arc::default(),
        }
    }

    /// The pool's numbers over the last minutes.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// The thresholds of high usage and long leases.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Checks the pool until the future is dropped. A check holds one lock for some microseconds, and no slot.
    pub(crate) async fn run(self, database: Database) {
        let mut rules = AlertRules::new(self.settings.clone());
        let mut ticks = tokio::time::interval(self.settings.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let (status, holders) = database.snapshot();
            self.history.record(&status);
            for warning in rules.check(self.began.elapsed(), &status, &holders) {
                warn(&warning);
            }
        }
    }

    /// Logs a request that was slow, with its cost in the database.
    pub(crate) fn request_ended(
        &self,
        method: &str,
        route: &str,
        took: Duration,
        usage: impl FnOnce() -> Option<Usage>,
    ) {
        if !self.settings.enabled || took < self.settings.slow_request {
            return;
        }
        let whose = format!("{method} {route}");
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = throttle.admit(self.began.elapsed(), Cause::SlowRequest, &whose, 1);
        drop(throttle);
        if let Some(left_out) = admitted {
            let cost = usage().as_ref().map(cost).unwrap_or_default();
            let seen = format!("{whose} took {}{cost}", seconds(took));
            warn(&Warning::new(Cause::SlowRequest, seen, left_out));
        }
    }
}

fn cost(usage: &Usage) -> String {
    let (waited, held) = (seconds(usage.waited), seconds(usage.held));
    format!(
        ": waited {waited} for a connection, held one for {held}, statements: {}, round trips: {}",
        usage.statements, usage.round_trips
    )
}

fn warn(warning: &Warning) {
    let (alert, left_out) = (&warning.alert, warning.left_out);
    let (cause, see) = (alert.cause.name(), alert.see);
    tracing::warn!(cause, left_out, see, "{}. {}", alert.seen, alert.remedy);
}
