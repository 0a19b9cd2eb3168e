//! BEGIN, with the settings that travel in its round trip.

use std::sync::Weak;
use std::time::{Duration, Instant};

use berth_pool::Access;
use sea_orm::{AccessMode, DbBackend, DbErr, IsolationLevel, TransactionOptions};

use super::error::{Failure, RETRIES, Resend, Sent};
use super::in_flight::{Level, TransactionState};
use super::inner::SessionInner;
use crate::connect::connector::{milliseconds, quoted};
use crate::error::Error;
use crate::pool::lease::ConnectionState;

/// PostgreSQL cuts names after as many bytes.
const LONGEST_NAME: usize = 63;

impl SessionInner {
    /// Begins the session's transaction on a new lease. `then` follows in the same round trip.
    pub(super) async fn begin_transaction(
        &self,
        state: &mut TransactionState,
        options: TransactionOptions,
        then: &str,
    ) -> Result<(), DbErr> {
        let access = if self.options.read_only {
            Access::Read
        } else {
            Access::Write
        };
        for attempt in 0.. {
            let lease = self.lease(access).await?;
            // Before the lease is the state's: an error here releases it.
            let sql = begin(self, options, self.remaining()?)? + then;
            state.lease = Some(lease);
            match self.send(state, &sql, Sent::Begin).await {
                Ok(()) => break,
                Err(Failure::Lost(resend)) if resend != Resend::Forbidden && attempt < RETRIES => {
                    self.start_again(state);
                }
                Err(failure) => {
                    // Part of it may have taken effect: the connection is in an unknown state.
                    if let Some(lease) = state.lease.as_mut() {
                        lease.finish(ConnectionState::Busy);
                    }
                    state.clear();
                    return Err(failure.into());
                }
            }
        }
        state.levels.push(Level::Open);
        self.expire(state);
        Ok(())
    }

    /// Lets the transaction end at the session's deadline, also where the session does something else meanwhile.
    fn expire(&self, state: &mut TransactionState) {
        let Some(deadline) = self.deadline else { return };
        let shared = std::sync::Arc::downgrade(&self.state);
        let task = self.pool.runtime.spawn(expire_at(deadline, shared));
        state.expiry = Some(task.abort_handle());
    }
}

async fn expire_at(deadline: Instant, state: Weak<tokio::sync::Mutex<TransactionState>>) {
    tokio::time::sleep_until(deadline.into()).await;
    let Some(state) = state.upgrade() else { return };
    // A statement under way has the same deadline and ends by it.
    let mut state = state.lock().await;
    state.lose(Error::DeadlineExceeded);
}

/// The SQL that begins a session's transaction.
fn begin(
    session: &SessionInner,
    options: TransactionOptions,
    remaining: Option<Duration>,
) -> Result<String, Error> {
    let read_only = session.options.read_only || options.access_mode == Some(AccessMode::ReadOnly);
    if session.backend() != DbBackend::Postgres {
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
    if let Some(level) = options.isolation_level.or(session.options.isolation) {
        sql += " ISOLATION LEVEL ";
        sql += level_sql(level);
    }
    if read_only {
        sql += " READ ONLY";
    }
    for (name, value) in timeouts(session, remaining) {
        sql += &format!("; SET LOCAL {name} = {}", milliseconds(value));
    }
    if let Some((role, claims)) = &session.options.role {
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
fn timeouts(session: &SessionInner, remaining: Option<Duration>) -> Vec<(&'static str, Duration)> {
    let settings = &session.pool.settings;
    let usual = Some(settings.statement_timeout).filter(|time| !time.is_zero());
    let transaction_mode = session.behind_transaction_pooler();
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
