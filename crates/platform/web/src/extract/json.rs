//! Extractor for a JSON body.

use std::io::ErrorKind;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::input;
use crate::app_state::BodyLimits;
use crate::error::{Error, RequestError};

/// The request's body as `T`; the problem of a body of another shape names the path of the field.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// The request's body as the fields to change: at least one, and none of them null.
///
/// A change of nothing would still be stored as one. A field that may become null is declared with
/// [`nullable`](super::nullable).
#[derive(Debug)]
pub struct Patch<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload);
        Box::pin(async move {
            let (body, limits) = body.await?;
            Ok(Self(input::json(&body, limits.json_depth)?))
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Patch<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload);
        Box::pin(async move {
            let (body, limits) = body.await?;
            Ok(Self(input::patch(&body, limits.json_depth)?))
        })
    }
}

fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<(Bytes, BodyLimits), RequestError>> + use<> {
    let is_json = is_json(request);
    let limits = request.app_data::<web::Data<BodyLimits>>();
    let limits = limits.map_or_else(BodyLimits::default, |limits| ***limits);
    let body = Bytes::from_request(request, payload);
    async move {
        if !is_json {
            return Err(RequestError::ContentType);
        }
        let body = body.await.map_err(|error| unread(&error, limits.bytes))?;
        Ok((body, limits))
    }
}

/// `application/json` and its relatives such as `application/merge-patch+json`, with any parameters.
fn is_json(request: &HttpRequest) -> bool {
    let value = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

pub(crate) fn unread(error: &actix_web::Error, limit: usize) -> RequestError {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => RequestError::TooLarge { limit },
        Some(PayloadError::Io(error)) if error.kind() == ErrorKind::TimedOut => RequestError::TooSlow,
        _ => RequestError::Unreadable(error.to_string()),
    }
}
