//! The parts in which the SQL of PostgreSQL and SQLite differ, above all the clock.
//!
//! Every time that is compared comes from the database's clock: instances whose clocks differ agree on what is ready and
//! whose claim has expired.

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

/// The SQL of one kind of database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect(DbBackend);

impl Dialect {
    pub(crate) fn of(connection: &impl ConnectionTrait) -> Self {
        Self(connection.get_database_backend())
    }

    /// The present time.
    pub(crate) fn now(self) -> &'static str {
        match self.0 {
            DbBackend::Postgres => "now()",
            // As sqlx writes times, which are compared as texts.
            _ => "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
        }
    }

    /// The time after a number of seconds, which is an expression of type `double precision`.
    pub(crate) fn after(self, seconds: &str) -> String {
        match self.0 {
            DbBackend::Postgres => format!("now() + make_interval(secs => {seconds})"),
            _ => format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', {seconds} || ' seconds')"),
        }
    }

    pub(crate) fn statement(self, sql: String, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.0, sql, values)
    }
}

/// Values of a statement, each with its placeholder.
#[derive(Debug, Default)]
pub(crate) struct Parameters(pub(crate) Vec<Value>);

impl Parameters {
    /// Adds a value and returns its placeholder.
    pub(crate) fn add(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("${}", self.0.len())
    }
}
