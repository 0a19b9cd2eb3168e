//! The ways in which a run fails.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm_migration::DbErr;

/// Why a run did not do all of its work. What was applied before it stays applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answered for as long as [`Settings::reach`](crate::Settings::reach) says, or the answer was no.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
    /// The server or pooler stayed full.
    #[error("the database stayed full for {} s: {last}", waited.as_secs())]
    Full {
        /// How long the run waited.
        waited: Duration,
        /// The last refusal.
        #[source]
        last: sqlx::Error,
    },
    /// Another run did not end in time.
    #[error("another migration run still holds the lock after {} s: {holder}", waited.as_secs())]
    Locked {
        /// How long this run waited.
        waited: Duration,
        /// Who holds the lock, as far as the database tells.
        holder: String,
    },
    /// The lock's file beside the SQLite database cannot be used.
    #[error("cannot use the lock file {}: {source}", path.display())]
    LockFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What answers hands each transaction to another backend, so that no lock would hold.
    #[error(
        "the URL leads to a transaction pooler, where a lock does not last and migrations cannot run: \
         use a session pooler (Supabase's own listens on port 5432) or the database's own address"
    )]
    TransactionPooler,
    /// The connection that held the lock is gone; another run may have begun.
    #[error(
        "the connection that held the migration lock was lost, so nothing more was applied; \
         see `status` for what is, then run again"
    )]
    LockLost,
    /// A migration failed, or the books do not fit the files.
    #[error(transparent)]
    Failed(#[from] DbErr),
}
