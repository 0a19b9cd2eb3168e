//! The example: conversations, their messages, and the chat model that answers them.

mod chat_model;
pub(crate) mod conversations;
pub(crate) mod messages;
mod seed;
mod settings;

use actix_web::web::Data;
use berth_web::AppState;
use service::sample::MessageFeed;

pub(crate) use self::chat_model::chat_model;
pub(crate) use self::seed::seed;
pub use self::settings::ChatModelSettings;

/// The clients that follow a conversation.
pub(crate) type Followers = berth_web::events::Followers<MessageFeed>;

/// No clients yet.
pub(crate) fn followers(state: &AppState) -> Data<Followers> {
    Data::new(Followers::new(state, MessageFeed))
}
