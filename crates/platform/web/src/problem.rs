//! The body of every error response: RFC 9457, `application/problem+json`.

mod types;

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::types::*;
use crate::error::with_causes;
pub use crate::error::{of_auth, of_service};

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// An RFC 9457 problem. It never contains SQL, host names or a driver's text.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Problem {
    /// The type of problem, for programs: a URL of this service that explains it, or `about:blank` where the status
    /// is sufficient.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "/problems/invalid-input")]
    pub kind: Cow<'static, str>,
    /// The type of problem, for people.
    #[schema(value_type = String, example = "Invalid input")]
    pub title: Cow<'static, str>,
    /// The HTTP status, for clients that keep only the body.
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong with this request, and what to do about it.
    #[schema(value_type = Option<String>, example = "Correct the fields and send the request again.")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'static, str>>,
    /// The path of the request.
    #[schema(example = "/api/v1/things")]
    pub instance: String,
    /// The id of the request in the service's logs: quote it when you report the problem.
    #[schema(example = "0198f2f1b1c27c2a9d0f3f6f4f1f2a3b")]
    pub request_id: String,
    /// The invalid fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Field>,
    /// Sent as the header `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Sent as the header `WWW-Authenticate`.
    #[serde(skip)]
    pub www_authenticate: Option<Cow<'static, str>>,
}

/// An invalid field.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Field {
    /// The path of the field, such as `items[2].title`.
    #[schema(example = "title")]
    pub path: String,
    /// The rule it breaks.
    #[schema(example = "must not be empty")]
    pub message: String,
}

impl Problem {
    /// A problem of one of the types that `/problems/{name}` explains.
    pub fn of(kind: &'static ProblemType) -> Self {
        Self {
            kind: format!("/problems/{}", kind.name).into(),
            detail: kind.detail.map(Cow::Borrowed),
            ..Self::bare(kind.status, kind.title)
        }
    }

    /// A problem whose status says it all.
    pub fn of_status(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Unknown status");
        Self::bare(status.as_u16(), title)
    }

    /// 404 for something that does not exist or that the caller may not see.
    pub fn not_found() -> Self {
        Self::of(&NOT_FOUND)
    }

    /// 422 with the invalid fields.
    pub fn invalid_input(errors: Vec<Field>) -> Self {
        Self::of(&INVALID_INPUT).errors(errors)
    }

    /// 503 for a request that took longer than allowed.
    pub fn timeout() -> Self {
        Self::of(&TIMEOUT).retry_after(Duration::from_secs(1))
    }

    /// 500: the cause is in the log, under the request id.
    pub fn internal() -> Self {
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR)
            .detail("Internal error; quote the request id when you report it.")
    }

    fn bare(status: u16, title: &'static str) -> Self {
        Self {
            kind: "about:blank".into(),
            title: title.into(),
            status,
            detail: None,
            instance: String::new(),
            request_id: String::new(),
            errors: Vec::new(),
            retry_after: None,
            www_authenticate: None,
        }
    }

    /// Sets what is wrong this time.
    #[must_use]
    pub fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// Sets the invalid fields.
    #[must_use]
    pub fn errors(self, errors: Vec<Field>) -> Self {
        Self { errors, ..self }
    }

    /// Sets after how long a retry may succeed; rounded up to whole seconds in the header.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self {
            retry_after: Some(after),
            ..self
        }
    }

    /// Sets how to authenticate, in the words of RFC 6750.
    #[must_use]
    pub fn www_authenticate(self, challenge: impl Into<Cow<'static, str>>) -> Self {
        Self {
            www_authenticate: Some(challenge.into()),
            ..self
        }
    }

    /// The HTTP status.
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl Field {
    /// A field and the rule it breaks.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// The error behind an answer, for the log only.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) String);

/// The head of the answer to `error`, for an `actix_web::ResponseError`. The middleware
/// [`error_response`](crate::middleware::error_response) writes the body, because it knows the request.
pub fn response(error: &(dyn Error + 'static), problem: Problem) -> HttpResponse {
    let mut response = HttpResponse::build(problem.status_code()).finish();
    if let Some(after) = problem.retry_after {
        let seconds = header::HeaderValue::from(whole_seconds(after));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    let challenge = problem.www_authenticate.as_deref();
    if let Some(Ok(challenge)) = challenge.map(header::HeaderValue::from_str) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    let mut extensions = response.extensions_mut();
    extensions.insert(Cause(with_causes(error)));
    extensions.insert(problem);
    drop(extensions);
    response
}

/// Rounded up, and at least one: a client that returns too early is refused again.
fn whole_seconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(1000).max(1)).unwrap_or(u64::MAX)
}
