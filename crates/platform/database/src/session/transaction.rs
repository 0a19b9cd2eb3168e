//! Nested transactions: savepoints within a session's own transaction.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{DbErr, TransactionError, TransactionOptions, TransactionSession};

use super::inner::SessionInner;

/// A savepoint of a session; while it is open, the session's statements go through it.
///
/// Committing releases it, so that its work becomes the session's; the session's own commit stores both.
/// Dropped unfinished, it is undone before the session's next statement.
///
/// One that is read only, and each of a session with [`autocommit`](crate::SessionOptions::autocommit), is a transaction of
/// its own where it was begun outside one: its end ends that. Otherwise the isolation level given to `begin_with_config`
/// holds until the session's commit. Inside a transaction another level is refused, and so is write access inside a
/// read-only one; on SQLite read-only access, too.
///
/// On SQLite `BEGIN IMMEDIATE` takes the write lock first, so that a transaction never fails half-way for want of it.
/// Read-only transactions are deferred and run beside a writer, and `begin_with_options` takes any
/// [`SqliteTransactionMode`](sea_orm::SqliteTransactionMode): a deferred transaction that writes may fail as locked.
#[derive(Debug)]
pub struct Transaction {
    inner: Arc<SessionInner>,
    /// 1 for a savepoint of the session, 2 for a savepoint of that, and so on.
    depth: usize,
    number: u64,
    open: bool,
}

impl Transaction {
    pub(super) async fn begin(
        inner: &Arc<SessionInner>,
        depth: usize,
        options: TransactionOptions,
    ) -> Result<Self, DbErr> {
        let number = inner.open_savepoint(depth, options).await?;
        Ok(Self {
            inner: inner.clone(),
            depth: depth + 1,
            number,
            open: true,
        })
    }

    fn is_open(&self) -> bool {
        self.inner.is_open(self.depth, self.number)
    }

    pub(super) fn inner(&self) -> &Arc<SessionInner> {
        &self.inner
    }

    /// The depth of its statements; an impossible one where the level was undone with one above it, since another
    /// transaction may be at that depth now.
    pub(super) fn depth(&self) -> usize {
        if self.is_open() { self.depth } else { usize::MAX }
    }

    /// Commits: its work becomes that of the session, or of the transaction around it.
    ///
    /// # Errors
    /// [`Error::TransactionFailed`](crate::Error::TransactionFailed) where a statement had failed: it is rolled back.
    pub async fn commit(mut self) -> Result<(), DbErr> {
        let done = self.inner.release_savepoint(self.depth()).await;
        // A release that failed leaves the savepoint to be undone by the drop.
        self.open = done.is_err();
        Ok(done?)
    }

    /// Rolls back what was done in it.
    ///
    /// # Errors
    /// As any statement.
    pub async fn rollback(mut self) -> Result<(), DbErr> {
        let done = self.inner.undo_savepoint(self.depth()).await;
        self.open = done.is_err();
        Ok(done?)
    }

    /// Ends the transaction by what came of the work in it.
    pub(super) async fn finish<T, E>(self, outcome: Result<T, E>) -> Result<T, TransactionError<E>> {
        let ended = match outcome {
            Ok(_) => self.commit().await,
            Err(_) => self.rollback().await,
        };
        ended.map_err(TransactionError::Connection)?;
        outcome.map_err(TransactionError::Transaction)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open && self.is_open() {
            self.inner.drop_savepoint(self.depth);
        }
    }
}

#[async_trait]
impl TransactionSession for Transaction {
    async fn commit(self) -> Result<(), DbErr> {
        self.commit().await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        self.rollback().await
    }
}
