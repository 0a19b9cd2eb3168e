//! Finds indexes that a failed CREATE INDEX CONCURRENTLY left behind.

use sqlx::Row;

use crate::backoff::Backoff;
use crate::connection::Target;
use crate::{Error, Settings, lock, pooler};

/// The invalid indexes that no statement is building now.
const SQL: &str = "select indexrelid::regclass::text from pg_index where not indisvalid \
                   and not exists (select from pg_stat_progress_create_index where index_relid = indexrelid) \
                   order by 1";

/// Names the indexes that PostgreSQL keeps up to date and never reads.
///
/// `CREATE INDEX CONCURRENTLY IF NOT EXISTS` passes over such an index; it must be dropped, or rebuilt with
/// `REINDEX INDEX CONCURRENTLY`. Uses one connection; on SQLite none, and the list is empty.
///
/// # Errors
///
/// As [`status`](crate::status).
pub async fn invalid_indexes(settings: &Settings) -> Result<Vec<String>, Error> {
    let Target::Postgres(options) = Target::of(settings).map_err(Error::Connect)? else {
        return Ok(Vec::new());
    };
    pooler::refuse_by_settings(&options, settings)?;
    let session = lock::reach(&options, settings, &mut Backoff::new()).await?;
    let rows = sqlx::raw_sql(SQL).fetch_all(&session.pool).await;
    session.pool.close().await;
    let rows = rows.map_err(Error::Connect)?;
    let names = rows.iter().map(|row| row.try_get(0));
    names.collect::<Result<_, _>>().map_err(Error::Connect)
}
