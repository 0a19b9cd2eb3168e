use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use database::Database;

use super::advice::{Advice, Cause, seconds};
use super::history::History;
use super::throttle::Throttle;
use super::warnings::Watch;
use crate::settings::Monitor as Settings;

/// Warns of what an operator should know before users tell.
///
/// Each warning says what is seen, what to do, and where more about it stands; each cause warns once a minute, with
/// the count of the warnings that were left out.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
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

    /// The pool over the last minutes.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// The part of the share above which its use is high.
    pub(crate) fn high_use(&self) -> f64 {
        self.settings.high_use
    }

    /// Looks at the pool until it is dropped. A look takes one lock for some microseconds and no slot.
    pub(crate) async fn run(self, database: Database) {
        let mut watch = Watch::new(self.settings.clone());
        let mut ticks = tokio::time::interval(self.settings.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let (status, holders) = database.picture();
            self.history.note(&status);
            for advice in watch.look(self.began.elapsed(), &status, &holders) {
                self.warn(&advice);
            }
        }
    }

    /// Notes how long a request took.
    pub(crate) fn answered(&self, method: &str, route: &str, took: Duration) {
        if self.settings.enabled && took >= self.settings.slow_request {
            self.warn(&Cause::SlowRequest.because(format!("{method} {route} took {}", seconds(took))));
        }
    }

    fn warn(&self, advice: &Advice) {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = throttle.admit(self.began.elapsed(), advice.cause);
        drop(throttle);
        if let Some(left_out) = admitted {
            let Advice {
                cause,
                seen,
                remedy,
                see,
            } = advice;
            tracing::warn!(cause = cause.word(), left_out, see, "{seen}. {remedy}");
        }
    }
}
