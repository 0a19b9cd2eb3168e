//! The ways in which a service fails.

use std::borrow::Cow;

use sea_orm::DbErr;

/// The closed list of ways in which a service fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The row does not exist, or the caller may not see it: the caller cannot distinguish the two.
    #[error("not found")]
    NotFound,
    /// The input breaks rules; every broken rule is listed.
    #[error("invalid input: {}", list(.0))]
    Validation(Vec<FieldError>),
    /// The row has another version than the caller expects.
    #[error("the row has another version")]
    PreconditionFailed,
    /// The row's present state does not allow the operation.
    #[error("conflict with the current state")]
    Conflict,
    /// A service that this one depends on failed.
    #[error("{detail}")]
    Upstream {
        /// What failed and what was stored nevertheless, for the client.
        detail: Cow<'static, str>,
        /// The cause, for the log.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database failed, or refused the statement.
    #[error(transparent)]
    Database(#[from] berth_database::Error),
}

/// A rule that one field of the input breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name, with dots and brackets for what is nested: `items[2].title`.
    pub path: String,
    /// The rule, as text for the client.
    pub message: String,
}

impl Error {
    /// Returns a validation error for one field.
    pub fn invalid(path: &str, message: impl Into<String>) -> Self {
        Error::Validation(vec![FieldError {
            path: path.to_owned(),
            message: message.into(),
        }])
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Error::Database(error.into())
    }
}

impl From<garde::Report> for Error {
    fn from(report: garde::Report) -> Self {
        let fields = report.into_inner().into_iter().map(|(path, error)| FieldError {
            path: path.to_string(),
            message: error.message().to_owned(),
        });
        Error::Validation(fields.collect())
    }
}

fn list(fields: &[FieldError]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|field| format!("{}: {}", field.path, field.message))
        .collect();
    fields.join("; ")
}
