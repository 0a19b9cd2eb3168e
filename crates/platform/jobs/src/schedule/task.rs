//! The task that makes the jobs of the schedule.

use std::time::Duration;

use berth_database::{Database, Error, Outcome, Session, SessionOptions};
use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult};

use super::{Due, Scheduled};
use crate::options::OnConflict;
use crate::queue::{Jobs, NewJob};
use crate::sql::{Dialect, Parameters};

/// The longest pause between two looks: another instance may have moved a schedule forward.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The longest that one look takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the jobs of the schedule until the future is dropped.
///
/// Slot cost: one statement for each occurrence and one each hour, and a transaction for each job, in the background lane.
pub(crate) async fn run(database: Database, jobs: Jobs, schedules: Vec<Scheduled>) {
    if schedules.is_empty() {
        return;
    }
    let mut is_known = false;
    loop {
        let pause = look(&database, &jobs, &schedules, &mut is_known).await;
        let pause = pause.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "the schedule cannot be read; retrying");
            RETRY_PAUSE
        });
        tokio::time::sleep(pause).await;
    }
}

/// Makes what is due, and returns the time until the next occurrence.
async fn look(
    database: &Database,
    jobs: &Jobs,
    schedules: &[Scheduled],
    is_known: &mut bool,
) -> Result<Duration, Error> {
    if !*is_known {
        begin(database, schedules).await?;
        *is_known = true;
    }
    let mut pause = LONGEST_PAUSE;
    let last_ones = last_occurrences(database).await?;
    for scheduled in schedules {
        let name = scheduled.schedule.name;
        let last = last_ones.iter().find(|row| row.name == name);
        // The row was deleted.
        let Some((last, now)) = last.map(|row| (row.last_at, row.now)) else {
            *is_known = false;
            return Ok(Duration::ZERO);
        };
        let last = make_due(database, jobs, scheduled, (last, now)).await?;
        if let Some(next) = scheduled.schedule.next(last) {
            pause = pause.min((next - now).to_std().unwrap_or_default());
        }
    }
    // Not before it, by the rounding of either clock.
    Ok(pause + Duration::from_millis(2))
}

/// Makes the occurrences of one schedule that are due, in one transaction. Returns the time of the last one.
async fn make_due(
    database: &Database,
    jobs: &Jobs,
    scheduled: &Scheduled,
    (mut last, now): (DateTime<Utc>, DateTime<Utc>),
) -> Result<DateTime<Utc>, Error> {
    let session = session(database);
    while let Some(due) = scheduled.schedule.due(last, now) {
        last = make(&session, jobs, scheduled, due).await?;
    }
    session.end(Outcome::Commit).await?;
    Ok(last)
}

/// Moves a schedule forward, and stores the job with it. Does nothing where another instance was first. Returns the time
/// of the occurrence.
async fn make(
    session: &Session,
    jobs: &Jobs,
    scheduled: &Scheduled,
    due: Due,
) -> Result<DateTime<Utc>, Error> {
    let (Due::Run(at) | Due::Skip(at)) = due;
    let name = scheduled.schedule.name;
    let sql = "UPDATE job_schedules SET last_at = $1 WHERE name = $2 AND last_at < $1";
    let statement = Dialect::of(session).statement(sql.to_owned(), [at.into(), name.into()]);
    let is_first = session.execute_raw(statement).await?.rows_affected() == 1;
    match (due, is_first) {
        (Due::Run(_), true) => {
            let key = format!("{name} {}", at.to_rfc3339_opts(SecondsFormat::Secs, true));
            let new = NewJob {
                name: scheduled.job,
                payload: scheduled.payload.clone(),
                options: scheduled.options.clone().unique(key, OnConflict::Keep),
            };
            jobs.insert(session, new).await?;
        }
        (Due::Skip(_), true) => tracing::warn!(schedule = name, at = %at, "missed occurrences were skipped"),
        (_, false) => {}
    }
    Ok(at)
}

/// Notes the present time as the last occurrence of schedules that are new.
async fn begin(database: &Database, schedules: &[Scheduled]) -> Result<(), Error> {
    let session = session(database);
    let dialect = Dialect::of(&session);
    let mut values = Parameters::default();
    let rows: Vec<String> = schedules
        .iter()
        .map(|scheduled| format!("({}, {})", values.add(scheduled.schedule.name), dialect.now()))
        .collect();
    let sql = format!(
        "INSERT INTO job_schedules (name, last_at) VALUES {} ON CONFLICT (name) DO NOTHING",
        rows.join(", ")
    );
    session.execute_raw(dialect.statement(sql, values.0)).await?;
    session.end(Outcome::Commit).await
}

#[derive(FromQueryResult)]
struct LastOccurrence {
    name: String,
    last_at: DateTime<Utc>,
    now: DateTime<Utc>,
}

/// Returns the last occurrence of each schedule, and the database's time.
async fn last_occurrences(database: &Database) -> Result<Vec<LastOccurrence>, Error> {
    let options = SessionOptions::new("job schedule")
        .background()
        .autocommit_reads();
    let session = database.session(options.deadline(TIMEOUT));
    let dialect = Dialect::of(&session);
    let sql = format!(
        "SELECT name, last_at, {} AS now FROM job_schedules",
        dialect.now()
    );
    let rows = session.query_all_raw(dialect.statement(sql, [])).await?;
    let rows: Result<Vec<LastOccurrence>, _> = rows
        .iter()
        .map(|row| LastOccurrence::from_query_result(row, ""))
        .collect();
    Ok(rows?)
}

fn session(database: &Database) -> Session {
    let options = SessionOptions::new("job schedule").background();
    database.session(options.deadline(TIMEOUT))
}
