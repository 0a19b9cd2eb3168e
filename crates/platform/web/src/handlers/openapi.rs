//! The description of the API, and the page that shows it.

mod describe;

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CONTENT_SECURITY_POLICY, ContentEncoding, ContentType};
use actix_web::{HttpResponse, web};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

pub use self::describe::with_platform;
use crate::Error;

/// The page loads its own files and calls this service only. Swagger UI sets styles of elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The description of the API as JSON, written once.
#[derive(Clone, Debug)]
pub struct Document(String);

impl Document {
    /// Writes a description; one that cannot be written is empty, which a service's tests notice.
    pub fn new(api: &OpenApi) -> Self {
        Self(api.to_json().unwrap_or_default())
    }
}

/// `GET /api/openapi.json`
pub async fn document(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(document.0.clone())
}

/// `GET /docs/{file}`: the page that shows the description. All its files are in the binary.
///
/// # Errors
///
/// [`Error::NoRoute`] for a file that the page does not have.
pub async fn page(file: web::Path<String>) -> Result<HttpResponse, Error> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("/api/openapi.json")));
    let found = utoipa_swagger_ui::serve(&file, CONFIG.clone()).ok().flatten();
    let found = found.ok_or(Error::NoRoute)?;
    let mut response = HttpResponse::Ok();
    response.content_type(found.content_type);
    response.insert_header((CONTENT_SECURITY_POLICY, POLICY));
    if found.gzpipped {
        response.insert_header(ContentEncoding::Gzip);
    }
    Ok(response.body(found.bytes.into_owned()))
}
