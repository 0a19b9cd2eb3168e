//! The form in which every error leaves: RFC 9457, `application/problem+json`.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, told to the client: never SQL, hosts or a driver's words.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem, for programs: `urn:problem:…`, or `about:blank` where the status says it all.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:problem:invalid-input")]
    pub kind: Cow<'static, str>,
    /// The kind of problem, for people.
    #[schema(value_type = String, example = "The input is not valid")]
    pub title: Cow<'static, str>,
    /// The HTTP status, for those who only keep the body.
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong this time, and what to do about it.
    #[schema(value_type = Option<String>, example = "title: must not be empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'static, str>>,
    /// The path that was asked for.
    #[schema(example = "/api/v1/conversations")] // sample
    pub instance: String,
    /// The name of the request in our logs: quote it when you ask for help.
    #[schema(example = "0198f2f1b1c27c2a9d0f3f6f4f1f2a3b")]
    pub request_id: String,
    /// The fields that are not valid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Field>,
    /// Leaves as the header `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// A field that is not valid.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Field {
    /// Where it is, as in `items[2].title`.
    #[schema(example = "title")]
    pub path: String,
    /// The rule it breaks.
    #[schema(example = "must not be empty")]
    pub message: String,
}

impl Problem {
    /// A problem of a kind of its own.
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str) -> Self {
        Self {
            kind: format!("urn:problem:{kind}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail: None,
            instance: String::new(),
            request_id: String::new(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// A problem about which its status says everything.
    pub fn plain(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Unknown status");
        Self {
            kind: "about:blank".into(),
            ..Self::new(status, "", title)
        }
    }

    pub fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    pub fn errors(self, errors: Vec<Field>) -> Self {
        Self { errors, ..self }
    }

    /// Rounded up to whole seconds when it leaves: a client that comes back too early is refused again.
    pub fn retry_after(self, after: Duration) -> Self {
        Self {
            retry_after: Some(after),
            ..self
        }
    }
}

impl Field {
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}
