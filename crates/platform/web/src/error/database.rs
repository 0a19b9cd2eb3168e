//! The problem of each error of the database.

use std::time::Duration;

use berth_database::Error;

use crate::problem::{self, Problem};

/// What the client sees of an error of the database.
pub(super) fn problem(error: &Error) -> Problem {
    match error {
        Error::Saturated { retry_after } => Problem::of(&problem::SATURATED).retry_after(*retry_after),
        Error::Unreachable { .. } | Error::Permanent { .. } | Error::ConnectionLost => unavailable(),
        Error::ShuttingDown => Problem::of(&problem::SHUTTING_DOWN).retry_after(Duration::from_secs(1)),
        Error::DeadlineExceeded => Problem::timeout(),
        Error::CommitUnknown => Problem::of(&problem::OUTCOME_UNKNOWN).detail(
            "The connection was lost during COMMIT. Retry with the same Idempotency-Key, or read the data first if \
             there was none.",
        ),
        Error::Serialization => Problem::of(&problem::CONCURRENT_CHANGE)
            .detail("Uncommitted changes were rolled back. Send the request again.")
            .retry_after(Duration::from_secs(1)),
        Error::UniqueViolation { .. } => {
            Problem::of(&problem::CONFLICT).detail("A record with these values already exists.")
        }
        Error::ForeignKeyViolation { .. } => Problem::of(&problem::CONFLICT)
            .detail("It refers to a record that does not exist, or another record refers to it."),
        Error::CheckViolation { .. } | Error::NotNullViolation => Problem::of(&problem::INVALID_INPUT),
        Error::NotFound => Problem::not_found(),
        Error::RoleRefused(_) => Problem::of(&problem::FORBIDDEN),
        Error::TransactionFailed | Error::SessionBusy | Error::SessionClosed | Error::Unsupported(_) => {
            Problem::internal()
        }
        Error::Statement(_) if error.is_not_inserted() => {
            Problem::of(&problem::CONFLICT).detail("A record with these values already exists.")
        }
        Error::Statement(_) => error
            .sqlstate()
            .map_or_else(Problem::internal, |code| of_sqlstate(&code)),
    }
}

/// The problem of a statement that failed with a code that has no variant in [`Error`].
///
/// Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_sqlstate(code: &str) -> Problem {
    match code {
        // Restrict and exclusion violation.
        "23001" | "23P01" => Problem::of(&problem::CONFLICT).detail("It conflicts with stored data."),
        // Insufficient privilege.
        "42501" => Problem::of(&problem::FORBIDDEN),
        // Lock not available.
        "55P03" => Problem::of(&problem::CONCURRENT_CHANGE)
            .detail(
                "Another request has locked the data. Uncommitted changes were rolled back. Send the request \
                again.",
            )
            .retry_after(Duration::from_secs(1)),
        // The server takes no writes: it is a standby, or its disk is full.
        "25006" => unavailable(),
        // A row that the condition of a view does not allow.
        "44000" => Problem::of(&problem::INVALID_INPUT),
        // Data exception, program limit exceeded.
        _ if code.starts_with("22") || code.starts_with("54") => Problem::of(&problem::INVALID_INPUT),
        // Insufficient resources: memory, disk, connections.
        _ if code.starts_with("53") => unavailable(),
        _ => Problem::internal(),
    }
}

fn unavailable() -> Problem {
    Problem::of(&problem::DATABASE_UNAVAILABLE)
        .detail("Uncommitted changes were rolled back.")
        .retry_after(Duration::from_secs(2))
}
