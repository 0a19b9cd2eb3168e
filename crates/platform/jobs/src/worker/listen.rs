//! Wakes the worker when another process enqueues a job.

use std::sync::Arc;

use berth_database::Notice;

use super::Shared;
use crate::queue::CHANNEL;

/// Wakes the worker until the future is dropped, or the database is closed. While nothing can listen, the worker finds
/// jobs by polling alone.
///
/// Slot cost: the listener's, which it shares with every other subscription of the process.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut announced = shared.database.subscribe(CHANNEL);
    while let Some(notice) = announced.next().await {
        match notice {
            Notice::Notification(_) | Notice::Resynchronise => shared.jobs.wake(),
            Notice::Unavailable => {}
        }
    }
}
