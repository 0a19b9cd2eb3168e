//! Errors of the platform's own: the database's, the request's, and those of the middleware.

mod auth;
mod database;
mod request;
mod service;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use berth_auth::TokenError;

pub use self::auth::problem as of_auth;
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
    /// A login failed.
    #[error(transparent)]
    Auth(#[from] berth_auth::Error),
    /// A service of the platform failed.
    #[error(transparent)]
    Service(#[from] berth_service::Error),
    /// The request has no token, or one that is refused.
    #[error("the request is not authenticated: {}", .0.map_or_else(|| "no token".to_owned(), |error| error.to_string()))]
    Unauthenticated(Option<TokenError>),
    /// The user does not have the role that the route requires.
    #[error("the user does not have the role {0}")]
    InsufficientRole(&'static str),
    /// The keys that verify the token cannot be read.
    #[error("the keys of the token's issuer have not been read yet")]
    IssuerUnavailable,
    /// A problem of the service's own.
    #[error("{}", .0.title)]
    Problem(Box<Problem>),
    /// No route has this address.
    #[error("no route matches the path")]
    NoRoute,
    /// The request ran longer than `server.request_timeout`.
    #[error("the request took longer than {0:?}")]
    Timeout(Duration),
    /// `server.max_requests` run already.
    #[error("too many requests are being processed")]
    Overloaded,
    /// The client has used its quota of `[rate_limit]`.
    #[error("the client sent too many requests")]
    RateLimited {
        /// Until the next request is admitted.
        retry_after: Duration,
    },
    /// Another request with the same `Idempotency-Key` runs at present.
    #[error("a request with this idempotency key is still being processed")]
    KeyInUse {
        /// When to ask for its answer.
        retry_after: Duration,
    },
    /// The `Idempotency-Key` was used for another request.
    #[error("the idempotency key was already used for another request")]
    KeyReused,
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
            Self::Auth(error) => of_auth(error),
            Self::Problem(problem) => *problem.clone(),
            Self::Service(error) => of_service(error),
            Self::Unauthenticated(error) => auth::unauthenticated(*error),
            Self::InsufficientRole(_) => auth::insufficient_role(),
            Self::IssuerUnavailable => auth::issuer_unavailable(),
            Self::NoRoute => Problem::of_status(StatusCode::NOT_FOUND)
                .detail("`GET /` lists the addresses of this service."),
            Self::Timeout(_) => Problem::timeout(),
            Self::Overloaded => Problem::of(&problem::OVERLOADED).retry_after(Duration::from_secs(1)),
            Self::RateLimited { retry_after } => {
                Problem::of(&problem::RATE_LIMITED).retry_after(*retry_after)
            }
            Self::KeyInUse { retry_after } => {
                Problem::of(&problem::IDEMPOTENCY_KEY_IN_USE).retry_after(*retry_after)
            }
            Self::KeyReused => Problem::of(&problem::IDEMPOTENCY_KEY_REUSED),
            Self::Panic => Problem::internal(),
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
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
