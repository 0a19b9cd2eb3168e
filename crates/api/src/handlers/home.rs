//! Where things are.

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::settings::App;

/// Where things are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Home {
    name: String,
    version: &'static str,
    docs: &'static str,
    openapi: &'static str,
    api: &'static str,
}

/// Tells what this is and where its documentation and its API are
#[utoipa::path(get, path = "/", tag = "service", responses((status = 200, body = Home)))]
pub(crate) async fn home(app: web::Data<App>) -> web::Json<Home> {
    web::Json(Home {
        name: app.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        docs: "/docs/",
        openapi: "/api/openapi.json",
        api: "/api/v1",
    })
}

/// The page's own links are relative to its folder.
pub(crate) async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

/// Everything that is not in the table of routes.
pub(crate) async fn nothing_here() -> Result<HttpResponse, ApiError> {
    Err(ApiError::NoSuchAddress)
}
