//! Detects the pooler and its mode by experiment.

use std::time::Duration;

use berth_database::{PoolerMode, Settings};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use crate::{Finding, connect, prepared};

/// How long one step may take. At a full pooler it would wait for as long as the pooler lets it.
const STEP: Duration = Duration::from_secs(3);

/// What the experiments showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Whether two clients met the same backend, which only a pooler in transaction mode allows.
    shared: Option<bool>,
    /// Whether a start-up option reached the server.
    passes_options: Option<bool>,
    /// Whether a named statement can be used in a later transaction.
    pub(crate) prepared: Option<bool>,
}

impl Found {
    /// What stands between, as far as it is certain.
    pub(crate) fn mode(self) -> Option<PoolerMode> {
        match (self.shared?, self.passes_options?) {
            (true, _) => Some(PoolerMode::Transaction),
            (false, true) => Some(PoolerMode::Direct),
            (false, false) => Some(PoolerMode::Session),
        }
    }
}

/// Tries three things with a connection, a second one and a third: do they share a backend, does a named statement
/// survive, does the server see a start-up option.
pub(crate) async fn experiment(settings: &Settings, first: &mut PgConnection) -> Found {
    let mut found = Found::default();
    if let Ok(mut second) = connect::once(settings, &[]).await {
        let meeting = tokio::time::timeout(STEP * 2, meet(first, &mut second)).await;
        if let Ok(Ok((shared, prepared))) = meeting {
            found.shared = Some(shared);
            found.prepared = Some(prepared);
        }
        // Dropping it would do as well; a polite close frees its place sooner.
        let _gone = tokio::time::timeout(STEP, second.close()).await;
    }
    found.passes_options = passes_options(settings).await;
    found
}

/// Whether the two can meet on one backend, and whether a named statement of the first outlives that.
async fn meet(first: &mut PgConnection, second: &mut PgConnection) -> Result<(bool, bool), sqlx::Error> {
    prepared::prepare(first).await?;
    let own = backend(first).await?;
    // The transaction keeps the backend that a transaction pooler has just taken back from the first.
    sqlx::raw_sql("BEGIN").execute(&mut *second).await?;
    let others = backend(second).await?;
    // Another backend serves the first now, or none: one that is out of the pooler's reach would wait.
    let prepared = match tokio::time::timeout(STEP, prepared::execute(first)).await {
        Ok(outcome) => outcome.is_ok(),
        Err(_) => false,
    };
    // While the transaction lasts, the second has the backend on which the name was made.
    prepared::forget(second).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut *second).await?;
    let moved = match prepared {
        true => backend(first).await? != own,
        false => true,
    };
    prepared::forget(first).await;
    Ok((others == own || moved, prepared))
}

async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}

/// Whether a start-up option reaches the server: PgBouncer refuses the client, Supavisor drops the option.
async fn passes_options(settings: &Settings) -> Option<bool> {
    match connect::connect(settings, &[("berth.doctor", "seen")]).await {
        Ok(mut connected) => {
            let sql = "SELECT current_setting('berth.doctor', true) IS NOT DISTINCT FROM 'seen'";
            let row = sqlx::raw_sql(sql)
                .fetch_one(&mut connected.connection)
                .await
                .ok()?;
            let _gone = tokio::time::timeout(STEP, connected.connection.close()).await;
            row.try_get(0).ok()
        }
        Err(failure) if failure.error.is_full() => None,
        // Without the option the same login has just passed.
        Err(_) => Some(false),
    }
}

/// Compares what was found with what the settings say.
pub(crate) fn finding(settings: &Settings, found: Found) -> Finding {
    let set = settings.pooler_mode();
    match found.mode() {
        None => Finding::warn(
            "pooler",
            "unknown: no second connection was free for the experiment",
            "run the doctor again when the service has no load; until then it assumes what the settings say",
        ),
        Some(PoolerMode::Transaction) if set == PoolerMode::Transaction => Finding::pass(
            "pooler",
            "a pooler in transaction mode: two clients got the same backend",
        ),
        Some(PoolerMode::Transaction) => Finding::fail(
            "pooler",
            format!(
                "a pooler in transaction mode (two clients got the same backend), but the settings say {}",
                word(set)
            ),
            "use the session pooler's port (Supabase: 5432), or set DB_POOLER=transaction",
        ),
        Some(mode) if set == PoolerMode::Transaction => Finding::warn(
            "pooler",
            format!(
                "{}, but the settings say transaction, which rules out named statements and counting instances",
                describe(mode)
            ),
            format!("set DB_POOLER={}", word(mode)),
        ),
        Some(mode) => Finding::pass("pooler", describe(mode)),
    }
}

fn describe(mode: PoolerMode) -> &'static str {
    match mode {
        PoolerMode::Direct => "no pooler: startup options reach the server",
        PoolerMode::Session => {
            "a pooler in session mode: it drops startup options, and each client keeps its backend"
        }
        PoolerMode::Transaction => "a pooler in transaction mode",
    }
}

fn word(mode: PoolerMode) -> &'static str {
    match mode {
        PoolerMode::Direct => "direct",
        PoolerMode::Session => "session",
        PoolerMode::Transaction => "transaction",
    }
}
