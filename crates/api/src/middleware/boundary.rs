use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse};

use crate::error::{ApiError, with_causes};
use crate::problem::{MEDIA_TYPE, Problem};
use crate::request_id::{self, RequestId};

/// The part of the log that can be switched off by itself: a line for each request that went well.
const ACCESS: &str = "access";

/// The last one to touch an answer: writes every error as a problem, adds the request id, and logs one line.
///
/// An error answer that a handler wrote itself, with a body of its own, is left as it is.
pub async fn boundary(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let mut exchange = Exchange::begin(&request);
    let outcome = next.call(request).await;
    exchange.answered = true;
    match outcome {
        Ok(response) => {
            let (request, response) = response.into_parts();
            Ok(ServiceResponse::new(
                request,
                exchange.finish(response.map_into_boxed_body()),
            ))
        }
        Err(error) => {
            let response = exchange.finish(HttpResponse::from_error(error));
            Err(InternalError::from_response("answered", response).into())
        }
    }
}

/// What is known of a request when it has been consumed.
#[derive(Debug)]
struct Exchange {
    id: RequestId,
    path: String,
    begun: Instant,
    answered: bool,
}

impl Exchange {
    fn begin(request: &ServiceRequest) -> Self {
        let known = request.extensions().get::<RequestId>().cloned();
        Self {
            id: known.unwrap_or_else(|| RequestId::of(request.headers())),
            path: request.path().to_owned(),
            begun: Instant::now(),
            answered: false,
        }
    }

    fn finish(&self, response: HttpResponse) -> HttpResponse {
        self.log(&response);
        let mut response = match problem(&response) {
            Some(problem) => self.write(problem, response),
            None => response,
        };
        if let Some(id) = self.id.to_header() {
            response.headers_mut().insert(request_id::HEADER, id);
        }
        response
    }

    /// The answer's own head, such as `Allow` and `Retry-After`, with the problem as its body.
    fn write(&self, mut problem: Problem, response: HttpResponse) -> HttpResponse {
        problem.instance.clone_from(&self.path);
        self.id.as_str().clone_into(&mut problem.request_id);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = response.set_body(BoxBody::new(body));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }

    /// So far, to a tenth.
    fn milliseconds(&self) -> f64 {
        (self.begun.elapsed().as_secs_f64() * 1e4).round() / 10.0
    }

    fn log(&self, response: &HttpResponse) {
        let status = response.status();
        let (code, ms) = (status.as_u16(), self.milliseconds());
        let error = response.error().map(cause);
        if is_routine(&self.path) {
            tracing::debug!(status = code, duration_ms = ms, error, "request answered");
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(status = code, duration_ms = ms, error, "request refused");
        } else if status.is_server_error() {
            tracing::error!(status = code, duration_ms = ms, error, "request failed");
        } else if status.is_client_error() {
            tracing::info!(status = code, duration_ms = ms, error, "request answered");
        } else {
            tracing::info!(target: ACCESS, status = code, duration_ms = ms, "request answered");
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.answered {
            let ms = self.milliseconds();
            tracing::info!(
                duration_ms = ms,
                "request abandoned: the client left before the answer"
            );
        }
    }
}

/// Asked every few seconds by machines: a line each would bury the others.
fn is_routine(path: &str) -> bool {
    path == "/metrics"
        || ["/health", "/debug/"]
            .iter()
            .any(|prefix| path.starts_with(prefix))
}

/// The problem of an error of ours, or a plain one for an error answer without a body worth keeping.
fn problem(response: &HttpResponse) -> Option<Problem> {
    let status = response.status();
    match response.error() {
        Some(error) => Some(
            error
                .as_error::<ApiError>()
                .map_or_else(|| Problem::plain(status), ApiError::problem),
        ),
        None if !status.is_client_error() && !status.is_server_error() => None,
        None => (response.body().size() == BodySize::Sized(0) || response.body().size() == BodySize::None)
            .then(|| Problem::plain(status)),
    }
}

/// For the log only.
fn cause(error: &actix_web::Error) -> String {
    error
        .as_error::<ApiError>()
        .map_or_else(|| error.to_string(), |error| with_causes(error))
}
