//! How long to keep trying, and how long to pause between two tries.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Counts the time since its start; pauses double, with jitter, so that waiting runs do not march in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    start: Instant,
    pause: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff {
            start: Instant::now(),
            pause: FIRST_PAUSE,
        }
    }

    pub(crate) fn waited(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether another pause still fits into `limit`.
    pub(crate) fn fits(&self, limit: Duration) -> bool {
        self.waited() < limit
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
