//! SeaORM's statements on plain sqlx connections.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryFutureExt, TryStreamExt};
use sea_orm::{DbErr, ExecResult, QueryResult, Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Database, Error, Executor, IntoArguments, query_with, raw_sql};

use super::classify;
use crate::connect::connector::Connection;
use crate::connect::pooler_mode::ModeDetector;
use crate::connect::unnamed::{CommonTexts, RehearsedTexts};
use crate::stats::statement_stats::Operation as Verb;

type Answer<'c, T> = BoxFuture<'c, Result<T, Error>>;

/// Something to run on a connection, perhaps again on another one.
///
/// A trait rather than a closure, because its future borrows from both the operation and the connection.
pub(crate) trait Operation: Sync {
    type Output;

    /// How it is sent.
    fn protocol(&self) -> Protocol {
        Protocol::Extended
    }

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, Self::Output>;

    /// The values bound to the statement, for a log that shows them.
    fn values(&self) -> Option<&Values> {
        None
    }
}

/// Whether prepared statements have names, under which the server keeps them.
///
/// Behind a transaction pooler they have none, since the next transaction may be served by another server, which does
/// not know the name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming<'s> {
    pub(crate) mode: &'s ModeDetector,
    pub(crate) texts: &'s CommonTexts,
}

impl Naming<'_> {
    fn is_named(self) -> bool {
        self.mode.mode().keeps_sessions()
    }

    /// Makes sure that the statement can be executed.
    async fn ready(
        self,
        connection: &mut PgConnection,
        rehearsed: &mut RehearsedTexts,
        statement: &Statement,
    ) -> Result<(), Error> {
        if self.is_named() || has_no_columns(&statement.sql) {
            return Ok(());
        }
        self.texts.rehearse(connection, rehearsed, statement).await
    }

    fn note(self, statement: &Statement, row: &PgRow) {
        if !self.is_named() {
            self.texts.note(statement, row);
        }
    }
}

/// How something is sent to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// Text, in one message.
    Simple,
    /// A statement that is prepared before it is executed, which behind a transaction pooler takes a transaction.
    Extended,
    /// A caller's own code.
    Raw,
}

/// Runs a statement for its effect.
pub(crate) struct Execute<'s>(pub(crate) &'s Statement, pub(crate) Naming<'s>);
/// Runs a statement for its first row.
pub(crate) struct One<'s>(pub(crate) &'s Statement, pub(crate) Naming<'s>);
/// Runs a statement for all its rows.
pub(crate) struct All<'s>(pub(crate) &'s Statement, pub(crate) Naming<'s>);
/// Runs plain SQL, perhaps several statements, in one round trip.
pub(crate) struct Plain<'s>(pub(crate) &'s str);
/// Runs one plain statement for all its rows, in one round trip.
pub(crate) struct PlainRows<'s>(pub(crate) &'s str);
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
            Connection::Postgres(connection, rehearsed) => Box::pin(async move {
                self.1.ready(connection, rehearsed, self.0).await?;
                connection
                    .execute(query(self.0, self.1))
                    .await
                    .map(ExecResult::from)
            }),
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
            Connection::Postgres(connection, rehearsed) => Box::pin(async move {
                self.1.ready(connection, rehearsed, self.0).await?;
                let row = connection.fetch_optional(query(self.0, self.1)).await?;
                row.iter().for_each(|row| self.1.note(self.0, row));
                Ok(row.map(QueryResult::from))
            }),
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

    fn protocol(&self) -> Protocol {
        Protocol::Simple
    }

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, ExecResult> {
        let sql = raw_sql(AssertSqlSafe(self.0));
        match connection {
            Connection::Postgres(connection, _) => Box::pin(sql.execute(connection).map_ok(ExecResult::from)),
            Connection::Sqlite(connection) => Box::pin(sql.execute(connection).map_ok(ExecResult::from)),
        }
    }
}

impl Operation for PlainRows<'_> {
    type Output = Vec<QueryResult>;

    fn protocol(&self) -> Protocol {
        Protocol::Simple
    }

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, Vec<QueryResult>> {
        let sql = raw_sql(AssertSqlSafe(self.0));
        match connection {
            Connection::Postgres(connection, _) => {
                let rows = sql.fetch(connection).map_ok(QueryResult::from);
                Box::pin(rows.try_collect())
            }
            Connection::Sqlite(connection) => {
                let rows = sql.fetch(connection).map_ok(QueryResult::from);
                Box::pin(rows.try_collect())
            }
        }
    }
}

impl<T, F> Operation for Raw<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut PgConnection) -> Answer<'c, T> + Send,
{
    type Output = T;

    fn protocol(&self) -> Protocol {
        Protocol::Raw
    }

    fn run<'c>(&'c self, connection: &'c mut Connection) -> Answer<'c, T> {
        let code = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (code, connection) {
            (Some(code), Connection::Postgres(connection, _)) => code(connection),
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
    naming: Naming<'c>,
) -> BoxStream<'c, Result<QueryResult, Error>> {
    match connection {
        Connection::Postgres(connection, rehearsed) => async_stream::try_stream! {
            naming.ready(connection, rehearsed, statement).await?;
            let mut rows = connection.fetch(query(statement, naming));
            let mut first = true;
            while let Some(row) = rows.try_next().await? {
                if std::mem::take(&mut first) {
                    naming.note(statement, &row);
                }
                yield QueryResult::from(row);
            }
        }
        .boxed(),
        Connection::Sqlite(connection) => connection
            .fetch(query(statement, naming))
            .map_ok(QueryResult::from)
            .boxed(),
    }
}

/// Whether a statement certainly returns no columns.
fn has_no_columns(sql: &str) -> bool {
    let operation = classify::label(sql).operation;
    let writes = matches!(operation, Verb::Insert | Verb::Update | Verb::Delete);
    let returning = |window: &[u8]| window.eq_ignore_ascii_case(b"returning");
    writes && !sql.as_bytes().windows(9).any(returning)
}

/// A statement with its values.
fn query<'s, DB>(statement: &'s Statement, naming: Naming<'_>) -> Query<'s, DB, SqlxValues>
where
    DB: Database,
    SqlxValues: IntoArguments<DB>,
    DB: sqlx::database::HasStatementCache,
{
    let values = statement.values.clone().unwrap_or(Values(Vec::new()));
    query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values)).persistent(naming.is_named())
}
