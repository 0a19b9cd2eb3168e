//! How a round trip can go wrong, as far as it decides what happens next.

use std::sync::Arc;

use sea_orm::{DbErr, RuntimeErr};
use sqlx::Error as SqlxError;

use crate::error::Error;

/// How a round trip went wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection is lost, or its cached plans are stale: another one would do.
    Lost,
    /// The server's answer was an error.
    Statement(SqlxError),
    /// Ours.
    Own(Error),
}

impl From<Fault> for DbErr {
    fn from(fault: Fault) -> Self {
        match fault {
            // SeaORM's own shape, so that `DbErr::sql_err` and the like work.
            Fault::Statement(error) => DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))),
            Fault::Lost => Error::ConnectionLost.into(),
            Fault::Own(error) => error.into(),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Statement(error) => Self::from_sqlx(error),
            Fault::Lost => Self::ConnectionLost,
            Fault::Own(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

/// The connection is of no use any more, and the statement would fare no better on another one: an answer
/// that sqlx does not expect, or the server's limit for a whole transaction.
pub(crate) fn is_final(error: &SqlxError) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(error, SqlxError::Protocol(_)) || code.as_deref() == Some("25P04")
}

/// A plan that a migration has made stale; every connection as old has it too.
pub(crate) fn is_stale(error: &SqlxError) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("0A000") && error.message().contains("cached plan")
    })
}
