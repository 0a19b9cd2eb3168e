//! The statement that sets up a new connection, and the one that resets it after use.
//!
//! Not every server takes every setting: `client_connection_check_interval` is refused on Windows and by PostgreSQL 14 on
//! macOS, and `pg_stat_activity` may be hidden. Such a server gets the settings that are required, and the choice is
//! remembered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Error as SqlxError, Row, raw_sql};

use super::connect_error::loss;
use super::connector::{milliseconds, quoted};
use super::instances::{InstanceName, counts_instances};
use crate::settings::{PoolerMode, Settings};

/// How often the server looks, during a statement, whether the client is still there (PostgreSQL 14).
pub(crate) const HANG_UP_CHECK: Duration = Duration::from_millis(250);

/// A host that vanished is noticed by the server within about a minute, instead of two hours: its connections count until
/// then.
const KEEPALIVES: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "60000"),
];

/// The setting with the claims of a session's role, as PostgREST and Supabase name it.
pub(crate) const CLAIMS: &str = "request.jwt.claims";
/// The claims of a session without a role: policies read the setting as JSON, which the empty text is not.
pub(crate) const NO_CLAIMS: &str = "{}";

/// The server's process that serves a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backend {
    pub(crate) pid: i32,
    /// Whether the server detects that its client has disconnected.
    pub(crate) hang_up_check: bool,
}

/// What the set-up found out about the server.
#[derive(Debug)]
pub(crate) struct ServerFacts {
    /// The server's process for this connection, where it is known and stays the same.
    pub(crate) backend: Option<Backend>,
    pub(crate) version: String,
    /// Other live instances of this application, where they were counted.
    pub(crate) others: Option<u32>,
}

impl ServerFacts {
    fn read(row: &PgRow) -> Result<Self, SqlxError> {
        let hang_up_check = row.try_get("hang_up_check")?;
        let pid: Option<i32> = row.try_get("pid")?;
        let others: Option<i64> = row.try_get("others")?;
        Ok(Self {
            backend: pid.map(|pid| Backend { pid, hang_up_check }),
            version: row.try_get("version")?,
            others: others.and_then(|others| u32::try_from(others).ok()),
        })
    }

    /// What is known where connections keep no state, and nothing is set.
    pub(crate) fn without_session(version: String) -> Self {
        Self {
            backend: None,
            version,
            others: None,
        }
    }
}

/// How much of the set-up a server takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extent {
    Full,
    /// Without what some servers refuse.
    Required,
}

/// The texts of one extent.
#[derive(Debug)]
struct Texts {
    set_up: String,
    reset: String,
}

/// Sets connections up, as far as their server allows.
#[derive(Debug)]
pub(crate) struct SetUp {
    full: Texts,
    required: Texts,
    refused: AtomicBool,
}

impl SetUp {
    pub(crate) fn new(settings: &Settings, instance_name: Option<&InstanceName>) -> Self {
        let texts = |extent| Texts {
            set_up: set_up(settings, instance_name, extent),
            reset: reset(settings, instance_name, extent),
        };
        Self {
            full: texts(Extent::Full),
            required: texts(Extent::Required),
            refused: AtomicBool::new(false),
        }
    }

    /// The SQL that brings a connection back to its state after the set-up; none where connections keep no state.
    pub(crate) fn reset(&self, mode: PoolerMode) -> Option<&str> {
        mode.keeps_sessions().then_some(&self.texts().reset)
    }

    /// Sets a connection up in one round trip, or in two where the server refuses a setting for the first time.
    ///
    /// # Errors
    /// The server refuses the required settings too, or the connection is lost.
    pub(crate) async fn run(
        &self,
        connection: &mut PgConnection,
        mode: PoolerMode,
    ) -> Result<ServerFacts, SqlxError> {
        let row = if mode.keeps_sessions() {
            match run(connection, &self.texts().set_up).await {
                Err(error) if self.does_without(&error) => run(connection, &self.required.set_up).await,
                answer => answer,
            }
        } else {
            run(connection, NOTHING).await
        };
        ServerFacts::read(&row?)
    }

