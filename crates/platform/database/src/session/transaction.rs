//! Nested transactions: savepoints within a session's own transaction.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StreamTrait, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};

use crate::session::inner::SessionInner;
use crate::session::stream::RowStream;

/// A savepoint of a session; while it is open, the session's statements go through it.
///
/// Committing releases it, so that its work becomes the session's; the session's own commit stores both.
/// Dropped unfinished, it is undone before the session's next statement.
#[derive(Debug)]
pub struct Transaction {
    core: Arc<SessionInner>,
    /// 1 for a savepoint of the session, 2 for a savepoint of that, and so on.
    depth: usize,
    number: u64,
    open: bool,
}

impl Transaction {
    pub(crate) async fn begin(
        core: &Arc<SessionInner>,
        depth: usize,
        options: TransactionOptions,
    ) -> Result<Self, DbErr> {
        let number = core.begin(depth, options).await?;
        Ok(Self {
            core: core.clone(),
            depth: depth + 1,
            number,
            open: true,
        })
    }

    fn is_open(&self) -> bool {
        self.core.is_open(self.depth, self.number)
    }

    /// The depth of its statements; one that never is, where the level was undone with one above it:
    /// another transaction may have its place.
    fn level(&self) -> usize {
        if self.is_open() { self.depth } else { usize::MAX }
    }

    pub(crate) async fn run<F, T, E>(
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
            self.core.abandon_savepoint(self.depth);
        }
    }
}

#[async_trait]
impl TransactionSession for Transaction {
    async fn commit(mut self) -> Result<(), DbErr> {
        let done = self.core.release(self.level()).await;
        // A release that failed leaves the savepoint to be undone by the drop.
        self.open = done.is_err();
        Ok(done?)
    }

    async fn rollback(mut self) -> Result<(), DbErr> {
        let done = self.core.undo(self.level()).await;
        self.open = done.is_err();
        Ok(done?)
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.core.backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.core.execute(self.level(), &statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.core.execute_unprepared(self.level(), sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.core.query_one(self.level(), &statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.core.query_all(self.level(), &statement).await
    }
}

impl StreamTrait for Transaction {
    type Stream<'a> = RowStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        self.core.backend()
    }

    fn stream_raw<'a>(&'a self, statement: Statement) -> BoxFuture<'a, Result<RowStream<'a>, DbErr>> {
        Box::pin(std::future::ready(
            self.core.stream(self.level(), statement).map_err(DbErr::from),
        ))
    }
}

#[async_trait]
impl TransactionTrait for Transaction {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        Self::begin(&self.core, self.level(), TransactionOptions::default()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        let options = TransactionOptions {
            isolation_level,
            access_mode,
            sqlite_transaction_mode: None,
        };
        Self::begin(&self.core, self.level(), options).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        Self::begin(&self.core, self.level(), options).await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        Self::run(TransactionTrait::begin(self).await, callback).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        Self::run(
            self.begin_with_config(isolation_level, access_mode).await,
            callback,
        )
        .await
    }
}
