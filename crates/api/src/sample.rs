//! The example: conversations, their messages, and the chat model that answers them.

mod chat_model;
pub(crate) mod conversations;
pub(crate) mod messages;
mod settings;

pub(crate) use self::chat_model::chat_model;
pub use self::settings::ChatModelSettings;
