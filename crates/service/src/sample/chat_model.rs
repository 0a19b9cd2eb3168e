//! Who answers what users say.

mod http;
mod offline;

use std::time::Duration;

use async_trait::async_trait;
use entity::sample::message::Role;

pub use self::http::{HttpResponder, ResponderSettings};
pub use self::offline::OfflineResponder;

/// Answers a conversation. It knows nothing of the database: it can take its time.
#[async_trait]
pub trait Responder: std::fmt::Debug + Send + Sync {
    /// Answers the last of these turns, which are in order and never empty.
    ///
    /// # Errors
    ///
    /// See [`ResponderError`].
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the one who asked has left.
    async fn answer(&self, history: &[Turn]) -> Result<String, ResponderError>;
}

/// One thing said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub body: String,
}

/// Why there is no answer. The texts hold neither the key nor the address.
#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    /// The settings cannot work.
    #[error("{0}")]
    Settings(String),
    /// It took longer than the settings allow.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The exchange broke off, or never began.
    #[error("it cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answered with an error; 429 asks for patience, 401 and 403 for another key.
    #[error("it answered with the status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// It answered with something that is no answer.
    #[error("it answered with something else than an answer: {0}")]
    Malformed(String),
}
