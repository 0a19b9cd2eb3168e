//! SQL that differs between PostgreSQL and SQLite.
//!
//! Every time that is compared comes from the database's clock: instances whose clocks differ agree on what is ready and
//! whose claim has expired.

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use crate::claims::Claim;

/// The SQL of one kind of database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect(DbBackend);

impl Dialect {
    pub(crate) fn of(connection: &impl ConnectionTrait) -> Self {
        Self(connection.get_database_backend())
    }

    pub(crate) fn is_postgres(self) -> bool {
        self.0 == DbBackend::Postgres
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

    /// The seconds since a time.
    pub(crate) fn seconds_since(self, time: &str) -> String {
        match self.0 {
            DbBackend::Postgres => format!("extract(epoch FROM now() - {time})::double precision"),
            _ => format!("(julianday('now') - julianday({time})) * 86400.0"),
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

    /// Adds values and returns their placeholders, for a list in parentheses.
    pub(crate) fn add_all<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> String {
        let placeholders: Vec<String> = values.into_iter().map(|value| self.add(value)).collect();
        placeholders.join(", ")
    }

    /// Adds claims and returns them as a list of rows. The last one is repeated up to a power of two, so that the statement
    /// has few texts, each of which a connection prepares once.
    pub(crate) fn add_claims(&mut self, claims: &[Claim]) -> String {
        let repeated = claims.last().into_iter().cycle();
        let padding = claims.len().next_power_of_two() - claims.len();
        let all = claims.iter().chain(repeated.take(padding));
        let rows: Vec<String> = all
            .map(|claim| format!("({}, {})", self.add(claim.job_id), self.add(claim.claim_id)))
            .collect();
        rows.join(", ")
    }
}
