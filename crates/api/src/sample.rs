//! The example: conversations, their messages, and the chat model that answers them.

mod chat_model;
pub(crate) mod conversations;
pub(crate) mod messages;
mod seed;
mod settings;

pub(crate) use self::chat_model::chat_model;
pub(crate) use self::seed::seed;
pub use self::settings::ChatModelSettings;
