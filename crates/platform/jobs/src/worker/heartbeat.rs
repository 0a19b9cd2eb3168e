//! Extends the claims of all attempts that run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::{Shared, take};
use crate::claims;

/// Claims are extended this many times within their duration, so that one or two failures do no harm.
const BEATS: u32 = 3;

/// Extends claims until the future is dropped. While nothing runs, it sends no statement.
pub(super) async fn run(shared: Arc<Shared>) {
    let claim_timeout = shared.settings.claim_timeout;
    let mut beats = tokio::time::interval(claim_timeout / BEATS);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        while !extend(&shared).await {
            tokio::time::sleep((claim_timeout / 30).max(Duration::from_millis(50))).await;
        }
    }
}

/// Extends the claims, and returns whether the database answered.
async fn extend(shared: &Shared) -> bool {
    let claims = shared.running.claims();
    if claims.is_empty() {
        return true;
    }
    let claim_timeout = shared.settings.claim_timeout;
    let asked_at = Instant::now();
    let session = claims::session(&shared.database, "jobs: heartbeat", claim_timeout / BEATS);
    match claims::extend(&session, &claims, claim_timeout).await {
        Ok(extended) => {
            let until = take::valid_until(asked_at, claim_timeout);
            shared.running.extended(&claims, &extended, until);
            true
        }
        Err(error) => {
            tracing::warn!(error = %error, jobs = claims.len(), "the claims of running jobs cannot be extended; \
                retrying");
            false
        }
    }
}
