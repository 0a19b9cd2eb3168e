//! Every way in which a request fails, and the one place that says what each looks like over HTTP.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use thiserror::Error;

use crate::problem::{Field, Problem};

/// Why a request fails.
#[derive(Debug, Error)]
pub enum ApiError {
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error(transparent)]
    Database(#[from] berth_database::Error),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("nothing is at this address")]
    NoSuchAddress,
    #[error("the request took longer than {0:?}")]
    TookTooLong(Duration),
    #[error("a panic was caught")]
    Panicked,
}

/// What is wrong with a request before any rule of ours has looked at it.
#[derive(Debug, Error)]
pub enum RequestError {
    #[error("the body is not JSON")]
    Syntax(#[source] serde_json::Error),
    #[error("the body does not fit")]
    Content(#[source] serde_path_to_error::Error<serde_json::Error>),
    #[error("the query does not fit")]
    Query(#[source] serde_path_to_error::Error<serde::de::value::Error>),
    #[error("the path does not fit: {0}")]
    Path(String),
    #[error("the content type is not application/json")]
    ContentType,
    #[error("the body has more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body could not be read: {0}")]
    Unreadable(String),
}

impl ApiError {
    /// What the client is told. Each kind of failure stands here once.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Service(error) => of_service(error),
            Self::Database(error) => of_database(error),
            Self::Request(error) => of_request(error),
            Self::NoSuchAddress => {
                Problem::plain(StatusCode::NOT_FOUND).detail("`GET /` tells where things are.")
            }
            Self::TookTooLong(_) => took_too_long(),
            Self::Panicked => internal(),
        }
    }
}

/// An error with its causes, for logs and the terminal; a client is told its [`Problem`] instead.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.problem().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The head alone: the body is written at the boundary, which knows the request.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(after) = self.problem().retry_after {
            response.insert_header((header::RETRY_AFTER, whole_seconds(after)));
        }
        response.finish()
    }
}

fn of_service(error: &service::Error) -> Problem {
    match error {
        service::Error::NotFound => not_found(),
        service::Error::Validation(fields) => invalid(
            fields
                .iter()
                .map(|field| Field::new(&*field.path, &*field.message))
                .collect(),
        ),
        service::Error::Conflict => conflict(),
        service::Error::Upstream { detail, .. } => Problem::new(
            StatusCode::BAD_GATEWAY,
            "upstream-failed",
            "A service that this one depends on failed",
        )
        .detail(detail.clone()),
        service::Error::Database(error) => of_database(error),
    }
}

fn of_database(error: &berth_database::Error) -> Problem {
    use berth_database::Error;
    match error {
        Error::Saturated { retry_after } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "saturated",
            "All database connections are in use",
        )
        .retry_after(*retry_after),
        Error::Unreachable { .. } | Error::Permanent { .. } | Error::ConnectionLost => unavailable(),
        Error::ShuttingDown => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting-down",
            "The service is shutting down",
        )
        .retry_after(Duration::from_secs(1)),
        Error::DeadlineExceeded => took_too_long(),
        Error::CommitUnknown => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "outcome-unknown",
            "It is not known whether the change was stored",
        )
        .detail("The database was lost while it confirmed the change. Look before you repeat it."),
        Error::Serialization => Problem::new(
            StatusCode::CONFLICT,
            "concurrent-change",
            "Another change came in between",
        )
        .detail("Nothing was stored. Repeat the request.")
        .retry_after(Duration::from_secs(1)),
        Error::UniqueViolation { .. } => conflict().detail("Something with these values exists already."),
        Error::ForeignKeyViolation { .. } => {
            conflict().detail("It refers to something that is not there, or something refers to it.")
        }
        Error::CheckViolation { .. } | Error::NotNullViolation => invalid(Vec::new()),
        Error::NotFound => not_found(),
        Error::TransactionFailed
        | Error::SessionBusy
        | Error::SessionClosed
        | Error::Unsupported(_)
        | Error::Statement(_) => internal(),
    }
}

fn of_request(error: &RequestError) -> Problem {
    match error {
        RequestError::Syntax(error) => {
            Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON")
                .detail(error.to_string())
        }
        RequestError::Content(error) => invalid(vec![field(error)]),
        RequestError::Query(error) => invalid(vec![field(error)]),
        RequestError::Path(detail) => {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-path", "The path is not valid")
                .detail(detail.clone())
        }
        RequestError::ContentType => Problem::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .detail("Send the body as `content-type: application/json`."),
        RequestError::TooLarge { limit } => Problem::plain(StatusCode::PAYLOAD_TOO_LARGE)
            .detail(format!("The body may have at most {limit} bytes.")),
        RequestError::Unreadable(_) => {
            Problem::plain(StatusCode::BAD_REQUEST).detail("The body could not be read to its end.")
        }
    }
}

/// Rounded up, and at least one: a client that comes back too early is refused again.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_millis().div_ceil(1000).max(1))
        .try_into()
        .unwrap_or(u64::MAX)
}

fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing")
        .detail("It does not exist, or it is not yours.")
}

fn invalid(errors: Vec<Field>) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid-input",
        "The input is not valid",
    )
    .errors(errors)
}

fn conflict() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "conflict",
        "It conflicts with what is stored",
    )
}

fn unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "database-unavailable",
        "The database cannot be reached",
    )
    .detail("Nothing was stored.")
    .retry_after(Duration::from_secs(2))
}

fn took_too_long() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "took-too-long",
        "The request took too long",
    )
    .detail("It was stopped.")
    .retry_after(Duration::from_secs(1))
}

fn internal() -> Problem {
    Problem::plain(StatusCode::INTERNAL_SERVER_ERROR).detail("It is in our logs under the request id.")
}

fn field<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> Field {
    let path = error.path().to_string();
    Field::new(
        if path == "." { String::new() } else { path },
        error.inner().to_string(),
    )
}
