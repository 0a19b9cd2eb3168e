//! Backoff between attempts: exponential, with jitter.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Pauses that double from 50 ms to 2 s, with jitter so that waiting runs do not retry at the same moment.
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

    /// The time since the first attempt.
    pub(crate) fn waited(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether the time for attempts is not over yet.
    pub(crate) fn fits(&self, limit: Duration) -> bool {
        self.waited() < limit
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
