use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use futures_util::FutureExt;

use crate::error::ApiError;

/// Turns a panic into an answer: without it the client's line is cut and a whole worker may end.
///
/// Nothing that the panic may have left half-done is seen again: the request's session is dropped with the
/// request, which rolls back, and everything else of the request with it.
pub async fn catch_unwind(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let handled = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind();
    handled.await.unwrap_or_else(|_| Err(ApiError::Panicked.into()))
}
