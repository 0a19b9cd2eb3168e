//! What operators do with stored jobs: list, show, retry, discard.

use berth_database::{Error, Session};
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use serde::Serialize;
use uuid::Uuid;

use crate::sql::{Dialect, Parameters};

const COLUMNS: &str = "id, name, queue, state, attempt, max_attempts, unique_key, available_at, claimed_by, started_at, \
    finished_at, last_error, created_at";

/// A job as it is stored, without its content.
#[derive(Clone, Debug, FromQueryResult, Serialize)]
pub struct StoredJob {
    /// The job's id.
    pub id: Uuid,
    /// The name of its kind.
    pub name: String,
    /// The queue.
    pub queue: String,
    /// `waiting`, `running`, `done` or `dead`.
    pub state: String,
    /// Attempts begun.
    pub attempt: i32,
    /// Attempts after which it is dead.
    pub max_attempts: i32,
    /// The unique key, if it has one.
    pub unique_key: Option<String>,
    /// From when a worker may take it; while it runs, the end of its claim.
    pub available_at: Option<DateTime<Utc>>,
    /// The worker that had it last.
    pub claimed_by: Option<String>,
    /// When the last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was done or dead.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
}

/// Which jobs are meant.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// One job.
    pub id: Option<Uuid>,
    /// Those in this state.
    pub state: Option<String>,
    /// Those of this kind.
    pub name: Option<String>,
}

impl JobFilter {
    fn condition(&self, values: &mut Parameters) -> String {
        let mut parts = vec!["true".to_owned()];
        let wanted = [
            ("id", self.id.map(Value::from)),
            ("state", self.state.clone().map(Value::from)),
            ("name", self.name.clone().map(Value::from)),
        ];
        for (column, value) in wanted {
            if let Some(value) = value {
                parts.push(format!("{column} = {}", values.add(value)));
            }
        }
        parts.join(" AND ")
    }
}

/// Lists jobs, the newest first.
///
/// # Errors
///
/// The database's.
pub async fn list(session: &Session, filter: &JobFilter, limit: u32) -> Result<Vec<StoredJob>, Error> {
    let dialect = Dialect::of(session);
    let mut values = Parameters::default();
    let condition = filter.condition(&mut values);
    let sql = format!("SELECT {COLUMNS} FROM jobs WHERE {condition} ORDER BY id DESC LIMIT {limit}");
    let rows = session.query_all_raw(dialect.statement(sql, values.0)).await?;
    let jobs: Result<Vec<StoredJob>, _> = rows
        .iter()
        .map(|row| StoredJob::from_query_result(row, ""))
        .collect();
    Ok(jobs?)
}

/// Returns the content of a job, which may be personal.
///
/// # Errors
///
/// [`Error::NotFound`] for an unknown id, and the database's.
pub async fn payload(session: &Session, id: Uuid) -> Result<String, Error> {
    let sql = "SELECT payload FROM jobs WHERE id = $1".to_owned();
    let row = session
        .query_one_raw(Dialect::of(session).statement(sql, [id.into()]))
        .await?;
    Ok(row.ok_or(Error::NotFound)?.try_get_by_index(0)?)
}

/// Lets jobs that are dead, or wait for another attempt, run at once with all their attempts. Returns how many.
///
/// # Errors
///
/// The database's; [`Error::UniqueViolation`] where another job with the same unique key waits or runs.
pub async fn retry(session: &Session, filter: &JobFilter) -> Result<u64, Error> {
    let dialect = Dialect::of(session);
    let mut values = Parameters::default();
    let condition = filter.condition(&mut values);
    let sql = format!(
        "UPDATE jobs SET state = 'waiting', attempt = 0, available_at = {}, finished_at = NULL \
         WHERE {condition} AND state IN ('dead', 'waiting')",
        dialect.now()
    );
    let changed = session.execute_raw(dialect.statement(sql, values.0)).await?;
    Ok(changed.rows_affected())
}

/// Deletes jobs that do not run. Returns how many.
///
/// # Errors
///
/// The database's.
pub async fn discard(session: &Session, filter: &JobFilter) -> Result<u64, Error> {
    let mut values = Parameters::default();
    let condition = filter.condition(&mut values);
    let sql = format!("DELETE FROM jobs WHERE {condition} AND state <> 'running'");
    let deleted = session
        .execute_raw(Dialect::of(session).statement(sql, values.0))
        .await?;
    Ok(deleted.rows_affected())
}

/// Deletes jobs that were done before this many seconds ago. Returns how many.
pub(crate) async fn forget_done(session: &Session, keep_seconds: f64) -> Result<u64, Error> {
    let dialect = Dialect::of(session);
    let sql = format!(
        "DELETE FROM jobs WHERE state = 'done' AND available_at IS NULL AND finished_at < {}",
        dialect.after("$1")
    );
    let deleted = session
        .execute_raw(dialect.statement(sql, [(-keep_seconds).into()]))
        .await?;
    Ok(deleted.rows_affected())
}
