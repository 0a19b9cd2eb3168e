//! The body as JSON.

use crate::app_state::BodyLimit;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::error::{Error, RequestError};

/// The request's body as `T`; the problem of a body of another shape names the path of the field.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let limit = request
            .app_data::<web::Data<BodyLimit>>()
            .map_or(0, |limit| limit.0);
        let body = Bytes::from_request(request, payload);
        Box::pin(async move {
            if !is_json {
                return Err(RequestError::ContentType.into());
            }
            let body = body.await.map_err(|error| unread(&error, limit))?;
            Ok(Self(parse(&body)?))
        })
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

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, RequestError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        if error.inner().is_data() {
            RequestError::Content(error)
        } else {
            RequestError::Syntax(error.into_inner())
        }
    })?;
    deserializer.end().map_err(RequestError::Syntax)?;
    Ok(value)
}

fn unread(error: &actix_web::Error, limit: usize) -> RequestError {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => RequestError::TooLarge { limit },
        _ => RequestError::Unreadable(error.to_string()),
    }
}
