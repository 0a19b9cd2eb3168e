//! The chat model that answers questions: the trait and its errors.

mod http;
mod offline;

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use entity::sample::message::Role;
use futures_util::stream::{self, Stream};

pub use self::http::{ChatModelSettings, HttpChatModel};
pub use self::offline::OfflineChatModel;

/// A reply in parts. An error is the last item: what came before is then not the whole reply.
pub type Parts<'a> = Pin<Box<dyn Stream<Item = Result<String, ChatModelError>> + Send + 'a>>;

/// Answers questions. It has no access to the database, so an answer may take minutes without holding a connection.
#[async_trait]
pub trait ChatModel: std::fmt::Debug + Send + Sync {
    /// Returns the reply to the last of these messages, which are in order and never empty.
    ///
    /// # Errors
    ///
    /// See [`ChatModelError`].
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the client disconnects. An implementation must not depend on its completion.
    async fn reply(&self, history: &[ChatMessage]) -> Result<String, ChatModelError>;

    /// Returns the same reply in parts, as they arrive; by default the whole as one part.
    fn reply_in_parts<'a>(&'a self, history: &'a [ChatMessage]) -> Parts<'a> {
        Box::pin(stream::once(self.reply(history)))
    }
}

/// One message of a conversation, as a chat model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// The author.
    pub role: Role,
    /// The text.
    pub body: String,
}

/// Why a chat model did not answer. The texts contain neither the key nor the address.
#[derive(Debug, thiserror::Error)]
pub enum ChatModelError {
    /// The settings are not usable.
    #[error("{0}")]
    Settings(String),
    /// The answer took longer than the settings allow.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The connection could not be made, or broke.
    #[error("the chat model's API cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The API answered with an error: 429 means too many requests, 401 and 403 a wrong key.
    #[error("the chat model's API answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The response does not have the expected form.
    #[error("the response of the chat model's API has an unexpected form: {0}")]
    Malformed(String),
}
