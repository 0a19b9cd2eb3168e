//! Refuses request bodies with a content encoding.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::middleware::Next;

use crate::Error;
use crate::error::RequestError;

/// Answers a request that has a `Content-Encoding` with 415 before anything of its body is read.
///
/// A compressed body grows without bound when it is decoded: 1.4 KB of brotli become a gigabyte.
///
/// # Errors
///
/// [`RequestError::ContentEncoding`], and those of the inner middleware.
pub async fn refuse_encoded_bodies(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(Error::from(RequestError::ContentEncoding).into());
    }
    next.call(request).await
}
