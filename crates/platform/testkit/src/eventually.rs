//! Waiting for conditions, so that no test sleeps for a time.

use std::panic::Location;
use std::time::{Duration, Instant};

/// Waits until `condition` holds, for at most 10 seconds.
///
/// # Panics
///
/// With the caller's place when the time is over.
#[track_caller]
pub fn eventually<C: AsyncFnMut() -> bool>(condition: C) -> impl Future<Output = ()> {
    within(Duration::from_secs(10), condition, Location::caller())
}

/// Waits until `condition` holds, for at most `limit`.
///
/// # Panics
///
/// With the caller's place when the time is over.
#[track_caller]
pub fn eventually_within<C: AsyncFnMut() -> bool>(limit: Duration, condition: C) -> impl Future<Output = ()> {
    within(limit, condition, Location::caller())
}

async fn within<C: AsyncFnMut() -> bool>(
    limit: Duration,
    mut condition: C,
    place: &'static Location<'static>,
) {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !condition().await {
        assert!(
            start.elapsed() < limit,
            "the condition at {place} did not come true within {limit:?}"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
