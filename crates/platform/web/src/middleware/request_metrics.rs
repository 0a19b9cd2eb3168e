//! Counts and times each request by its route.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use berth_database::Usage;

use super::UnitOfWork;
use crate::app_state::AppInfo;
use crate::observability::{Metrics, Monitor, server_timing};
use crate::route_pattern::RoutePattern;
use crate::settings::Environment;
use crate::telemetry::TraceContext;

/// Measures each request by its route's pattern, warns of slow ones, and runs it within its caller's trace.
///
/// # Errors
///
/// Those of the inner middleware, unchanged.
pub async fn request_metrics(
    app: web::Data<AppInfo>,
    metrics: web::Data<Metrics>,
    monitor: web::Data<Monitor>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut timer = metrics.start(request.method(), RoutePattern::of(&request).into());
    let trace = TraceContext::of(request.headers());
    let mut outcome = TraceContext::scope(trace, next.call(request)).await;
    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    timer.answered(status);
    let usage_of = || usage(outcome.as_ref().ok()?);
    monitor.request_ended(timer.method(), timer.route(), timer.elapsed(), usage_of);
    if let Ok(response) = &mut outcome
        && app.environment == Environment::Development
        && let Some((name, value)) = usage(response).as_ref().and_then(server_timing)
    {
        response.headers_mut().insert(name, value);
    }
    outcome
}

/// What a request cost in the database, if it used the database.
fn usage<B>(response: &ServiceResponse<B>) -> Option<Usage> {
    let unit = response.request().extensions().get::<UnitOfWork>().cloned();
    unit?.usage()
}
