//! What is seen of the queue: how many jobs are in which state, what runs here, what was done here.

use std::sync::Arc;
use std::time::Duration;

use berth_database::{Database, Error, Session, SessionOptions};
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde::Serialize;

use crate::sql::Dialect;
use crate::worker::Shared;
use crate::{JobStats, RunningJob};

/// The least time between two counts of the queue.
const INTERVAL: Duration = Duration::from_secs(15);
/// The longest that a count takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the worker of this process knows; it costs no statement.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The attempts that run at the moment.
    pub running: Vec<RunningJob>,
    /// What was done since the start, by job name.
    pub stats: Vec<(&'static str, JobStats)>,
    /// The queue, as it was counted last.
    pub depth: Option<Depth>,
}

/// How many jobs are in which state, in the whole queue.
#[derive(Clone, Copy, Debug, Default, FromQueryResult, Serialize)]
pub struct Depth {
    /// Jobs that a worker may take.
    pub ready: i64,
    /// Jobs whose time has not come.
    pub scheduled: i64,
    /// Jobs that run.
    pub running: i64,
    /// Jobs that are not tried again.
    pub dead: i64,
    /// How long the oldest ready job has been ready, in seconds.
    pub oldest_ready_seconds: f64,
}

impl Depth {
    /// Counts the queue.
    ///
    /// Slot cost: one statement, which reads the index entries of the jobs that wait or run, and of the dead ones.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn of(session: &Session) -> Result<Self, Error> {
        let dialect = Dialect::of(session);
        let now = dialect.now();
        let oldest = dialect.seconds_since("min(CASE state WHEN 'waiting' THEN available_at END)");
        let sql = format!(
            "SELECT count(CASE WHEN state = 'waiting' AND available_at <= {now} THEN 1 END) AS ready, \
             count(CASE WHEN state = 'waiting' AND available_at > {now} THEN 1 END) AS scheduled, \
             count(CASE state WHEN 'running' THEN 1 END) AS running, \
             (SELECT count(*) FROM jobs WHERE state = 'dead' AND available_at IS NULL) AS dead, \
             coalesce({oldest}, 0.0) AS oldest_ready_seconds FROM jobs WHERE available_at IS NOT NULL"
        );
        let row = session.query_one_raw(dialect.statement(sql, [])).await?;
        let row = row.ok_or(Error::NotFound)?;
        let depth = Self::from_query_result(&row, "")?;
        Ok(Self {
            oldest_ready_seconds: depth.oldest_ready_seconds.max(0.0),
            ..depth
        })
    }
}

/// Counts the queue while its numbers are asked for, until the future is dropped.
pub(crate) async fn watch(shared: Arc<Shared>) {
    loop {
        shared.jobs.depth_asked().await;
        match count(&shared.database).await {
            Ok(depth) => shared.jobs.set_depth(depth),
            Err(error) => tracing::debug!(error = %error, "the queue cannot be counted"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn count(database: &Database) -> Result<Depth, Error> {
    let options = SessionOptions::new("jobs: count").background().autocommit_reads();
    Depth::of(&database.session(options.deadline(TIMEOUT))).await
}
