//! Every address the service answers.

use actix_web::web::{self, ServiceConfig, resource, scope};
use actix_web::web::{delete, patch, post}; // sample
use actix_web::{FromRequest, Handler, Responder, Route, Scope, guard};
use utoipa_swagger_ui::SwaggerUi;

use crate::handlers::{conversations, messages}; // sample
use crate::handlers::{debug, health, home, metrics};
use crate::openapi;
use crate::settings::Metrics;

/// The whole table. What is not in it is answered with 404, and a method that an address does not take with 405.
pub fn configure(routes: &mut ServiceConfig) {
    routes
        .service(resource("/").route(get(home::home)))
        .service(resource("/health").route(get(health::health)))
        .service(resource("/health/live").route(get(health::live)))
        .service(resource("/health/ready").route(get(health::ready)))
        .service(resource("/health/db-pool").route(get(health::pool)))
        .service(resource("/debug/db-pool").route(get(debug::pool)))
        .service(v1(scope("/api/v1")))
        .service(resource("/api/openapi.json").route(get(openapi::document)))
        .service(resource("/docs").route(get(home::docs)))
        .service(SwaggerUi::new("/docs/{file:.*}").config(openapi::ui()))
        .default_service(web::to(home::nothing_here));
}

/// What is measured, at `/metrics`, unless it has a port of its own or is off.
pub(crate) fn configure_metrics(routes: &mut ServiceConfig, settings: &Metrics) {
    if settings.enabled && settings.port.is_none() {
        just_metrics(routes);
    }
}

/// The whole table of the port that metrics may have for themselves.
pub(crate) fn just_metrics(routes: &mut ServiceConfig) {
    routes.service(resource("/metrics").route(get(metrics::metrics)));
}

/// The API itself. Every new address goes here.
fn v1(api: Scope) -> Scope {
    use {conversations as c, messages as m}; // sample
    api
        // sample begins
        .service(
            resource("/conversations")
                .route(get(c::list))
                .route(post().to(c::create)),
        )
        .service(
            resource("/conversations/{conversation_id}")
                .route(get(c::read))
                .route(patch().to(c::update))
                .route(delete().to(c::delete)),
        )
        .service(
            resource("/conversations/{conversation_id}/messages")
                .route(get(m::list))
                .route(post().to(m::create)),
        )
        .service(resource("/conversations/{conversation_id}/messages/export").route(get(m::export)))
        .service(
            resource("/conversations/{conversation_id}/messages/{message_id}")
                .route(get(m::read))
                .route(patch().to(m::update))
                .route(delete().to(m::delete)),
        )
    // sample ends
}

/// GET, and HEAD with it, which is answered with the same head and no body.
fn get<F, Args>(handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::route()
        .guard(guard::Any(guard::Get()).or(guard::Head()))
        .to(handler)
}
