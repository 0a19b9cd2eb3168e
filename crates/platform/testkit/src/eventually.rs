//! Waits for conditions, so that no test sleeps for a fixed time.

use std::panic::Location;
use std::time::{Duration, Instant};

/// Waits until `condition` holds, for at most 10 seconds.
///
/// # Panics
///
/// When the time is over; the message names the caller's line.
#[track_caller]
pub fn eventually<C: AsyncFnMut() -> bool>(condition: C) -> impl Future<Output = ()> {
    eventually_within(Duration::from_secs(10), condition)
}

/// Waits until `condition` holds, for at most `limit`.
///
/// # Panics
///
/// When the time is over; the message names the caller's line.
#[track_caller]
pub fn eventually_within<C: AsyncFnMut() -> bool>(
    limit: Duration,
    mut condition: C,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        while !condition().await {
            assert!(
                start.elapsed() < limit,
                "the condition at {caller} did not hold within {limit:?}"
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}
