//! BEGIN, with the settings that travel in its round trip.

use std::sync::Weak;
use std::time::{Duration, Instant};

use berth_pool::Access;
use sea_orm::{AccessMode, DbBackend, DbErr, IsolationLevel, SqliteTransactionMode, TransactionOptions};

use super::error::{Failure, RETRIES, Resend};
use super::in_flight::{Begun, Level, TransactionState};
use super::inner::SessionInner;
use crate::connect::connector::{milliseconds, quoted};
use crate::connect::set_up::{CLAIMS, NO_CLAIMS};
use crate::error::Error;
use crate::pool::lease::ConnectionState;

/// PostgreSQL cuts names after as many bytes.
const LONGEST_NAME: usize = 63;
/// Lets a connection of SQLite's write, whatever its last transaction was.
pub(super) const WRITABLE: &str = "PRAGMA query_only = OFF";

impl SessionInner {
    /// Begins the session's transaction on a new lease. `then` follows in the same round trip.
    pub(super) async fn begin_transaction(
        &self,
        state: &mut TransactionState,
        options: TransactionOptions,
        then: &str,
    ) -> Result<(), DbErr> {
        let read_only = self.is_read_only(options);
        let access = match sqlite_mode(options, read_only) {
            SqliteTransactionMode::Deferred => Access::Read,
            _ => Access::Write,
        };
        for attempt in 0.. {
            let lease = self.lease(access).await?;
            // Before the lease is the state's: an error here releases it.
            let mut begin = Begin::new(self, options, self.remaining()?)?;
            begin.push(then);
            state.lease = Some(lease);
            match self.send_begin(state, &begin).await {
                Ok(()) => break,
                Err(Failure::Lost(resend)) if resend != Resend::Forbidden && attempt < RETRIES => {
                    self.start_again(state);
                }
                Err(failure) => {
                    if let Some(lease) = state.lease.as_mut() {
                        lease.finish(self.after_refused_begin());
                    }
                    state.clear();
                    return Err(self.refused_begin(failure));
                }
            }
        }
        state.levels.push(Level::Open);
        state.begun = Begun {
            isolation: options.isolation_level.or(self.options.isolation),
            read_only_from: read_only.then_some(0),
            with_nested: false,
        };
        self.expire(state);
        Ok(())
    }

    fn is_read_only(&self, options: TransactionOptions) -> bool {
        self.options.read_only || options.access_mode == Some(AccessMode::ReadOnly)
    }

    /// The state of a connection on which a part of BEGIN's round trip may have taken effect. On PostgreSQL all of it is
    /// the transaction's own, so that ROLLBACK undoes it and the connection is kept.
    fn after_refused_begin(&self) -> ConnectionState {
        match self.backend() {
            DbBackend::Postgres => ConnectionState::Open,
            _ => ConnectionState::Busy,
        }
    }

    /// Tells a role that the server refuses from other errors of BEGIN's round trip.
    fn refused_begin(&self, failure: Failure) -> DbErr {
        let error = DbErr::from(failure);
        let code = Error::from(error.clone()).sqlstate();
        // Insufficient privilege, and a role that does not exist.
        match code.as_deref() {
            Some("42501" | "22023") if self.options.role.is_some() => Error::RoleRefused(Some(error)).into(),
            _ => error,
        }
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
pub(super) struct Begin {
    pub(super) sql: String,
    /// The same for logs, spans and status pages: without the claims.
    pub(super) shown: String,
}

impl Begin {
    fn new(
        session: &SessionInner,
        options: TransactionOptions,
        remaining: Option<Duration>,
    ) -> Result<Self, Error> {
        let read_only = session.is_read_only(options);
        if session.backend() != DbBackend::Postgres {
            // What `query_only` says stays on the connection, so each transaction says it anew.
            let mode = sqlite_mode(options, read_only).sqlite_keyword();
            let query_only = if read_only { "; PRAGMA query_only = ON" } else { "" };
            let sql = format!("{WRITABLE}; BEGIN {mode}{query_only}");
            return Ok(Self::shown_as_sent(sql));
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
        let Some(role) = &session.options.role else {
            // A pooler's server connection keeps nothing, so that each transaction sets it.
            if session.behind_transaction_pooler() {
                sql += &format!("; SET LOCAL {CLAIMS} = '{NO_CLAIMS}'");
            }
            return Ok(Self::shown_as_sent(sql));
        };
        sql += &format!(
            "; SET LOCAL ROLE {}; SET LOCAL {CLAIMS} = ",
            quoted_role(&role.name)?
        );
        Ok(Self {
            shown: format!("{sql}..."),
            sql: sql + &quoted(&role.claims),
        })
    }

    fn shown_as_sent(sql: String) -> Self {
        Self {
            shown: sql.clone(),
            sql,
        }
    }

    fn push(&mut self, then: &str) {
        self.sql += then;
        self.shown += then;
    }
}

/// Taking the write lock first, a transaction that writes never fails half-way for want of it.
fn sqlite_mode(options: TransactionOptions, read_only: bool) -> SqliteTransactionMode {
    options.sqlite_transaction_mode.unwrap_or(if read_only {
        SqliteTransactionMode::Deferred
    } else {
        SqliteTransactionMode::Immediate
    })
}

/// A role's name as an identifier, where the server takes it for what it says: it reads `none` as no role
/// at all, quoted or not, and cuts long names, perhaps to another role's.
pub(super) fn quoted_role(role: &str) -> Result<String, Error> {
    if role.is_empty() || role == "none" || role.contains('\0') || role.len() > LONGEST_NAME {
        return Err(Error::RoleRefused(None));
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
