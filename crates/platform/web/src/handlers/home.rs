//! The addresses of the service.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
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
    })
}

/// `GET /docs`: redirects to `/docs/`, because the page's own links are relative to its folder.
pub async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

/// Answers every address that is not in the table of routes.
///
/// # Errors
///
/// Always [`Error::NoRoute`].
pub async fn not_found() -> Result<HttpResponse, Error> {
    Err(Error::NoRoute)
}
