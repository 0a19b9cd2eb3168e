//! Errors of a request that are found before the rules of the service apply.

use actix_web::http::StatusCode;

use crate::extract::InputError;
use crate::problem::{self, Field, Problem};

/// Why a request cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The body is not JSON.
    #[error("the body is not JSON")]
    Syntax(#[source] serde_json::Error),
    /// The body or the query has another shape.
    #[error("the body or the query has an unexpected structure")]
    Content(#[from] InputError),
    /// The body has more levels than `server.json_depth`.
    #[error("the body is nested more than {limit} levels deep")]
    TooDeep {
        /// The most levels of arrays and objects.
        limit: usize,
    },
    /// A variable part of the path has another form.
    #[error("a path parameter is malformed: {0}")]
    Path(String),
    /// The content type is not `application/json`.
    #[error("the content type is not application/json")]
    ContentType,
    /// The body has a content encoding.
    #[error("the body has a content encoding")]
    ContentEncoding,
    /// The body is larger than `server.body_limit`.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The largest allowed body, in bytes.
        limit: usize,
    },
    /// The address is longer than `server.url_limit`.
    #[error("the URL has more than {limit} bytes")]
    UrlTooLong {
        /// The longest allowed address, in bytes.
        limit: usize,
    },
    /// The headers are larger than `server.header_limit`.
    #[error("the headers have more than {limit} bytes")]
    HeadersTooLarge {
        /// The largest allowed headers, in bytes.
        limit: usize,
    },
    /// The body took longer than `server.body_timeout`.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// A change without `If-Match`, which `server.require_if_match` demands.
    #[error("the If-Match header is missing")]
    NoIfMatch,
    /// The `Idempotency-Key` has another form.
    #[error("the idempotency key is malformed")]
    IdempotencyKey,
    /// The `Last-Event-ID` is not an id.
    #[error("the last event id is malformed")]
    LastEventId,
    /// The body ended early.
    #[error("the body could not be read: {0}")]
    Unreadable(String),
}

impl RequestError {
    /// What the client sees.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Syntax(error) => Problem::of(&problem::MALFORMED_JSON).detail(error.to_string()),
            Self::Content(error) => Problem::invalid_input(vec![Field::new(&*error.path, &*error.message)]),
            Self::TooDeep { limit } => Problem::of(&problem::INVALID_INPUT).detail(format!(
                "The body may nest arrays and objects at most {limit} levels deep."
            )),
            Self::Path(detail) => Problem::of(&problem::INVALID_PATH).detail(detail.clone()),
            Self::ContentType => Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail("Send the body as `content-type: application/json`."),
            Self::ContentEncoding => Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                .detail("Send the body uncompressed, without `content-encoding`."),
            Self::TooLarge { limit } => Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE)
                .detail(format!("The body may have at most {limit} bytes.")),
            Self::UrlTooLong { limit } => Problem::of_status(StatusCode::URI_TOO_LONG)
                .detail(format!("The URL may have at most {limit} bytes.")),
            Self::HeadersTooLarge { limit } => {
                Problem::of_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
                    .detail(format!("The headers may have at most {limit} bytes."))
            }
            Self::TooSlow => Problem::of_status(StatusCode::REQUEST_TIMEOUT)
                .detail("The body did not arrive in time. Send the request again."),
            Self::NoIfMatch => Problem::of_status(StatusCode::PRECONDITION_REQUIRED)
                .detail("Send the ETag of the version to change as `If-Match`."),
            Self::IdempotencyKey => Problem::of_status(StatusCode::BAD_REQUEST)
                .detail("`Idempotency-Key` must have 1 to 255 visible ASCII characters."),
            Self::LastEventId => Problem::of_status(StatusCode::BAD_REQUEST)
                .detail("`Last-Event-ID` must be the id of an event."),
            Self::Unreadable(_) => {
                Problem::of_status(StatusCode::BAD_REQUEST).detail("The body could not be read completely.")
            }
        }
    }
}