    /// Reads one row and, if the condition on it holds, sets the connection up in the same round trip: the server
    /// decides, so nothing is set where the condition does not hold. Returns no facts then.
    ///
    /// # Errors
    /// The connection is lost. Where the server refuses a setting, nothing is set and nothing returned.
    pub(crate) async fn run_if(
        &self,
        connection: &mut PgConnection,
        read: &str,
        condition: &str,
    ) -> Result<Option<(PgRow, Option<ServerFacts>)>, SqlxError> {
        let set_up = &self.texts().set_up;
        // OFFSET keeps the read apart from the rest, in servers of every version.
        let sql = format!(
            "SELECT seen.pid AS seen_pid, seen.transaction AS seen_transaction, seen.direct AS seen_direct, \
             seen.version AS seen_version, done.* FROM ({read} OFFSET 0) AS seen \
             LEFT JOIN LATERAL ({set_up} WHERE {condition}) AS done ON true"
        );
        match run(connection, &sql).await {
            Ok(row) => {
                let done: Option<String> = row.try_get("version")?;
                let facts = done.map(|_| ServerFacts::read(&row)).transpose()?;
                Ok(Some((row, facts)))
            }
            Err(error) if self.does_without(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the server refuses a part of the set-up, which is left out from then on.
    fn does_without(&self, error: &SqlxError) -> bool {
        let refused = is_refusal(error);
        // Another connection may have just met the same refusal.
        if refused && !self.refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = %error,
                "the server rejects part of the connection set-up; connections work without disconnect checks, \
                 keepalives and instance counting"
            );
        }
        refused
    }

    fn texts(&self) -> &Texts {
        if self.refused.load(Ordering::Relaxed) {
            &self.required
        } else {
            &self.full
        }
    }
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<PgRow, SqlxError> {
    raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await
}

/// Whether the server answers that it does not know, allow or support something, and goes on.
fn is_refusal(error: &SqlxError) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    loss(error).is_none()
        && matches!(
            code.as_deref(),
            Some("22023" | "42501" | "0A000" | "42704" | "42P01")
        )
}

/// Behind a transaction pooler nothing is set: it would stay on whatever server happened to serve.
const NOTHING: &str = "SELECT NULL::int AS pid, false AS hang_up_check, current_setting('server_version') AS version, \
     NULL::bigint AS others";

/// The statement that sets a session up and returns what the pool has to know about the server.
///
/// Start-up `options` would be refused by PgBouncer and dropped by Supavisor.
fn set_up(settings: &Settings, instance_name: Option<&InstanceName>, extent: Extent) -> String {
    // A new backend reads its catalogues for this, so only where instances are counted.
    let counts = extent == Extent::Full && counts_instances(settings, PoolerMode::Session);
    let others = match instance_name.filter(|_| counts) {
        Some(instance_name) => format!("({})", instance_name.count_sql()),
        None => "NULL::bigint".to_owned(),
    };
    let hang_up_check = match extent {
        Extent::Full => "coalesce(current_setting('client_connection_check_interval', true), '0') <> '0'",
        Extent::Required => "false",
    };
    format!(
        "SELECT pg_backend_pid() AS pid, current_setting('server_version') AS version, {others} AS others, {}, \
         {hang_up_check} AS hang_up_check",
        session_settings(settings, instance_name, extent)
    )
}

/// What ends every kind of session state that a transaction can leave behind, whatever made it: text cannot tell what
/// functions and triggers do. `DISCARD ALL` is not allowed here and would drop the driver's prepared statements.
///
/// Prepared statements are counted instead: -1 where SQL has made some, and otherwise those of the driver, of which SQL
/// may have dropped some.
///
/// It travels in COMMIT's own round trip and costs the server some 40 microseconds (measured with pgbench on
/// PostgreSQL 15: 230 us for BEGIN, INSERT, COMMIT without it and 270 with it), and the count one microsecond for each
/// statement that the connection has prepared.
fn reset(settings: &Settings, instance_name: Option<&InstanceName>, extent: Extent) -> String {
    format!(
        "CLOSE ALL; UNLISTEN *; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DISCARD TEMP; DISCARD SEQUENCES; \
         SELECT pg_backend_pid() AS pid, (SELECT CASE WHEN bool_or(from_sql) THEN -1 ELSE count(*) END \
         FROM pg_catalog.pg_prepared_statements) AS prepared, pg_advisory_unlock_all(), {DRIVER_SETTINGS}, {}",
        session_settings(settings, instance_name, extent)
    )
}

/// What sqlx sends when it connects. A pooler may have started the server's session with other values, to which
/// RESET ALL returns.
const DRIVER_SETTINGS: &str = "set_config('client_encoding', 'UTF8', false), set_config('DateStyle', 'ISO, MDY', false), \
     set_config('TimeZone', 'UTC', false)";

/// The settings that each connection of ours has, as columns of a SELECT.
fn session_settings(settings: &Settings, instance_name: Option<&InstanceName>, extent: Extent) -> String {
    let limit = |time: Duration| match time {
        Duration::ZERO => "0".to_owned(),
        time => milliseconds(time).to_string(),
    };
    let mut wanted = vec![
        ("statement_timeout", limit(settings.statement_timeout)),
        (
            "idle_in_transaction_session_timeout",
            limit(settings.idle_in_transaction_timeout),
        ),
    ];
    if extent == Extent::Full {
        wanted.push((
            "client_connection_check_interval",
            milliseconds(HANG_UP_CHECK).to_string(),
        ));
        wanted.extend(KEEPALIVES.map(|(name, value)| (name, value.to_owned())));
    }
    if let Some(instance_name) = instance_name {
        wanted.push(("application_name", instance_name.name().to_owned()));
    }
    let columns = wanted.iter().map(|(name, value)| {
        let (name, value) = (quoted(name), quoted(value));
        format!(
            "CASE WHEN current_setting({name}, true) IS NOT NULL THEN set_config({name}, {value}, false) END"
        )
    });
    let claims = format!("set_config('{CLAIMS}', '{NO_CLAIMS}', false)");
    columns.chain([claims]).collect::<Vec<_>>().join(", ")
}
