//! Readiness: whether the process should receive requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_database::{Database, Outage, Status};
use serde::Serialize;

use crate::startup::Schema;

/// Evidence older than this is refreshed by the next probe. A connection that was idle for longer than
/// `database.validate_after_idle` (30 s) is validated before it counts as evidence.
const STALE: Duration = Duration::from_secs(35);
/// The longest that refreshing may take; no request waits for it.
const PROBE: Duration = Duration::from_secs(5);

/// Whether this process should receive requests, judged by recent use of the database.
///
/// A probe leases nothing and does not wait. A saturated pool alone does not make the process unready: the other
/// instances would only get more load.
#[derive(Clone, Debug)]
pub struct Readiness {
    database: Database,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    stopping: AtomicBool,
    schema: Mutex<Schema>,
    probing: AtomicBool,
}

/// Why not.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NotReady {
    ShuttingDown,
    MigrationsPending,
    NeverConnected,
    Unreachable,
    Permanent,
    Banned,
}

impl Readiness {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            state: Arc::default(),
        }
    }

    /// From now on this process is not ready, however well it does.
    pub(crate) fn stop(&self) {
        self.state.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn note_schema(&self, schema: Schema) {
        *self.schema_lock() = schema;
    }

    pub(crate) fn schema(&self) -> Schema {
        *self.schema_lock()
    }

    fn schema_lock(&self) -> MutexGuard<'_, Schema> {
        self.state.schema.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps it from being ready, if anything does.
    pub(crate) fn check(&self, status: &Status) -> Option<NotReady> {
        if self.state.stopping.load(Ordering::Relaxed) || status.draining {
            return Some(NotReady::ShuttingDown);
        }
        if let Some(trouble) = evidence(status) {
            return Some(trouble);
        }
        (self.schema() == Schema::Pending).then_some(NotReady::MigrationsPending)
    }

    /// Sees to it that the next one who asks finds fresh evidence. A process without requests has none.
    pub(crate) fn refresh(&self, status: &Status) {
        let stale = status.last_success.is_none_or(|age| age > STALE);
        if !stale || status.waiting > 0 || self.state.probing.swap(true, Ordering::Relaxed) {
            return;
        }
        let (database, state) = (self.database.clone(), self.state.clone());
        tokio::spawn(async move {
            // What comes of it stands in the next status.
            let _ = database.ready(PROBE).await;
            state.probing.store(false, Ordering::Relaxed);
        });
    }
}

/// One failed connection attempt is not a reason yet: callers wait through the breaker's grace.
fn evidence(status: &Status) -> Option<NotReady> {
    let connected = status.slots.idle + status.slots.leased > 0;
    // Between two attempts that failed permanently the breaker is closed, and the error persists.
    let failing = || {
        status
            .last_connect_error
            .filter(|_| !connected)
            .map(berth_database::Reason::outage)
    };
    let lasting = || failing().filter(|verdict| *verdict != Outage::Unreachable);
    match status.breaker.or_else(lasting) {
        Some(Outage::Unreachable) => Some(NotReady::Unreachable),
        Some(Outage::Permanent) => Some(NotReady::Permanent),
        Some(Outage::Banned) => Some(NotReady::Banned),
        None => status.last_success.is_none().then_some(NotReady::NeverConnected),
    }
}

#[cfg(test)]
mod tests {
    use berth_database::Reason;

    use super::super::idle_pool;
    use super::*;

    #[tokio::test]
    async fn a_wrong_password_stays_an_error_between_two_attempts() {
        let mut status = idle_pool();
        status.last_success = Some(Duration::from_secs(1));
        status.last_connect_error = Some(Reason::Credentials);
        assert_eq!(evidence(&status), Some(NotReady::Permanent));
        status.slots.idle = 1;
        assert_eq!(evidence(&status), None, "what is open still serves");
        (status.slots.idle, status.last_connect_error) = (0, Some(Reason::NoAnswer));
        assert_eq!(evidence(&status), None, "callers wait through the grace");
    }
}
