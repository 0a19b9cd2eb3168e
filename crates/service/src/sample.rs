//! The services of the example: conversations whose messages a chat model answers.

mod ask;
mod chat_model;
mod conversations;
mod messages;

use std::sync::Arc;

use berth_database::Session;

pub use self::ask::{Exchange, NewMessage};
pub use self::chat_model::{
    HttpResponder, OfflineResponder, Responder, ResponderError, ResponderSettings, Turn,
};
pub use self::conversations::{ConversationChange, Conversations, NewConversation};
pub use self::messages::MessageChange;
use crate::Services;

impl Services {
    /// Lets somebody else answer posted messages.
    pub fn with_responder(mut self, responder: Arc<dyn Responder>) -> Self {
        self.responder = responder;
        self
    }

    /// The conversations and their messages, by way of this session.
    pub fn conversations<'a>(&'a self, session: &'a Session) -> Conversations<'a> {
        Conversations::new(self, session)
    }
}
