//! Claims jobs that are ready and starts them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_database::Error;
use berth_service::new_id;
use tokio::sync::OwnedSemaphorePermit;

use super::{Shared, run};
use crate::claims::{self, ClaimRequest, ClaimedJob};

/// The pause after a look that found nothing; each later one is twice as long, up to `jobs.poll_interval`.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Claims and starts jobs until the worker stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let names = shared.registry.names();
    let mut pause = SHORTEST_PAUSE;
    let mut stopping = shared.stopping.subscribe();
    loop {
        let places = tokio::select! {
            places = free_places(&shared) => places,
            _ = stopping.wait_for(Option::is_some) => return,
        };
        let asked = places.len();
        // Not cancelled by the stop: what a statement claims that nothing reads would wait until the claim expires.
        let found = match claim(&shared, &names, asked).await {
            Ok((jobs, until)) => start(&shared, jobs, places, until).await,
            Err(error) => {
                tracing::warn!(error = %error, "jobs cannot be read; retrying");
                drop(places);
                0
            }
        };
        if found == asked {
            pause = SHORTEST_PAUSE;
            continue;
        }
        pause = match found {
            0 => (pause * 2).min(shared.settings.poll_interval),
            _ => SHORTEST_PAUSE.min(shared.settings.poll_interval),
        };
        tokio::select! {
            () = shared.jobs.woken() => pause = SHORTEST_PAUSE,
            () = tokio::time::sleep(pause) => {}
            _ = stopping.wait_for(Option::is_some) => return,
        }
    }
}

/// Waits for one free place and takes the others that are free.
async fn free_places(shared: &Shared) -> Vec<OwnedSemaphorePermit> {
    // The semaphore is never closed.
    let Ok(first) = shared.places.clone().acquire_owned().await else {
        return std::future::pending().await;
    };
    let mut places = vec![first];
    while let Ok(place) = shared.places.clone().try_acquire_owned() {
        places.push(place);
    }
    places
}

/// Claims jobs, and returns them with the time until which this worker may run them.
async fn claim(
    shared: &Shared,
    names: &[&'static str],
    limit: usize,
) -> Result<(Vec<ClaimedJob>, Instant), Error> {
    let settings = &shared.settings;
    let request = ClaimRequest {
        claim_id: new_id(),
        worker: &shared.name,
        names,
        queues: &settings.queues,
        timeout: settings.claim_timeout,
        limit,
    };
    let asked_at = Instant::now();
    let session = claims::session(&shared.database, "jobs: claim", settings.claim_timeout);
    match claims::take(&session, &request).await {
        Ok(jobs) => Ok((jobs, valid_until(asked_at, settings.claim_timeout))),
        Err(error) => {
            // The statement may have run: its jobs would wait until the claims expire.
            let session = claims::session(&shared.database, "jobs: release", settings.claim_timeout);
            claims::release_unanswered(&session, request.claim_id).await?;
            Err(error)
        }
    }
}

/// The end of a claim as this worker counts it: earlier than the database does, so that an attempt has ended before another
/// worker takes the job.
pub(super) fn valid_until(asked_at: Instant, claim_timeout: Duration) -> Instant {
    asked_at + claim_timeout - claim_timeout / 10
}

/// Starts each job in one of the places, and returns how many there were. Where the worker stops, it releases them.
async fn start(
    shared: &Arc<Shared>,
    jobs: Vec<ClaimedJob>,
    places: Vec<OwnedSemaphorePermit>,
    until: Instant,
) -> usize {
    if shared.is_stopping() {
        let claims: Vec<_> = jobs.iter().map(ClaimedJob::claim).collect();
        shared.release(&claims).await;
        return 0;
    }
    let found = jobs.len();
    for (job, place) in jobs.into_iter().zip(places) {
        run::start(shared, job, place, until);
    }
    found
}
