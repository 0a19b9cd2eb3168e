//! The API's description, made from the handlers it describes.

use std::sync::LazyLock;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, Responder};
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use crate::handlers::{conversations, messages}; // sample
use crate::handlers::{health, home};

/// The document as it is committed in `docs/openapi.json`.
///
/// # Errors
///
/// It cannot be written as JSON, which would be a mistake in a handler's description.
pub fn text() -> Result<String, serde_json::Error> {
    let mut text = Api::openapi().to_pretty_json()?;
    text.push('\n');
    Ok(text)
}

/// Serves the document.
pub(crate) async fn document() -> impl Responder {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| Api::openapi().to_json().unwrap_or_default());
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(DOCUMENT.as_str())
}

/// Points the page at `/docs/`, all of whose files are in the binary, to the document.
pub(crate) fn ui() -> Config<'static> {
    Config::from("/api/openapi.json")
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Berth", description = "A backend that lives within its database connections. Every error is an \
        RFC 9457 problem, and every answer carries `x-request-id`."),
    tags(
        (name = "service", description = "The service itself"),
        // sample begins
        (name = "conversations", description = "Conversations of whoever asks"),
        (name = "messages", description = "What is said in a conversation, and the answers"),
        // sample ends
    ),
    paths(
        home::home, health::health, health::live, health::ready, health::pool,
        // sample begins
        conversations::list, conversations::create, conversations::read, conversations::update,
        conversations::delete,
        messages::list, messages::create, messages::export, messages::read, messages::update, messages::delete,
        // sample ends
    ),
)]
struct Api;
