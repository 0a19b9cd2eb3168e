//! The table of routes, and the description of what it serves.

use std::fmt;

use actix_web::web::{self, ServiceConfig, resource, scope};
use actix_web::{FromRequest, Handler, Responder, Route, guard};
use utoipa::__dev::SchemaReferences;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::tag::TagBuilder;

use crate::AppState;
use crate::handlers::{
    self, debug, docs, email_link, health, home, not_found, openapi, problem_type, runbook,
};

/// Handlers with their addresses and descriptions, as [`routes!`](crate::routes) makes them from a file of handlers.
#[derive(Debug)]
pub struct Routes {
    tag: (&'static str, &'static str),
    endpoints: Vec<Endpoint>,
}

struct Endpoint {
    path: String,
    route: Box<dyn Fn() -> Route>,
    describe: fn(&mut OpenApi, prefix: &str, tag: &str),
}

impl Routes {
    /// No routes yet, whose operations will have this tag; the second text describes the tag.
    pub fn new(tag: &'static str, description: &'static str) -> Self {
        Self {
            tag: (tag, description),
            endpoints: Vec::new(),
        }
    }

    /// Adds a handler with the description `D`, which has its method and address. A handler of GET answers HEAD too.
    #[must_use]
    pub fn route<D, F, Args>(mut self, handler: F) -> Self
    where
        D: utoipa::Path + SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.endpoints.push(Endpoint {
            path: D::path(),
            route: Box::new(move || route_of(&D::methods(), handler.clone())),
            describe: describe::<D>,
        });
        self
    }

    /// Adds the routes to an app or scope. Addresses are tried in the order in which they were added.
    pub fn configure(&self, app: &mut ServiceConfig) {
        let mut paths: Vec<&str> = Vec::new();
        for endpoint in &self.endpoints {
            if !paths.contains(&&*endpoint.path) {
                paths.push(&endpoint.path);
            }
        }
        for path in paths {
            let routes = self.endpoints.iter().filter(|endpoint| endpoint.path == path);
            let routes = routes.fold(resource(path), |all, endpoint| all.route((endpoint.route)()));
            app.service(routes);
        }
    }

    /// Adds the operations below a prefix, their tag and what they refer to, to a description.
    pub fn describe(&self, api: &mut OpenApi, prefix: &str) {
        let (tag, description) = self.tag;
        let tags = api.tags.get_or_insert_default();
        if tags.iter().all(|known| known.name != tag) {
            let described = TagBuilder::new().name(tag).description(Some(description));
            tags.push(described.build());
        }
        for endpoint in &self.endpoints {
            (endpoint.describe)(api, prefix, tag);
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.path).finish()
    }
}

fn describe<D: utoipa::Path + SchemaReferences>(api: &mut OpenApi, prefix: &str, tag: &str) {
    let mut operation = D::operation();
    operation.tags = Some(vec![tag.to_owned()]);
    let path = format!("{prefix}{}", D::path());
    api.paths.add_path_operation(path, D::methods(), operation);
    let mut schemas = Vec::new();
    D::schemas(&mut schemas);
    let components = api.components.get_or_insert_default();
    components.schemas.extend(schemas);
}

fn route_of<F, Args>(methods: &[HttpMethod], handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    match methods {
        [HttpMethod::Post] => web::post().to(handler),
        [HttpMethod::Put] => web::put().to(handler),
        [HttpMethod::Patch] => web::patch().to(handler),
        [HttpMethod::Delete] => web::delete().to(handler),
        _ => get(handler),
    }
}

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

/// The whole table: what every service answers, and the service's own routes below a prefix. Every other address is
/// answered with 404, and a method that an address does not take with 405.
pub fn table(table: &mut ServiceConfig, state: &AppState, prefix: &str, own: &[Routes]) {
    operations(table, state);
    table
        .service(resource("/").route(get(home)))
        .service(resource(["/verify-email", "/reset-password"]).route(get(email_link)))
        .service(resource("/problems/{name}").route(get(problem_type)))
        .service(scope(prefix).configure(|api| own.iter().for_each(|routes| routes.configure(api))))
        .service(resource("/api/openapi.json").route(get(openapi::document)))
        .service(resource("/docs").route(get(docs)))
        .service(resource("/docs/{file:.*}").route(get(openapi::page)))
        .default_service(web::to(not_found));
}

/// What operators ask of every process: health, the pool, and metrics where they have no port of their own.
pub(crate) fn operations(table: &mut ServiceConfig, state: &AppState) {
    if state.serves_metrics() {
        table.configure(metrics);
    }
    table
        .service(resource("/health").route(get(health::health)))
        .service(resource("/health/live").route(get(health::live)))
        .service(resource("/health/ready").route(get(health::ready)))
        .service(resource("/health/db-pool").route(get(health::pool)))
        .service(resource("/debug/db-pool").route(get(debug::pool)))
        .service(resource("/debug/runbook").route(get(runbook::runbook)));
}

/// `GET /metrics`: beside the other routes, or the whole table of the metrics' own port.
pub fn metrics(routes: &mut ServiceConfig) {
    routes.service(resource("/metrics").route(get(handlers::metrics)));
}
