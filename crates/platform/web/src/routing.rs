//! Helpers for the table of routes.

use actix_web::web::{self, ServiceConfig, resource};
use actix_web::{FromRequest, Handler, Responder, Route, guard};

use crate::handlers;

/// GET, and HEAD with it, which is answered with the same head and no body.
pub fn get<F, Args>(handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::route()
        .guard(guard::Any(guard::Get()).or(guard::Head()))
        .to(handler)
}

/// `GET /metrics`: beside the other routes, or the whole table of the metrics' own port.
pub fn metrics(routes: &mut ServiceConfig) {
    routes.service(resource("/metrics").route(get(handlers::metrics)));
}
