//! Claims: the right of a worker to run a job until a time, which the worker extends while the job runs.
//!
//! Each function is one statement outside a transaction: nothing is held while a job runs. A claim is identified by the
//! job's id and an id of its own, so a worker whose claim has expired and was given to another changes nothing.

use std::time::Duration;

use berth_database::{Database, Error, Session, SessionOptions};
use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use crate::sql::{Dialect, Parameters};

/// The longest text that is kept of an error, in characters.
const LONGEST_ERROR: usize = 1000;

/// The right to run one job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Claim {
    pub(crate) job_id: Uuid,
    pub(crate) claim_id: Uuid,
}

/// A job that was claimed, as it is stored.
#[derive(Clone, Debug, FromQueryResult)]
pub(crate) struct ClaimedJob {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) payload: String,
    pub(crate) attempt: i32,
    pub(crate) max_attempts: i32,
    pub(crate) timeout_ms: i64,
    pub(crate) traceparent: Option<String>,
    claim_id: Uuid,
}

impl ClaimedJob {
    pub(crate) fn claim(&self) -> Claim {
        Claim {
            job_id: self.id,
            claim_id: self.claim_id,
        }
    }
}

/// What a worker asks for.
#[derive(Clone, Debug)]
pub(crate) struct ClaimRequest<'r> {
    /// Chosen by the worker, so that it can release what was claimed if the answer is lost.
    pub(crate) claim_id: Uuid,
    pub(crate) worker: &'r str,
    pub(crate) names: &'r [&'static str],
    pub(crate) queues: &'r [String],
    pub(crate) timeout: Duration,
    pub(crate) limit: usize,
}

/// What becomes of a job whose attempt failed.
#[derive(Clone, Debug)]
pub(crate) enum Failed {
    RetryAfter(Duration),
    Dead,
}

/// Makes a session for lone statements of a worker.
pub(crate) fn session(database: &Database, label: &'static str, deadline: Duration) -> Session {
    let options = SessionOptions::new(label).background().autocommit();
    database.session(options.deadline(deadline))
}

/// Claims jobs that are ready, in the order in which they are to run. Jobs that other workers claim at the same moment are
/// skipped, not waited for.
pub(crate) async fn take(session: &Session, request: &ClaimRequest<'_>) -> Result<Vec<ClaimedJob>, Error> {
    let dialect = Dialect::of(session);
    let mut values = Parameters::default();
    let changes = changes(dialect, request, &mut values);
    let known = format!("name IN ({})", values.add_all(request.names.iter().copied()));
    let filter = match request.queues {
        [] => known,
        queues => format!(
            "{known} AND queue IN ({})",
            values.add_all(queues.iter().cloned())
        ),
    };
    let limit = values.add(i64::try_from(request.limit).unwrap_or(i64::MAX));
    let returning =
        "RETURNING jobs.id, name, payload, attempt, max_attempts, timeout_ms, traceparent, claim_id";
    let sql = if dialect.is_postgres() {
        // A range of the index for each priority: jobs that are to run later are not read. The limit is in a materialized
        // part of its own, because a subquery that is run again for each row would claim more.
        format!(
            "WITH ready AS MATERIALIZED (SELECT one.id FROM (VALUES (0), (1), (2)) AS priorities (priority) \
             CROSS JOIN LATERAL (SELECT id FROM jobs WHERE priority = priorities.priority AND available_at <= now() \
             AND {filter} ORDER BY available_at LIMIT {limit} FOR UPDATE SKIP LOCKED) AS one LIMIT {limit}) \
             UPDATE jobs SET {changes} FROM ready WHERE jobs.id = ready.id {returning}"
        )
    } else {
        format!(
            "UPDATE jobs SET {changes} WHERE id IN (SELECT id FROM jobs WHERE available_at <= {} AND {filter} \
             ORDER BY priority, available_at LIMIT {limit}) {returning}",
            dialect.now()
        )
    };
    let rows = session.query_all_raw(dialect.statement(sql, values.0)).await?;
    let jobs: Result<Vec<ClaimedJob>, _> = rows
        .iter()
        .map(|row| ClaimedJob::from_query_result(row, ""))
        .collect();
    Ok(jobs?)
}

