use std::time::Duration;

use berth_database::{Database, SessionOptions};

use super::readiness::Health;

/// How often pending migrations are looked for, once some were.
const EVERY: Duration = Duration::from_secs(5);
/// How long one look may take, its wait for a connection included.
const WITHIN: Duration = Duration::from_secs(10);

/// The longest that serving is put off for the first look; a database that is busier is looked at meanwhile.
const FIRST: Duration = Duration::from_secs(1);

/// Looks once before anything is served, so that a healthy process is ready from its first request on.
pub(super) async fn first_look(database: &Database, health: &Health) {
    let pending = tokio::time::timeout(FIRST, is_pending(database)).await;
    health.set_pending(pending.unwrap_or(true));
}

/// Keeps the process from being ready until the schema has what this binary needs.
///
/// Once nothing is pending nothing ever will be: another binary would have to bring a migration along. Behind a
/// saturated share a look waits in the background lane, and the process stays unready.
pub(super) async fn watch(database: Database, health: Health) {
    while health.is_pending() {
        tokio::time::sleep(EVERY).await;
        health.set_pending(is_pending(&database).await);
    }
}

async fn is_pending(database: &Database) -> bool {
    let options = SessionOptions::new("pending migrations")
        .background()
        .autocommit_reads();
    let session = database.session(options.deadline(WITHIN));
    match migration::pending(&session).await {
        Ok(pending) => !pending.is_empty(),
        Err(error) => {
            tracing::debug!(error = %error, "the database does not tell which migrations it has");
            true
        }
    }
}
