//! SeaORM's statements on plain sqlx connections.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt};
use sea_orm::{DbErr, ExecResult, QueryResult, Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::postgres::PgConnection;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Database, Error, Executor, IntoArguments, query_with, raw_sql};

use crate::connect::connector::Connection;
use crate::connect::pooler_mode::ModeDetector;

type Answer<'c, T> = BoxFuture<'c, Result<T, Error>>;

/// Something to run on a connection, perhaps again on another one.
///
/// A trait rather than a closure, because its future borrows from both the operation and the connection.
pub(crate) trait Operation: Sync {
    type Output;

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, Self::Output>;

    /// The values bound to the statement, for a log that shows them.
    fn values(&self) -> Option<&Values> {
        None
    }
}

/// Runs a statement for its effect.
pub(crate) struct Execute<'s>(pub(crate) &'s Statement, pub(crate) &'s ModeDetector);
/// Runs a statement for its first row.
pub(crate) struct One<'s>(pub(crate) &'s Statement, pub(crate) &'s ModeDetector);
/// Runs a statement for all its rows.
pub(crate) struct All<'s>(pub(crate) &'s Statement, pub(crate) &'s ModeDetector);
/// Runs plain SQL, perhaps several statements, in one round trip.
pub(crate) struct Plain<'s>(pub(crate) &'s str);
/// Runs a caller's own code once, on PostgreSQL.
pub(crate) struct Raw<T, F>(Mutex<Option<F>>, PhantomData<fn() -> T>);

impl<T, F> Raw<T, F> {
    pub(crate) fn new(code: F) -> Self {
        Self(Mutex::new(Some(code)), PhantomData)
    }
}

impl Operation for Execute<'_> {
    type Output = ExecResult;

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, ExecResult> {
        match connection {
            Connection::Postgres(connection) => {
                Box::pin(connection.execute(query(self.0, self.1)).map_ok(ExecResult::from))
            }
            Connection::Sqlite(connection) => {
                Box::pin(connection.execute(query(self.0, self.1)).map_ok(ExecResult::from))
            }
        }
    }

    fn values(&self) -> Option<&Values> {
        self.0.values.as_ref()
    }
}

impl Operation for One<'_> {
    type Output = Option<QueryResult>;

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, Option<QueryResult>> {
        match connection {
            Connection::Postgres(connection) => {
                let row = connection.fetch_optional(query(self.0, self.1));
                Box::pin(row.map_ok(|row| row.map(QueryResult::from)))
            }
            Connection::Sqlite(connection) => {
                let row = connection.fetch_optional(query(self.0, self.1));
                Box::pin(row.map_ok(|row| row.map(QueryResult::from)))
            }
        }
    }

    fn values(&self) -> Option<&Values> {
        self.0.values.as_ref()
    }
}

impl Operation for All<'_> {
    type Output = Vec<QueryResult>;

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, Vec<QueryResult>> {
        Box::pin(stream(connection, self.0, self.1).try_collect())
    }

    fn values(&self) -> Option<&Values> {
        self.0.values.as_ref()
    }
}

impl Operation for Plain<'_> {
    type Output = ExecResult;

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, ExecResult> {
        let sql = raw_sql(AssertSqlSafe(self.0));
        match connection {
            Connection::Postgres(connection) => Box::pin(sql.execute(connection).map_ok(ExecResult::from)),
            Connection::Sqlite(connection) => Box::pin(sql.execute(connection).map_ok(ExecResult::from)),
        }
    }
}

impl<T, F> Operation for Raw<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut PgConnection) -> Answer<'c, T> + Send,
{
    type Output = T;

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, T> {
        let code = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (code, connection) {
            (Some(code), Connection::Postgres(connection)) => code(connection),
            _ => Box::pin(std::future::ready(Err(Error::WorkerCrashed))),
        }
    }
}

/// The error of a statement that was run for its action, by SeaORM's convention.
pub(super) fn as_exec_error(error: DbErr) -> DbErr {
    match error {
        DbErr::Query(error) => DbErr::Exec(error),
        error => error,
    }
}

pub(crate) fn stream<'c>(
    connection: &'c mut Connection,
    statement: &'c Statement,
    mode: &ModeDetector,
) -> BoxStream<'c, Result<QueryResult, Error>> {
    match connection {
        Connection::Postgres(connection) => connection
            .fetch(query(statement, mode))
            .map_ok(QueryResult::from)
            .boxed(),
        Connection::Sqlite(connection) => connection
            .fetch(query(statement, mode))
            .map_ok(QueryResult::from)
            .boxed(),
    }
}

/// A statement with its values. Behind a transaction pooler it has no name, since the next transaction may be served by
/// another server, which does not know the name.
fn query<'s, DB>(statement: &'s Statement, mode: &ModeDetector) -> Query<'s, DB, SqlxValues>
where
    DB: Database,
    SqlxValues: IntoArguments<DB>,
    DB: sqlx::database::HasStatementCache,
{
    let values = statement.values.clone().unwrap_or(Values(Vec::new()));
    query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
        .persistent(mode.mode().keeps_sessions())
}