/// What a claim changes in the row. Of an attempt that was never finished, the reason is known: its claim expired.
fn changes(dialect: Dialect, request: &ClaimRequest<'_>, values: &mut Parameters) -> String {
    let timeout = values.add(request.timeout.as_secs_f64());
    format!(
        "last_error = CASE state WHEN 'running' THEN 'the worker stopped, or lost the database, in attempt ' || attempt \
         ELSE last_error END, state = 'running', attempt = attempt + 1, again = false, claim_id = {}, claimed_by = {}, \
         started_at = {}, available_at = {}",
        values.add(request.claim_id),
        values.add(request.worker),
        dialect.now(),
        dialect.after(&timeout),
    )
}

/// Extends claims, and returns the jobs that are still claimed.
pub(crate) async fn extend(
    session: &Session,
    claims: &[Claim],
    timeout: Duration,
) -> Result<Vec<Uuid>, Error> {
    let dialect = Dialect::of(session);
    let mut values = Parameters::default();
    let timeout = values.add(timeout.as_secs_f64());
    let changes = format!("available_at = {}", dialect.after(&timeout));
    change(session, &changes, values, claims).await
}

/// Marks jobs as done, and returns those that were still claimed. A job that was replaced while it ran waits again.
pub(crate) async fn complete(session: &Session, claims: &[Claim]) -> Result<Vec<Uuid>, Error> {
    let now = Dialect::of(session).now();
    let changes = format!(
        "state = CASE WHEN again THEN 'waiting' ELSE 'done' END, available_at = CASE WHEN again THEN {now} END, \
         finished_at = CASE WHEN again THEN NULL ELSE {now} END, attempt = CASE WHEN again THEN 0 ELSE attempt END, \
         claim_id = NULL, last_error = NULL"
    );
    change(session, &changes, Parameters::default(), claims).await
}

/// Notes that an attempt failed. A job that was replaced while it ran waits again, with all its attempts.
pub(crate) async fn fail(session: &Session, claim: Claim, failed: &Failed, error: &str) -> Result<(), Error> {
    let dialect = Dialect::of(session);
    let mut values = Parameters::default();
    let error = values.add(error.chars().take(LONGEST_ERROR).collect::<String>());
    let now = dialect.now();
    let next = match failed {
        Failed::RetryAfter(after) => {
            let seconds = values.add(after.as_secs_f64());
            format!("state = 'waiting', available_at = {}", dialect.after(&seconds))
        }
        Failed::Dead => format!(
            "state = CASE WHEN again THEN 'waiting' ELSE 'dead' END, available_at = CASE WHEN again THEN {now} END, \
             finished_at = CASE WHEN again THEN NULL ELSE {now} END"
        ),
    };
    let changes = format!(
        "{next}, attempt = CASE WHEN again THEN 0 ELSE attempt END, claim_id = NULL, last_error = {error}"
    );
    change(session, &changes, values, &[claim]).await.map(drop)
}

/// Releases claims without counting the attempt: other workers may take the jobs at once.
pub(crate) async fn release(session: &Session, claims: &[Claim]) -> Result<(), Error> {
    let changes = format!("{}, claim_id = NULL", released(session));
    change(session, &changes, Parameters::default(), claims)
        .await
        .map(drop)
}

/// Releases whatever a statement claimed whose answer was lost.
pub(crate) async fn release_unanswered(session: &Session, claim_id: Uuid) -> Result<(), Error> {
    let sql = format!(
        "UPDATE jobs SET {}, claim_id = NULL WHERE claim_id = $1 AND available_at IS NOT NULL",
        released(session)
    );
    let statement = Dialect::of(session).statement(sql, [claim_id.into()]);
    session.execute_raw(statement).await?;
    Ok(())
}

fn released(session: &Session) -> String {
    let now = Dialect::of(session).now();
    format!("state = 'waiting', attempt = attempt - 1, available_at = {now}")
}

/// Changes the jobs whose claims are still valid, and returns their ids.
async fn change(
    session: &Session,
    changes: &str,
    mut values: Parameters,
    claims: &[Claim],
) -> Result<Vec<Uuid>, Error> {
    let rows = values.add_claims(claims);
    let sql = format!(
        "UPDATE jobs SET {changes} WHERE (id, claim_id) IN (VALUES {rows}) AND state = 'running' RETURNING id"
    );
    let statement = Dialect::of(session).statement(sql, values.0);
    let rows = session.query_all_raw(statement).await?;
    let ids: Result<Vec<Uuid>, _> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
    Ok(ids?)
}
