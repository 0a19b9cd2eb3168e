//! Whether named prepared statements outlive their transaction.

use berth_database::{PoolerMode, Settings};
use sqlx::postgres::PgConnection;

use crate::Finding;
use crate::pooler::Found;

/// One text, so that the driver finds the statement again by its name.
const STATEMENT: &str = "SELECT $1::int AS doctor";

/// Makes a named statement, as the driver does for every statement with parameters.
pub(crate) async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    execute(connection).await
}

/// Uses it, perhaps on a backend that does not know it.
pub(crate) async fn execute(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(STATEMENT).bind(1).execute(connection).await.map(drop)
}

/// Removes the name from a backend that another client is going to use.
pub(crate) async fn forget(connection: &mut PgConnection) {
    // Where this fails the statement was not there.
    let _unknown = sqlx::raw_sql("DEALLOCATE ALL").execute(connection).await;
}

/// Says what the experiment showed.
pub(crate) fn finding(settings: &Settings, found: Found) -> Finding {
    let unnamed = settings.pooler_mode() == PoolerMode::Transaction;
    match found.prepared {
        Some(true) => Finding::pass("prepared", "named statements outlive their transaction"),
        Some(false) if unnamed => Finding::pass(
            "prepared",
            "named statements end with their transaction; none are used with these settings",
        ),
        Some(false) => Finding::fail(
            "prepared",
            "a named statement was gone in the next transaction: statements with parameters would fail",
            "use the session pooler's port (Supabase: 5432), or set DB_POOLER=transaction",
        ),
        None => Finding::warn(
            "prepared",
            "unknown: no second connection was free for the experiment",
            "run the doctor again when the service has no load",
        ),
    }
}
