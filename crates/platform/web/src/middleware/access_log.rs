//! Access log: one line for each response.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use super::error_response::cause;
use super::request_log::RequestLog;

/// Logs each answer with its status, its time and the error behind it, and each client that left before its answer.
///
/// # Errors
///
/// Those of the inner middleware, unchanged.
pub async fn access_log(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut log = RequestLog::begin(&request);
    let outcome = next.call(request).await;
    match &outcome {
        Ok(response) => log.answered(response.status(), cause(response.response()).as_deref()),
        Err(error) => log.answered(error.as_response_error().status_code(), Some(&error.to_string())),
    }
    outcome
}
