//! The sample: conversations, their messages, and the model that answers them.

mod chat_model;
pub(crate) mod conversations;
mod current_user;
pub(crate) mod messages;

pub(crate) use self::chat_model::chat_model;
pub(crate) use self::current_user::CurrentUser;
