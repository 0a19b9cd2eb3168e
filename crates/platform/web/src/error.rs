//! Errors of the platform's own: the database's, the request's, and those of the middleware.

mod database;
mod request;
mod service;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};

use self::database::problem as of_database;
pub(crate) use self::request::RequestError;
pub use self::service::problem as of_service;
use crate::problem::{self, Problem};

/// Why a request failed before or below the service's own rules.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] berth_database::Error),
    /// The request cannot be read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No route has this address.
    #[error("no route has this address")]
    NoRoute,
    /// The request ran longer than `server.request_timeout`.
    #[error("the request took longer than {0:?}")]
    Timeout(Duration),
    /// The handler panicked; the panic itself is logged where it happens.
    #[error("the handler panicked")]
    Panic,
}

impl Error {
    /// What the client sees. Each kind of failure is described once.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Database(error) => of_database(error),
            Self::Request(error) => error.problem(),
            Self::NoRoute => Problem::of_status(StatusCode::NOT_FOUND)
                .detail("`GET /` lists the addresses of this service."),
            Self::Timeout(_) => Problem::timeout(),
            Self::Panic => Problem::internal(),
        }
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.problem().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        problem::response(self, self.problem())
    }
}

/// An error with its causes, for logs and the terminal; a client sees its [`Problem`] instead.
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
