//! A handle that reads the pool's numbers and cannot run SQL.

use std::sync::Arc;
use std::time::Duration;

use crate::clients::{self, DatabaseClient};
use crate::pool::Pool;
use crate::pool::status::{Holder, Status};
use crate::settings::Settings;
use crate::stats::statement_stats::StatementTimings;

/// Reads the pool's numbers; makes no session.
///
/// For code that may see the pool and not use it, such as request handlers. Slot cost: none, but for
/// [`StatusHandle::clients`].
#[derive(Clone, Debug)]
pub struct StatusHandle {
    pub(crate) pool: Arc<Pool>,
}

impl StatusHandle {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    /// Returns one consistent snapshot; uses no slot and does not wait.
    pub fn status(&self) -> Status {
        self.pool.status()
    }

    /// Returns a snapshot and the sessions that hold a connection in it, of the same moment.
    pub fn snapshot(&self) -> (Status, Vec<Holder>) {
        self.pool.snapshot()
    }

    /// Returns the sessions that hold a connection at the moment.
    pub fn holders(&self) -> Vec<Holder> {
        self.pool.holders()
    }

    /// Returns how long statements took so far, by operation and table; some two hundred entries at most.
    pub fn statements(&self) -> Vec<StatementTimings> {
        self.pool.statements.all()
    }

    /// Returns the clients of the same database, by name.
    ///
    /// Slot cost: one lease as background work, and only where no caller waits for it. Returns none where there is no such
    /// connection, no answer within the time, or no such server.
    pub async fn clients(&self, within: Duration) -> Option<Vec<DatabaseClient>> {
        clients::query(&self.pool, within).await
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> &Settings {
        &self.pool.settings
    }

    /// Returns the name of this instance in the server's activity view, where it has one.
    pub fn instance(&self) -> Option<&str> {
        self.pool.instance()
    }
}
