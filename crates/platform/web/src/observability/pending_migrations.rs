//! Keeps the process unready while migrations are pending.

use std::time::Duration;

use berth_database::{Database, SessionOptions};

use super::readiness::Readiness;
use crate::startup::{Migrations, Schema};

/// The interval between checks, once migrations were pending.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest that one check may take, its wait for a connection included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that serving waits for the first check; a busier database is checked while the process serves.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

/// Checks once before anything is served, so that a healthy process is ready from its first request on. Where the start
/// has checked, that counts.
pub(super) async fn first_check(database: &Database, migrations: Migrations, readiness: &Readiness) {
    if readiness.schema() == Schema::Unknown {
        let schema = tokio::time::timeout(FIRST_TIMEOUT, schema(database, migrations)).await;
        readiness.note_schema(schema.unwrap_or(Schema::Pending));
    }
}

/// Checks until the schema has what this binary needs.
///
/// Then it ends: only another binary brings another migration. While every connection is in use a check waits in the
/// background lane, and the process stays unready.
pub(super) async fn watch(database: Database, migrations: Migrations, readiness: Readiness) {
    while readiness.schema() != Schema::Current {
        tokio::time::sleep(INTERVAL).await;
        readiness.note_schema(schema(&database, migrations).await);
    }
}

async fn schema(database: &Database, migrations: Migrations) -> Schema {
    let options = SessionOptions::new("pending migrations")
        .background()
        .autocommit();
    let session = database.session(options.deadline(TIMEOUT));
    match (migrations.pending)(session).await {
        Ok(pending) if pending.is_empty() => Schema::Current,
        Ok(_) => Schema::Pending,
        Err(error) => {
            tracing::debug!(error = %error, "cannot read which migrations are applied");
            Schema::Pending
        }
    }
}
