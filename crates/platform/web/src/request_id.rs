//! The id of a request: the client's or our own, in every log line about it, and in its answer.

use std::fmt;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use uuid::Uuid;

use crate::Error;

/// The header that carries it, in and out.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones would let a client fill the logs.
const LONGEST: usize = 64;

/// The id of one request. It is safe in a log line and in a header: letters, digits, `-`, `_` and `.` only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// Takes the client's own where it is safe and short, and makes one otherwise.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get(HEADER)
            .and_then(|value| value.to_str().ok())
            .filter(|id| is_safe(id));
        Self(given.map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The value for the answer's header.
    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromRequest for RequestId {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(Ok(known.unwrap_or_else(|| Self::of(request.headers()))))
    }
}

fn is_safe(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HEADER, HeaderValue::from_static(id))])
    }

    #[test]
    fn a_clients_own_id_is_kept_where_it_is_safe() {
        assert_eq!(RequestId::of(&given("deploy-42_a.b")).as_str(), "deploy-42_a.b");
    }

    #[test]
    fn an_id_that_could_forge_or_flood_a_log_is_replaced() {
        for unsafe_id in ["", "two words", "{\"level\":\"error\"}", "a\tb"] {
            assert_ne!(RequestId::of(&given(unsafe_id)).as_str(), unsafe_id);
        }
        let long = HeaderMap::from_iter([(HEADER, HeaderValue::from_str(&"a".repeat(65)).unwrap())]);
        assert_eq!(RequestId::of(&long).as_str().len(), 32);
    }
}
