//! Errors of a run.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm_migration::DbErr;

/// Why a run failed. Migrations that it had applied before stay applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server did not answer within [`Settings::reach`](crate::Settings::reach), or refused the login.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
    /// The server or pooler was full for the whole waiting time.
    #[error("no connection was free for {} s: {last}", waited.as_secs())]
    Full {
        /// How long the run waited.
        waited: Duration,
        /// The last refusal.
        #[source]
        last: sqlx::Error,
    },
    /// Another run held the lock for the whole waiting time.
    #[error("another migration run still holds the lock after {} s: {holder}", waited.as_secs())]
    Locked {
        /// How long this run waited.
        waited: Duration,
        /// The holder of the lock, as far as it is known.
        holder: String,
    },
    /// The lock file beside the SQLite database cannot be used.
    #[error("cannot use the lock file {}: {source}", path.display())]
    LockFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The URL leads to a pooler in transaction mode, where the lock of a session does not last.
    #[error(
        "migrations cannot run through a transaction pooler, because their lock needs a session: \
         use a session pooler (Supabase: port 5432) or the database's own address"
    )]
    TransactionPooler,
    /// The connection that held the lock was lost; another run may have begun.
    #[error(
        "the connection that held the migration lock was lost, and the run was stopped: \
         `make migrate ARGS=status` lists what is applied; then run the command again"
    )]
    LockLost,
    /// A migration failed, or the database lists a migration that has no file.
    #[error(transparent)]
    Failed(#[from] DbErr),
}
