//! The problem of each error of the database.

use std::time::Duration;

use berth_database::Error;

use crate::problem::{self, Problem};

/// What the client sees of an error of the database.
pub fn problem(error: &Error) -> Problem {
    match error {
        Error::Saturated { retry_after } => Problem::of(&problem::SATURATED).retry_after(*retry_after),
        Error::Unreachable { .. } | Error::Permanent { .. } | Error::ConnectionLost => {
            Problem::of(&problem::DATABASE_UNAVAILABLE)
                .detail("Nothing was stored.")
                .retry_after(Duration::from_secs(2))
        }
        Error::ShuttingDown => Problem::of(&problem::SHUTTING_DOWN).retry_after(Duration::from_secs(1)),
        Error::DeadlineExceeded => Problem::timeout(),
        Error::CommitUnknown => Problem::of(&problem::OUTCOME_UNKNOWN).detail(
            "The connection was lost during COMMIT. Read the data before you send the request again.",
        ),
        Error::Serialization => Problem::of(&problem::CONCURRENT_CHANGE)
            .detail("Nothing was stored. Send the request again.")
            .retry_after(Duration::from_secs(1)),
        Error::UniqueViolation { .. } => {
            Problem::of(&problem::CONFLICT).detail("Something with these values exists already.")
        }
        Error::ForeignKeyViolation { .. } => Problem::of(&problem::CONFLICT)
            .detail("It refers to something that does not exist, or something refers to it."),
        Error::CheckViolation { .. } | Error::NotNullViolation => Problem::of(&problem::INVALID_INPUT),
        Error::NotFound => Problem::not_found(),
        Error::TransactionFailed
        | Error::SessionBusy
        | Error::SessionClosed
        | Error::Unsupported(_)
        | Error::Statement(_) => Problem::internal(),
    }
}
