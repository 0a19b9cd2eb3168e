//! Turns a panic in a handler into an error.

use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use futures_util::FutureExt;

use crate::Error;

/// Turns a panic into a 500: without it the client's connection is cut and a whole worker may end.
///
/// What the panic left half-done is dropped with the request: its session rolls back.
///
/// # Errors
///
/// [`Error::Panic`], and those of the inner middleware.
pub async fn catch_unwind(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let handled = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind();
    handled.await.unwrap_or_else(|_| Err(Error::Panic.into()))
}
