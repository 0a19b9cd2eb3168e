//! Checks that all migrations of this release are applied.

use crate::Finding;

/// Reports the pending migrations.
pub(crate) fn finding(pending: Result<Vec<String>, String>) -> Finding {
    match pending.as_deref() {
        Ok([]) => Finding::pass("migrations", "all migrations are applied"),
        Ok(pending) => Finding::fail(
            "migrations",
            format!("pending: {}", pending.join(", ")),
            "run `make migrate` before this release starts; in its image, `migration up`",
        ),
        Err(error) => Finding::warn(
            "migrations",
            format!("unknown: {error}"),
            "run `make migrate ARGS=status` with a DATABASE_URL that is not a transaction pooler's",
        ),
    }
}
