//! Classifies the error of a statement: whether its connection is usable, and whether a retry is safe.

use std::time::Duration;

use sea_orm::DbErr;
use sqlx::Error as SqlxError;
use sqlx::postgres::PgDatabaseError;

use crate::connect::connect_error::{Loss, loss};
use crate::error::Error;

/// A connection that was closed while it was idle shows that at the first statement, and within this time.
const LOST_BEFORE: Duration = Duration::from_millis(100);

/// How often a statement is sent again where it is not the reason for the loss.
pub(super) const RETRIES: u32 = 5;

/// Why an attempt to run a statement failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection is lost or unusable.
    Lost(Resend),
    /// The statement's own error, or the session's.
    Error(DbErr),
}

/// Whether the statement may be sent again, on another connection and unseen by the caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Resend {
    /// Once.
    Allowed,
    /// Several times: the sessions of others were ended as well, so the statement is not the reason.
    Uncounted,
    Forbidden,
}

/// How often a statement was sent again.
#[derive(Debug, Default)]
pub(super) struct Resends {
    counted: bool,
    uncounted: u32,
}

impl Resends {
    /// Counts one more attempt, if it is allowed.
    pub(super) fn admit(&mut self, resend: Resend) -> bool {
        match resend {
            Resend::Allowed => !std::mem::replace(&mut self.counted, true),
            Resend::Uncounted if self.uncounted < RETRIES => {
                self.uncounted += 1;
                true
            }
            Resend::Uncounted | Resend::Forbidden => false,
        }
    }
}

impl From<Failure> for DbErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Lost(_) => Error::ConnectionLost.into(),
            Failure::Error(error) => error,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        DbErr::from(failure).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error.into())
    }
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Error(error)
    }
}

/// What a statement's error means for the connection that it came on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// The statement failed; the connection stays usable.
    Statement,
    /// The connection is in an unknown state; other connections are not affected.
    Unusable,
    /// The connection is lost.
    Lost(Loss),
    /// A schema change has made the plans of this connection, and of all opened before it, stale.
    StalePlan,
    /// A named statement of the driver is missing on the server, or already there.
    WrongStatements,
    /// The session or the server is read-only. A server that is, without the session being so, was failed over or is
    /// full, and connections as old lead to the same server.
    ReadOnly,
}

/// Returns what an error means.
pub(super) fn meaning(error: &SqlxError) -> Meaning {
    let database = error.as_database_error();
    let code = database.and_then(|error| error.code());
    if matches!(error, SqlxError::Protocol(_)) || code.as_deref() == Some("25P04") {
        return Meaning::Unusable;
    }
    if let Some(loss) = loss(error) {
        return Meaning::Lost(loss);
    }
    match code.as_deref() {
        Some("26000") if database.is_some_and(is_unprepared) => Meaning::StalePlan,
        Some("0A000") if database.is_some_and(is_stale_plan) => Meaning::StalePlan,
        // The driver's own names only: a caller's EXECUTE may fail in the same way.
        Some("26000" | "42P05") if database.is_some_and(|error| error.message().contains("\"sqlx_s_")) => {
            Meaning::WrongStatements
        }
        Some("25006") => Meaning::ReadOnly,
        _ => Meaning::Statement,
    }
}

/// PostgreSQL names the function that reports a stale plan in every language.
fn is_stale_plan(error: &dyn sqlx::error::DatabaseError) -> bool {
    routine(error) == Some("RevalidateCachedQuery") || error.message().contains("cached plan")
}

/// Behind a transaction pooler, a schema change has brought types that sqlx asked for between preparing and executing.
/// For EXECUTE another function reports that a statement is missing.
fn is_unprepared(error: &dyn sqlx::error::DatabaseError) -> bool {
    routine(error) == Some("exec_bind_message") || error.message().contains("unnamed prepared statement")
}

fn routine(error: &dyn sqlx::error::DatabaseError) -> Option<&str> {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .and_then(PgDatabaseError::routine)
}

/// What was lost with a connection, as far as it decides about sending the statement again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sent {
    /// BEGIN with its settings, which changes nothing.
    Begin,
    /// A plain read outside a transaction.
    PlainRead,
    /// Another statement outside a transaction: it may have been stored.
    Lone,
    /// The first statement of a transaction.
    First,
    /// Anything else: what came before it in its transaction is lost too.
    Later,
}

/// Returns whether a statement that was lost with its connection may be sent again.
///
/// A statement that takes its backend down must not be multiplied: a crash of the server (57P02) is never answered with
/// another attempt, and a first statement gets one only where the connection had probably been lost before: `after_idle`
/// is how long it took, on a connection that had been idle.
pub(super) fn resend(error: &SqlxError, sent: Sent, after_idle: Option<Duration>) -> Resend {
    let code = error.as_database_error().and_then(|error| error.code());
    let allowed = match sent {
        _ if code.as_deref() == Some("57P02") => sent == Sent::Begin,
        Sent::Begin | Sent::PlainRead => true,
        Sent::First => after_idle.is_some_and(|took| took < LOST_BEFORE),
        Sent::Lone | Sent::Later => false,
    };
    if allowed {
        Resend::Allowed
    } else {
        Resend::Forbidden
    }
}

/// Whether an administrator's command, or the statement itself by such a command, has ended the session.
pub(super) fn is_termination(error: &SqlxError) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .as_deref()
        == Some("57P01")
}
