//! Whether the schema is the one that this release was written for.

use std::time::Duration;

use super::Finding;

/// Asks the migrations' own books.
pub(super) async fn finding(settings: &berth_database::Settings) -> Finding {
    let mut run = migration::Settings::from(settings);
    // The doctor looks; whoever migrates may wait.
    (run.wait, run.reach) = (Duration::from_secs(5), Duration::from_secs(5));
    match migration::status(&run).await {
        Ok(entries) => {
            let pending = entries.into_iter().filter(|entry| !entry.applied);
            judge(&pending.map(|entry| entry.name).collect::<Vec<_>>())
        }
        Err(error @ migration::Error::TransactionPooler { .. }) => Finding::warn(
            "migrations",
            error.to_string(),
            "give the migrations' command a DATABASE_URL of its own",
        ),
        Err(error) => Finding::warn("migrations", format!("not found out: {error}"), "look again"),
    }
}

pub(super) fn judge(pending: &[String]) -> Finding {
    match pending {
        [] => Finding::pass("migrations", "all are applied"),
        pending => Finding::fail(
            "migrations",
            format!("pending: {}", pending.join(", ")),
            "run `migration up` before this release serves",
        ),
    }
}
