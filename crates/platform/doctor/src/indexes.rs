//! Finds indexes that a failed `CREATE INDEX CONCURRENTLY` left behind.

use berth_database::diagnostics::invalid_indexes;
use sqlx::postgres::PgConnection;

use crate::Finding;
use crate::run::or_unknown;

/// Names the invalid indexes, which slow down writes and are not used by queries.
pub(crate) async fn finding(connection: &mut PgConnection) -> Finding {
    let names = invalid_indexes(connection).await;
    or_unknown(
        "indexes",
        names.map(|names| match names.is_empty() {
            true => Finding::pass("indexes", "all indexes are valid"),
            false => Finding::warn(
                "indexes",
                format!("invalid: {}", names.join(", ")),
                "drop it, or rebuild it with REINDEX INDEX CONCURRENTLY",
            ),
        }),
    )
}
