//! The services of the example: conversations whose messages a chat model answers.

mod ask;
mod chat_model;
mod conversations;
mod message_feed;
mod messages;
mod name_conversation;

use std::sync::Arc;

use berth_database::Session;
use berth_jobs::Registry;

pub use self::ask::{AnswerPart, Asked, QuestionAndAnswer, WriteMessage};
pub use self::chat_model::{
    ChatMessage, ChatModel, ChatModelError, ChatModelSettings, HttpChatModel, OfflineChatModel, Parts,
};
pub use self::conversations::{ConversationFilter, Conversations, CreateConversation, UpdateConversation};
pub use self::message_feed::MessageFeed;
pub use self::name_conversation::NameConversation;
use crate::Services;

/// The jobs of the example.
pub(crate) fn jobs(services: &Services) -> Registry {
    Registry::new().job::<NameConversation>(services.clone())
}

impl Services {
    /// Answers questions with this chat model.
    pub fn with_chat_model(mut self, chat_model: Arc<dyn ChatModel>) -> Self {
        self.chat_model = chat_model;
        self
    }

    /// Returns the service for conversations and their messages, which works in this session.
    pub fn conversations<'a>(&'a self, session: &'a Session) -> Conversations<'a> {
        Conversations::new(self, session)
    }
}
