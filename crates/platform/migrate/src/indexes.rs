//! Finds indexes that a failed CREATE INDEX CONCURRENTLY left behind.

use berth_database::diagnostics;

use crate::backoff::Backoff;
use crate::connection::Postgres;
use crate::{Error, Settings};

/// Names the invalid indexes, which PostgreSQL updates with each write and never reads.
///
/// `CREATE INDEX CONCURRENTLY IF NOT EXISTS` skips such an index, so drop it, or rebuild it with
/// `REINDEX INDEX CONCURRENTLY`. Uses one connection. On SQLite the list is empty.
///
/// # Errors
///
/// As [`status`](crate::status).
pub async fn invalid_indexes(settings: &Settings) -> Result<Vec<String>, Error> {
    if !settings.database.url.is_postgres() {
        return Ok(Vec::new());
    }
    let session = Postgres::reach(settings, &mut Backoff::new()).await?;
    let names = async { diagnostics::invalid_indexes(&mut *session.pool.acquire().await?).await }.await;
    session.pool.close().await;
    names.map_err(Error::Connect)
}
