//! The description of the API, and the page that shows it.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{health, home};

/// The description of the API as JSON, written once.
#[derive(Clone, Debug)]
pub struct Document(String);

#[derive(OpenApi)]
#[openapi(
    tags((name = "service", description = "The service itself")),
    paths(home::home, health::health, health::live, health::ready, health::pool)
)]
struct Platform;

/// Adds the platform's own routes to a service's description.
pub fn with_platform(mut api: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    api.merge(Platform::openapi());
    api
}

impl Document {
    /// Writes a description; one that cannot be written is empty, which a service's tests notice.
    pub fn new(api: &utoipa::openapi::OpenApi) -> Self {
        Self(api.to_json().unwrap_or_default())
    }
}

/// `GET /api/openapi.json`
pub async fn document(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(document.0.clone())
}

/// `GET /docs/`: the page that shows the description. All its files are in the binary.
pub fn page() -> SwaggerUi {
    SwaggerUi::new("/docs/{file:.*}").config(Config::from("/api/openapi.json"))
}
