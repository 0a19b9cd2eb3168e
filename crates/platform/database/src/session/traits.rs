//! SeaORM's traits, once for sessions and nested transactions.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Schema,
    SchemaBuilder, Statement, StreamTrait, TransactionError, TransactionOptions, TransactionTrait,
};

use super::Session;
use super::stream::RowStream;
use super::transaction::Transaction;

/// Implements SeaORM's traits, and what its connections have besides, for a type with `inner()` and `depth()`.
macro_rules! implement_seaorm_traits {
    ($handle:ty) => {
        impl $handle {
            /// Runs a closure in a nested transaction: committed where it succeeds, else rolled back.
            ///
            /// # Errors
            /// The closure's own, and those of `begin`, `commit` and `rollback`.
            pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
            where
                F: for<'c> AsyncFnOnce(&'c Transaction) -> Result<T, E>,
                E: std::fmt::Display + std::fmt::Debug,
            {
                self.transaction_with_config_async(callback, None, None)
                    .await
            }

            /// As [`transaction_async`](Self::transaction_async), with options as for `begin_with_config`.
            ///
            /// # Errors
            /// As [`transaction_async`](Self::transaction_async).
            pub async fn transaction_with_config_async<F, T, E>(
                &self,
                callback: F,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<T, TransactionError<E>>
            where
                F: for<'c> AsyncFnOnce(&'c Transaction) -> Result<T, E>,
                E: std::fmt::Display + std::fmt::Debug,
            {
                let begun = self.begin_with_config(isolation_level, access_mode).await;
                let transaction = begun.map_err(TransactionError::Connection)?;
                let outcome = callback(&transaction).await;
                transaction.finish(outcome).await
            }

            /// Returns which kind of database it is, without SeaORM's traits in scope.
            pub fn get_database_backend(&self) -> DbBackend {
                self.inner().backend()
            }

            /// Returns a builder of SeaORM's that creates tables from entities.
            pub fn get_schema_builder(&self) -> SchemaBuilder {
                Schema::new(self.inner().backend()).builder()
            }

            /// Checks that the server answers; holds no connection afterwards where no transaction is open.
            ///
            /// # Errors
            /// As any statement.
            pub async fn ping(&self) -> Result<(), DbErr> {
                self.inner().ping(self.depth()).await
            }
        }

        #[async_trait]
        impl ConnectionTrait for $handle {
            fn get_database_backend(&self) -> DbBackend {
                self.inner().backend()
            }

            async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
                self.inner().execute(self.depth(), &statement).await
            }

            async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
                self.inner().execute_unprepared(self.depth(), sql).await
            }

            async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
                self.inner().query_one(self.depth(), &statement).await
            }

            async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
                self.inner().query_all(self.depth(), &statement).await
            }
        }

        impl StreamTrait for $handle {
            type Stream<'a> = RowStream<'a>;

            fn get_database_backend(&self) -> DbBackend {
                self.inner().backend()
            }

            fn stream_raw<'a>(&'a self, statement: Statement) -> BoxFuture<'a, Result<RowStream<'a>, DbErr>> {
                let rows = self.inner().stream(self.depth(), statement);
                Box::pin(std::future::ready(rows.map_err(DbErr::from)))
            }
        }

        #[async_trait]
        impl TransactionTrait for $handle {
            type Transaction = Transaction;

            async fn begin(&self) -> Result<Transaction, DbErr> {
                self.begin_with_options(TransactionOptions::default()).await
            }

            async fn begin_with_config(
                &self,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<Transaction, DbErr> {
                self.begin_with_options(TransactionOptions {
                    isolation_level,
                    access_mode,
                    sqlite_transaction_mode: None,
                })
                .await
            }

            async fn begin_with_options(&self, options: TransactionOptions) -> Result<Transaction, DbErr> {
                Transaction::begin(self.inner(), self.depth(), options).await
            }

            async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
            where
                F: for<'c> FnOnce(&'c Transaction) -> BoxFuture<'c, Result<T, E>> + Send,
                T: Send,
                E: std::fmt::Display + std::fmt::Debug + Send,
            {
                self.transaction_with_config(callback, None, None).await
            }

            async fn transaction_with_config<F, T, E>(
                &self,
                callback: F,
                isolation_level: Option<IsolationLevel>,
                access_mode: Option<AccessMode>,
            ) -> Result<T, TransactionError<E>>
            where
                F: for<'c> FnOnce(&'c Transaction) -> BoxFuture<'c, Result<T, E>> + Send,
                T: Send,
                E: std::fmt::Display + std::fmt::Debug + Send,
            {
                let begun = self.begin_with_config(isolation_level, access_mode).await;
                let transaction = begun.map_err(TransactionError::Connection)?;
                let outcome = callback(&transaction).await;
                transaction.finish(outcome).await
            }
        }
    };
}

implement_seaorm_traits!(Session);
implement_seaorm_traits!(Transaction);
