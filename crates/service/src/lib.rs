//! What the service does, whoever asks for it.
//!
//! [`Services`] lives as long as the process and makes a service for each piece of work:
//! `services.conversations(&session)`. A service borrows the session of whoever called it. It can
//! neither keep it nor reach a second connection, and it never ends the session: whoever made the
//! session commits it. The one exception is spelled out where it happens, in [`Conversations::post`].
//!
//! A new service is a file here and a factory in [`Services`].
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use database::{Database, Outcome, SessionOptions};
//! # use service::{NewConversation, NewMessage, OfflineResponder, Services};
//! # async fn example(database: Database) -> Result<(), service::Error> {
//! let services = Services::new(Arc::new(OfflineResponder));
//!
//! let session = database.session(SessionOptions::new("greeting"));
//! let owner = services.users(&session).development_user().await?;
//! let conversations = services.conversations(&session);
//! let new = NewConversation { title: "Knots".to_owned(), is_public: false };
//! let conversation = conversations.create(owner.id, new).await?;
//! let said = NewMessage { body: "What is a bowline?".to_owned() };
//! let exchange = conversations.post(owner.id, conversation.id, said).await?;
//! session.end(Outcome::Commit).await?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod clock;
mod conversations;
mod error;
mod input;
mod messages;
mod page;
mod post;
mod responder;
mod users;

use std::sync::Arc;

use database::Session;

pub use self::clock::Clock;
pub use self::conversations::Conversations;
pub use self::error::{Error, FieldError};
pub use self::input::{ConversationChange, MessageChange, NewConversation, NewMessage};
pub use self::page::{Page, PageRequest};
pub use self::post::Exchange;
pub use self::responder::{
    HttpResponder, OfflineResponder, Responder, ResponderError, ResponderSettings, Turn,
};
pub use self::users::Users;

/// Makes the services. A clone is cheap and shares everything.
#[derive(Clone, Debug)]
pub struct Services {
    clock: Clock,
    responder: Arc<dyn Responder>,
}

impl Services {
    /// Takes who answers posted messages; the time is the system's.
    pub fn new(responder: Arc<dyn Responder>) -> Self {
        Services {
            clock: Clock::system(),
            responder,
        }
    }

    /// Takes the time from another clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        Services { clock, ..self }
    }

    /// The users, by way of this session.
    pub fn users<'a>(&'a self, session: &'a Session) -> Users<'a> {
        Users::new(self, session)
    }

    /// The conversations and their messages, by way of this session.
    pub fn conversations<'a>(&'a self, session: &'a Session) -> Conversations<'a> {
        Conversations::new(self, session)
    }
}
