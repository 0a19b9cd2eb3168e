//! BEGIN, and what travels with it in the same round trip.

use std::time::Duration;

use sea_orm::{AccessMode, DbBackend, IsolationLevel, TransactionOptions};

use crate::connect::connector::{milliseconds, quoted};
use crate::error::Error;
use crate::session::inner::SessionInner;
use crate::settings::PoolerMode;

/// PostgreSQL cuts names after as many bytes.
const LONGEST_NAME: usize = 63;

/// The SQL that begins a session's transaction.
pub(crate) fn begin(
    core: &SessionInner,
    options: TransactionOptions,
    remaining: Option<Duration>,
) -> Result<String, Error> {
    let read_only = core.options.read_only || options.access_mode == Some(AccessMode::ReadOnly);
    if core.backend() != DbBackend::Postgres {
        // Taking the write lock first, a transaction never fails half-way for want of it. What `query_only`
        // says stays on the connection, so each transaction says it anew.
        let sql = if read_only {
            "PRAGMA query_only = ON; BEGIN"
        } else {
            "PRAGMA query_only = OFF; BEGIN IMMEDIATE"
        };
        return Ok(sql.to_owned());
    }
    let mut sql = "BEGIN".to_owned();
    if let Some(level) = options.isolation_level.or(core.options.isolation) {
        sql += " ISOLATION LEVEL ";
        sql += level_sql(level);
    }
    if read_only {
        sql += " READ ONLY";
    }
    for (name, value) in timeouts(core, remaining) {
        sql += &format!("; SET LOCAL {name} = {}", milliseconds(value));
    }
    if let Some((role, claims)) = &core.options.role {
        let role = quoted_role(role)?;
        let claims = quoted(&claims.to_string());
        sql += &format!("; SET LOCAL ROLE {role}; SELECT set_config('request.jwt.claims', {claims}, true)");
    }
    Ok(sql)
}

/// A role's name as an identifier, where the server takes it for what it says: it reads `none` as no role
/// at all, quoted or not, and cuts long names, perhaps to another role's.
fn quoted_role(role: &str) -> Result<String, Error> {
    if role == "none" || role.contains('\0') || role.len() > LONGEST_NAME {
        return Err(Error::Unsupported(
            "a role that is called `none`, has a NUL, or is longer than 63 bytes",
        ));
    }
    Ok(format!("\"{}\"", role.replace('"', "\"\"")))
}

/// Server-side limits of one transaction. Without them a connection's own settings hold, but for a
/// transaction pooler's servers, which have none.
fn timeouts(core: &SessionInner, remaining: Option<Duration>) -> Vec<(&'static str, Duration)> {
    let settings = &core.pool.settings;
    let usual = Some(settings.statement_timeout).filter(|time| !time.is_zero());
    let transaction_mode = settings.pooler_mode() == PoolerMode::Transaction;
    let statement = match (remaining, usual) {
        (Some(left), Some(usual)) => Some(left.min(usual)),
        (Some(left), None) => Some(left),
        (None, usual) => usual.filter(|_| transaction_mode),
    };
    let idle = Some(settings.idle_in_transaction_timeout).filter(|time| !time.is_zero() && transaction_mode);
    let statement = statement.map(|time| ("statement_timeout", time));
    statement
        .into_iter()
        .chain(idle.map(|time| ("idle_in_transaction_session_timeout", time)))
        .collect()
}

fn level_sql(level: IsolationLevel) -> &'static str {
    match level {
        IsolationLevel::RepeatableRead => "REPEATABLE READ",
        IsolationLevel::ReadCommitted => "READ COMMITTED",
        IsolationLevel::ReadUncommitted => "READ UNCOMMITTED",
        IsolationLevel::Serializable => "SERIALIZABLE",
    }
}
