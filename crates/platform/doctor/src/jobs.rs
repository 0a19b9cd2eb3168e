//! Finds jobs that are dead: no worker tries them again.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use crate::Finding;
use crate::run::or_unknown;

/// Counts the dead jobs, by kind. A service without the table of jobs has none.
pub(crate) async fn finding(connection: &mut PgConnection) -> Finding {
    let dead = dead(connection).await;
    or_unknown(
        "jobs",
        dead.map(|dead| match dead.is_empty() {
            true => Finding::pass("jobs", "no job is dead"),
            false => Finding::warn(
                "jobs",
                format!("dead: {}", dead.join(", ")),
                "read why with `api jobs list --state dead`, then run `api jobs retry` or `api jobs discard`",
            ),
        }),
    )
}

async fn dead(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let exists = "SELECT to_regclass('job_schedules') IS NOT NULL";
    let exists: bool = sqlx::raw_sql(exists)
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if !exists {
        return Ok(Vec::new());
    }
    let sql = "SELECT count(*) || ' of ' || name FROM jobs WHERE state = 'dead' AND available_at IS NULL \
               GROUP BY name ORDER BY name";
    let rows = sqlx::raw_sql(sql).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
