//! Every address the service answers.

use actix_web::Scope;
use actix_web::web::{self, ServiceConfig, delete, patch, post, resource, scope};
use berth_web::AppState;
use berth_web::handlers::{debug, docs, health, home, not_found, openapi, problem_type};
use berth_web::routing::{self, get};

use crate::handlers::{auth, me, users};

/// The whole table. Every other address is answered with 404, and a method that an address does not take with 405.
pub fn configure(table: &mut ServiceConfig, state: &AppState) {
    if state.serves_metrics() {
        table.configure(routing::metrics);
    }
    table
        .service(resource("/").route(get(home)))
        .service(resource("/health").route(get(health::health)))
        .service(resource("/health/live").route(get(health::live)))
        .service(resource("/health/ready").route(get(health::ready)))
        .service(resource("/health/db-pool").route(get(health::pool)))
        .service(resource("/debug/db-pool").route(get(debug::pool)))
        .service(resource("/problems/{name}").route(get(problem_type)))
        .service(v1(scope("/api/v1")))
        .service(resource("/api/openapi.json").route(get(openapi::document)))
        .service(resource("/docs").route(get(docs)))
        .service(resource("/docs/{file:.*}").route(get(openapi::page)))
        .default_service(web::to(not_found));
}

/// The API itself. Every new address goes here.
fn v1(api: Scope) -> Scope {
    api.service(resource("/auth/register").route(post().to(auth::register)))
        .service(resource("/auth/login").route(post().to(auth::login)))
        .service(resource("/auth/refresh").route(post().to(auth::refresh)))
        .service(resource("/auth/logout").route(post().to(auth::logout)))
        .service(resource("/auth/password").route(post().to(auth::password)))
        .service(
            resource("/me")
                .route(get(me::read))
                .route(patch().to(me::update))
                .route(delete().to(me::delete)),
        )
        .service(resource("/users").route(get(users::list)))
        .configure(crate::sample::routes) // sample
}
