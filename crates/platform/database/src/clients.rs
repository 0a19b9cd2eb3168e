//! Clients of the same database, for status pages.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};
use serde::Serialize;

use crate::pool::Pool;
use crate::session::{Session, SessionOptions};

/// The server's own view. Of other roles' sessions it hides the state, not the name.
/// It calls only functions that are known to be harmless, so that it runs outside a transaction.
const SQL: &str = "SELECT coalesce(application_name, '') AS name, count(*) AS connections, \
    count(*) FILTER (WHERE state = 'active') AS active FROM pg_catalog.pg_stat_activity \
    WHERE datid = (SELECT datid FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()) AND coalesce(backend_type, 'client backend') = 'client backend' \
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100";

/// Connections of one name in the server's activity view: an instance, a migration, psql.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct DatabaseClient {
    /// Its `application_name`; instances of this program are called `<app>/<instance>`.
    pub name: String,
    /// How many connections it has to this database.
    pub connections: i64,
    /// How many of them run a statement, as far as this role may see.
    pub active: i64,
    /// Whether it is this process.
    pub here: bool,
}

/// Queries the server, unless a caller would wait for the connection.
pub(crate) async fn query(pool: &Arc<Pool>, within: Duration) -> Option<Vec<DatabaseClient>> {
    let status = pool.status();
    let quiet = status.waiting == 0 && status.breaker.is_none();
    let room =
        status.slots.idle > 0 || (status.last_connect_error.is_none() && status.slots.total() < status.share);
    if !pool.settings.url.is_postgres() || !quiet || !room || status.draining {
        return None;
    }
    let options = SessionOptions::new("who shares the limit")
        .background()
        .autocommit_reads();
    let session = Session::new(pool.clone(), options.deadline(within));
    let rows = session
        .query_all_raw(Statement::from_string(DbBackend::Postgres, SQL))
        .await
        .ok()?;
    let here = pool.instance();
    rows.iter()
        .map(|row| client(row, here))
        .collect::<Result<_, _>>()
        .ok()
}

fn client(row: &QueryResult, here: Option<&str>) -> Result<DatabaseClient, DbErr> {
    let name: String = row.try_get("", "name")?;
    Ok(DatabaseClient {
        here: here == Some(name.as_str()),
        connections: row.try_get("", "connections")?,
        active: row.try_get("", "active")?,
        name,
    })
}
