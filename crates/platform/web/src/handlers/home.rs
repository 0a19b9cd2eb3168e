//! The addresses of the service.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Error;
use crate::app_state::AppInfo;

/// The addresses of the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Home {
    name: String,
    version: &'static str,
    docs: &'static str,
    openapi: &'static str,
    api: &'static str,
    /// The page that shows the database connections; in production it needs `debug.token`.
    connections: &'static str,
}

/// Returns the name of the service and the addresses of its documentation and its API
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = Home)))]
pub async fn home(app: web::Data<AppInfo>) -> web::Json<Home> {
    web::Json(Home {
        name: app.name.clone(),
        version: app.version,
        docs: "/docs/",
        openapi: "/api/openapi.json",
        api: "/api/v1",
        connections: "/debug/db-pool",
    })
}

/// `GET /docs`: redirects to `/docs/`, because the page's own links are relative to its folder.
pub async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

/// Answers every address that is not in the table of routes: one that is there without its trailing slashes with 308,
/// every other with 404.
///
/// # Errors
///
/// [`Error::NoRoute`].
pub async fn not_found(request: HttpRequest) -> Result<HttpResponse, Error> {
    let path = request.path();
    let trimmed = path.trim_end_matches('/');
    // Only to an address of this service: `//elsewhere/` would lead to another host.
    if trimmed.len() == path.len() || !request.resource_map().has_resource(trimmed) {
        return Err(Error::NoRoute);
    }
    let location = match request.query_string() {
        "" => trimmed.to_owned(),
        query => format!("{trimmed}?{query}"),
    };
    Ok(HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, location))
        .finish())
}
