//! Every way in which a request fails, and the problem that the client sees for each.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use berth_web::Problem;
use berth_web::problem;

/// What handlers return.
pub type ApiResult<T> = Result<T, ApiError>;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A service refused, or failed.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The request or the database, without a service in between.
    #[error(transparent)]
    Web(#[from] berth_web::Error),
}

impl ApiError {
    /// What the client sees. Each kind of failure is described once.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Service(error) => problem::of_service(error),
            Self::Web(error) => error.problem(),
        }
    }
}

impl From<berth_database::Error> for ApiError {
    fn from(error: berth_database::Error) -> Self {
        Self::Web(error.into())
    }
}

impl From<berth_auth::Error> for ApiError {
    fn from(error: berth_auth::Error) -> Self {
        Self::Web(error.into())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.problem().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        problem::response(self, self.problem())
    }
}
