//! The example: conversations, their messages, and the chat model that answers them.

mod chat_model;
mod conversations;
mod messages;
mod settings;

use actix_web::web::{ServiceConfig, delete, patch, post, resource};
use berth_web::routing::get;
use utoipa::OpenApi;

pub(crate) use self::chat_model::chat_model;
pub use self::settings::ChatModelSettings;
use self::{conversations as c, messages as m};

/// The routes of the example, below `/api/v1`.
pub(crate) fn routes(api: &mut ServiceConfig) {
    api.service(
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
    );
}

/// Their description.
#[derive(OpenApi)]
#[openapi(
    tags(
        (name = "conversations", description = "Your conversations"),
        (name = "messages", description = "The messages of a conversation, and the answers"),
    ),
    paths(
        c::list, c::create, c::read, c::update, c::delete,
        m::list, m::create, m::export, m::read, m::update, m::delete,
    ),
)]
pub(crate) struct Api;
