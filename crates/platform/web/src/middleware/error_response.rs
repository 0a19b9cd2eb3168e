//! Turns every error into a problem.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpMessage, HttpResponse, web};

use super::SecurityHeaders;
use super::request_body::RequestBody;
use crate::problem::{Cause, MEDIA_TYPE, Problem};
use crate::request_id::{self, RequestId};

/// Writes the body of every error answer as a problem and adds the request id to every answer.
///
/// An error answer with a body and a content type that a handler wrote itself stays as it is. The stream of an answer to
/// HEAD is dropped unread: actix would read it to its end and send nothing of it.
///
/// # Errors
///
/// An error of an inner middleware, with its answer complete: only actix can join it to its request.
pub async fn error_response(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let security = request.app_data::<web::Data<SecurityHeaders>>().cloned();
    let body = RequestBody::of(&request);
    let known = request.extensions().get::<RequestId>().cloned();
    let id = known.unwrap_or_else(|| RequestId::of(request.headers()));
    let path = request.path().to_owned();
    let is_head = request.method() == Method::HEAD;
    match next.call(request).await {
        Ok(response) => {
            let (request, response) = response.into_parts();
            let mut response = finish(response.map_into_boxed_body(), &id, &path, security.as_deref());
            if is_head && response.body().size() == BodySize::Stream {
                response = response.set_body(BoxBody::new(UnreadStream));
            }
            let response = response.map_body(|_, answer| body.kept_by(answer));
            Ok(ServiceResponse::new(request, response))
        }
        Err(error) => {
            let headers = error.error_response().headers().clone();
            let mut response = HttpResponse::from_error(error);
            // Those that inner middleware added to the error.
            *response.headers_mut() = headers;
            let response = finish(response, &id, &path, security.as_deref());
            let response = response.map_body(|_, answer| body.kept_by(answer));
            Err(InternalError::from_response(cause(&response).unwrap_or_default(), response).into())
        }
    }
}

fn finish(
    mut response: HttpResponse,
    id: &RequestId,
    path: &str,
    security: Option<&Arc<SecurityHeaders>>,
) -> HttpResponse {
    if let Some(security) = security {
        security.add_to(response.headers_mut());
    }
    if let Some(mut problem) = problem(&response) {
        path.clone_into(&mut problem.instance);
        id.as_str().clone_into(&mut problem.request_id);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        response = response.set_body(BoxBody::new(body));
        let media_type = HeaderValue::from_static(MEDIA_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        response.headers_mut().remove(CONTENT_ENCODING);
    }
    if let Some(id) = id.to_header() {
        response.headers_mut().insert(request_id::HEADER, id);
    }
    response
}

/// The body of an answer to HEAD whose GET has a stream: the same head, and nothing to read.
struct UnreadStream;

impl MessageBody for UnreadStream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}

/// The problem that the error itself made, or one of the status for an error answer without a body or content type.
fn problem(response: &HttpResponse) -> Option<Problem> {
    let known = response.extensions().get::<Problem>().cloned();
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_empty = matches!(response.body().size(), BodySize::None | BodySize::Sized(0));
    let is_bare = is_error && (is_empty || !response.headers().contains_key(CONTENT_TYPE));
    let plain = || (response.error().is_some() || is_bare).then(|| Problem::of_status(status));
    known.or_else(plain)
}

/// The error behind an answer, with its causes, for the log.
pub(super) fn cause<B>(response: &HttpResponse<B>) -> Option<String> {
    let known = response.extensions().get::<Cause>().map(|cause| cause.0.clone());
    known.or_else(|| response.error().map(ToString::to_string))
}
