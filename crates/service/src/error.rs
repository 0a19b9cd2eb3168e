//! Why a service did not do what it was asked to.

use sea_orm::DbErr;
use uuid::Uuid; // sample

use crate::ResponderError; // sample

/// Every way in which a service fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none, or it is not the caller's to see: which of the two is not told.
    #[error("there is no such thing")]
    NotFound,
    /// The input breaks rules; every broken one is listed.
    #[error("the input is not valid: {}", list(.0))]
    Validation(Vec<FieldError>),
    /// The thing is not in a state in which this can be done to it.
    #[error("this cannot be done to it")]
    Conflict,
    // sample begins
    /// The responder gave no answer. The question is stored.
    #[error("the responder gave no answer")]
    Responder {
        /// The stored question.
        question_id: Uuid,
        /// What went wrong.
        source: ResponderError,
    },
    // sample ends
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] berth_database::Error),
}

/// A rule that a part of the input breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Where in the input: the field's name, with dots and brackets below it.
    pub path: String,
    /// What is wrong, in words.
    pub message: String,
}

impl Error {
    /// One broken rule.
    pub(crate) fn invalid(path: &str, message: impl Into<String>) -> Self {
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
        let broken = report.into_inner().into_iter().map(|(path, error)| FieldError {
            path: path.to_string(),
            message: error.message().to_owned(),
        });
        Error::Validation(broken.collect())
    }
}

fn list(fields: &[FieldError]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|field| format!("{}: {}", field.path, field.message))
        .collect();
    fields.join("; ")
}
