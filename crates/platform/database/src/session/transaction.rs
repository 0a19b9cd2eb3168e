//! Nested transactions: savepoints within a session's own transaction.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sea_orm::{DbErr, TransactionError, TransactionOptions, TransactionSession};

use super::inner::SessionInner;

/// A savepoint of a session; while it is open, the session's statements go through it.
///
/// Committing releases it, so that its work becomes the session's; the session's own commit stores both.
/// Dropped unfinished, it is undone before the session's next statement.
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

    pub(super) async fn run<F, T, E>(
        begun: Result<Self, DbErr>,
        callback: F,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let transaction = begun.map_err(TransactionError::Connection)?;
        match callback(&transaction).await {
            Ok(value) => {
                transaction.commit().await.map_err(TransactionError::Connection)?;
                Ok(value)
            }
            Err(error) => {
                transaction
                    .rollback()
                    .await
                    .map_err(TransactionError::Connection)?;
                Err(TransactionError::Transaction(error))
            }
        }
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
    async fn commit(mut self) -> Result<(), DbErr> {
        let done = self.inner.release_savepoint(self.depth()).await;
        // A release that failed leaves the savepoint to be undone by the drop.
        self.open = done.is_err();
        Ok(done?)
    }

    async fn rollback(mut self) -> Result<(), DbErr> {
        let done = self.inner.undo_savepoint(self.depth()).await;
        self.open = done.is_err();
        Ok(done?)
    }
}
