//! Finds out the pooler's mode, as the service does, and compares it with the settings.

use std::time::Duration;

use berth_database::{Pooler, PoolerMode, Settings, diagnostics};
use sqlx::postgres::PgConnection;

use crate::Finding;

/// How long the experiment may take. At a full pooler its connections wait.
const LIMIT: Duration = Duration::from_secs(10);

/// Finds out the mode over a connection that is closed afterwards.
pub(crate) async fn experiment(settings: &Settings, connection: &mut PgConnection) -> PoolerMode {
    match tokio::time::timeout(LIMIT, diagnostics::pooler_mode(settings, connection)).await {
        Ok(Ok(mode)) => mode,
        Ok(Err(_)) | Err(_) => PoolerMode::Unknown,
    }
}

/// Compares what was found with what the settings say.
pub(crate) fn finding(settings: &Settings, mode: PoolerMode) -> Finding {
    let set = settings.pooler;
    let found = match mode {
        PoolerMode::Unknown => {
            return Finding::warn(
                "pooler",
                "unknown: no second connection was admitted for the experiment",
                "run the doctor again when the service has no load",
            );
        }
        PoolerMode::Direct => "no pooler: the server reads the startup packet itself",
        PoolerMode::Session => "a pooler in session mode: each client keeps its server connection",
        PoolerMode::Transaction => "a pooler in transaction mode: clients share server connections",
    };
    match (mode, set) {
        (PoolerMode::Transaction, Pooler::Session | Pooler::Direct) => Finding::fail(
            "pooler",
            format!("{found}, but DB_POOLER is {}", word(set)),
            "set DB_POOLER=auto, or use the session pooler's port (Supabase: 5432)",
        ),
        (PoolerMode::Session | PoolerMode::Direct, Pooler::Transaction) => Finding::warn(
            "pooler",
            format!(
                "{found}, but DB_POOLER is transaction: statements are not named, and instances are not counted"
            ),
            "set DB_POOLER=auto",
        ),
        _ => Finding::pass("pooler", found),
    }
}

fn word(pooler: Pooler) -> &'static str {
    match pooler {
        Pooler::Auto => "auto",
        Pooler::Session => "session",
        Pooler::Transaction => "transaction",
        Pooler::Direct => "direct",
    }
}
