//! Errors of sessions, as a closed set that callers can match.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr};
use sqlx::Error as SqlxError;
use sqlx::error::ErrorKind;

use crate::connect::connect_error::{Reason, is_lost};

/// Why a session failed.
///
/// SeaORM's functions return [`DbErr`]; converting that gives the original error back, so
/// `?` works from SeaORM's functions straight into this type.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No connection became free in time, or too many callers are already waiting. Try again later.
    #[error("no database connection became free in time")]
    Saturated {
        /// When one is likely to be free, by the rate of releases.
        retry_after: Duration,
    },
    /// The database does not answer. Attempts go on in the background; try again later.
    #[error("the database cannot be reached: {reason}")]
    Unreachable {
        /// Why the last connection attempt failed.
        reason: Reason,
    },
    /// The settings do not fit the server; no attempt will help until one of the two changes.
    #[error("the database rejects this service: {reason}")]
    Permanent {
        /// Why the last connection attempt failed.
        reason: Reason,
    },
    /// A statement or the whole unit of work ran past its deadline; what was not committed is undone.
    #[error("the deadline passed during database work")]
    DeadlineExceeded,
    /// The connection was lost in the middle of a transaction; nothing of that transaction is stored.
    #[error("the database connection was lost; its transaction was rolled back")]
    ConnectionLost,
    /// COMMIT was sent and its answer lost: the work may or may not be stored.
    #[error("the outcome of the commit is unknown: the connection was lost before the answer")]
    CommitUnknown,
    /// A statement had failed earlier, so the transaction was rolled back instead of committed.
    #[error("the transaction was rolled back: one of its statements had failed")]
    TransactionFailed,
    /// A serialization failure or deadlock (40001 or 40P01); the whole unit of work may be run again.
    #[error("serialization failure or deadlock; run the transaction again")]
    Serialization,
    /// A row with the same key exists.
    #[error("a row with the same key already exists")]
    UniqueViolation {
        /// The constraint's name, where the server reports it.
        constraint: Option<String>,
    },
    /// A row that is referred to does not exist, or one that is referred to would vanish.
    #[error("a row refers to a row that does not exist")]
    ForeignKeyViolation {
        /// The constraint's name, where the server reports it.
        constraint: Option<String>,
    },
    /// A value breaks a check.
    #[error("a value breaks a rule of the table")]
    CheckViolation {
        /// The constraint's name, where the server reports it.
        constraint: Option<String>,
    },
    /// A value is missing.
    #[error("a required value is missing")]
    NotNullViolation,
    /// No such row.
    #[error("no such row")]
    NotFound,
    /// A stream or nested transaction of this session is open; statements go through it.
    #[error("the session is busy: a stream or nested transaction of it is open")]
    SessionBusy,
    /// The session has ended.
    #[error("the session has ended")]
    SessionClosed,
    /// The service is stopping.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// The server refuses the session's role, or would take it for another one; nothing ran.
    #[error("the database rejects the session's role")]
    RoleRefused(#[source] Option<DbErr>),
    /// Not supported in this pooler mode or on this database.
    #[error("not supported here: {0}")]
    Unsupported(&'static str),
    /// Any other error of a statement.
    #[error("a statement failed")]
    Statement(#[source] DbErr),
}

impl Error {
    /// Whether the same unit of work may succeed if it is run again from its beginning.
    pub fn is_serialization(&self) -> bool {
        matches!(self, Self::Serialization)
    }

    /// Returns the SQLSTATE of a statement that failed for a reason without a variant of its own.
    pub fn sqlstate(&self) -> Option<String> {
        let Self::Statement(DbErr::Conn(error) | DbErr::Exec(error) | DbErr::Query(error)) = self else {
            return None;
        };
        let RuntimeErr::SqlxError(error) = error else {
            return None;
        };
        Some(error.as_database_error()?.code()?.into_owned())
    }

    /// Whether an INSERT stored no row, as `ON CONFLICT DO NOTHING` may.
    pub fn is_not_inserted(&self) -> bool {
        matches!(self, Self::Statement(DbErr::RecordNotInserted))
    }

    pub(crate) fn from_sqlx(error: SqlxError) -> Self {
        DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        let inner = match &error {
            DbErr::RecordNotFound(_) | DbErr::RecordNotUpdated => return Self::NotFound,
            DbErr::Conn(RuntimeErr::SqlxError(inner))
            | DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => inner,
            _ => return Self::Statement(error),
        };
        match classified(inner) {
            Some(known) => known,
            None => Self::Statement(error),
        }
    }
}

/// Returns what a driver's error means, unless only its statement is concerned.
fn classified(error: &SqlxError) -> Option<Error> {
    match error {
        SqlxError::RowNotFound => Some(Error::NotFound),
        SqlxError::Io(io) => match io.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(ours) => Some(ours.clone()),
            None => Some(Error::ConnectionLost),
        },
        SqlxError::Database(database) => {
            let constraint = || database.constraint().map(str::to_owned);
            match (database.code().as_deref(), database.kind()) {
                (Some("40001" | "40P01"), _) => Some(Error::Serialization),
                (Some("57014" | "25P04"), _) => Some(Error::DeadlineExceeded),
                (_, ErrorKind::UniqueViolation) => Some(Error::UniqueViolation {
                    constraint: constraint(),
                }),
                (_, ErrorKind::ForeignKeyViolation) => Some(Error::ForeignKeyViolation {
                    constraint: constraint(),
                }),
                (_, ErrorKind::CheckViolation) => Some(Error::CheckViolation {
                    constraint: constraint(),
                }),
                (_, ErrorKind::NotNullViolation) => Some(Error::NotNullViolation),
                _ => is_lost(error).then_some(Error::ConnectionLost),
            }
        }
        _ => is_lost(error).then_some(Error::ConnectionLost),
    }
}

impl From<Error> for DbErr {
    /// Carries an error through SeaORM's functions; `Error::from` gets it out again unchanged.
    fn from(error: Error) -> Self {
        match error {
            Error::Statement(error) => error,
            Error::NotFound => DbErr::RecordNotFound("no such row".to_owned()),
            other => DbErr::Conn(RuntimeErr::SqlxError(Arc::new(SqlxError::Io(io::Error::other(
                other,
            ))))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_conversion_through_seaorm() {
        let constraint = Some("uq_users_email".to_owned());
        let error = Error::from(DbErr::from(Error::UniqueViolation {
            constraint: constraint.clone(),
        }));
        assert!(matches!(error, Error::UniqueViolation { constraint: found } if found == constraint));
        assert!(matches!(
            Error::from(DbErr::from(Error::NotFound)),
            Error::NotFound
        ));
    }
}
