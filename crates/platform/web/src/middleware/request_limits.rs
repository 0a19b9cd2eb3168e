//! Rejects requests above the limits before their body is read: concurrent requests, and the size and form of each.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::CONTENT_ENCODING;
use actix_web::middleware::Next;
use actix_web::web;
use tokio::sync::Semaphore;

use super::request_body::RequestBody;
use super::request_log::is_routine;
use crate::Error;
use crate::error::RequestError;
use crate::settings;

/// The limits of a request; for [`request_limits`].
#[derive(Clone, Debug)]
pub struct RequestLimits {
    requests: Arc<Semaphore>,
    url: usize,
    headers: usize,
    body_timeout: Duration,
}

impl RequestLimits {
    pub(crate) fn new(server: &settings::Server) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(server.max_requests)),
            url: server.url_limit,
            headers: server.header_limit,
            body_timeout: server.body_timeout,
        }
    }

    /// A compressed body grows without bound when it is decoded: 1.4 KB of brotli become a gigabyte.
    fn check(&self, request: &ServiceRequest) -> Result<(), RequestError> {
        if request.uri().to_string().len() > self.url {
            return Err(RequestError::UrlTooLong { limit: self.url });
        }
        // As on the wire: a colon, a space and the end of the line.
        let lengths = request
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4);
        if lengths.sum::<usize>() > self.headers {
            return Err(RequestError::HeadersTooLarge { limit: self.headers });
        }
        if request.headers().contains_key(CONTENT_ENCODING) {
            return Err(RequestError::ContentEncoding);
        }
        Ok(())
    }
}

/// Answers more than `server.max_requests` at once with 503, and a head or an encoded body that is too much with its
/// status, before anything of the body is read. Gives the body `server.body_timeout` to arrive.
///
/// Probes and the page of the pool are answered however many requests there are.
///
/// # Errors
///
/// [`Error::Overloaded`], [`Error::Request`], and those of the inner middleware.
pub async fn request_limits(
    limits: web::Data<RequestLimits>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    // Released with the head of the answer.
    let _permit = match is_routine(request.path()) {
        true => None,
        false => Some(limits.requests.try_acquire().map_err(|_| Error::Overloaded)?),
    };
    limits.check(&request).map_err(Error::from)?;
    RequestBody::of(&request).bound(&mut request, limits.body_timeout);
    next.call(request).await
}
