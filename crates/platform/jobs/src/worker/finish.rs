//! Marks jobs as done, as many at once as have ended since the last statement.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::Shared;
use crate::claims::{self, Claim};

/// The most that one statement marks.
const BATCH: usize = 64;
/// The pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Marks jobs as done until the future is dropped.
pub(super) async fn run(shared: Arc<Shared>, mut ended: UnboundedReceiver<Claim>) {
    let mut batch = Vec::new();
    while ended.recv_many(&mut batch, BATCH).await > 0 {
        complete(&shared, &mut batch).await;
    }
}

/// Marks the jobs as done, and tries again for as long as their claims are valid: a job that is not marked runs again.
async fn complete(shared: &Shared, batch: &mut Vec<Claim>) {
    let claim_timeout = shared.settings.claim_timeout;
    while !batch.is_empty() {
        let session = claims::session(&shared.database, "jobs: done", claim_timeout);
        match claims::complete(&session, batch).await {
            Ok(_) => batch.drain(..).for_each(|claim| shared.running.remove(claim)),
            Err(error) => {
                tracing::warn!(error = %error, jobs = batch.len(), "jobs cannot be marked as done; retrying");
                tokio::time::sleep(RETRY_PAUSE).await;
                batch.retain(|claim| {
                    let valid = shared.running.is_valid(*claim);
                    if !valid {
                        tracing::warn!(job.id = %claim.job_id, "a job was not marked as done in time: it runs again");
                        shared.running.remove(*claim);
                    }
                    valid
                });
            }
        }
    }
}
