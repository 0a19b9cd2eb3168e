//! What the service does, whoever asks for it.
//!
//! [`Services`] lives as long as the process and makes a service for each piece of work from the session of
//! whoever asks. A service can neither keep that session nor reach a second connection, and it never ends
//! it: whoever made the session commits it.
// sample begins
//! The one exception is spelled out where it happens, in [`Conversations::post`].
// sample ends
//!
//! A new service is a file here and a factory in [`Services`].

#![warn(missing_docs)]

mod clock;
mod conversations; // sample
mod error;
mod messages; // sample
mod page;
mod post; // sample
mod responder; // sample
pub mod text;
mod users; // sample

// sample begins
use std::sync::Arc;

use berth_database::Session;

pub use self::conversations::{ConversationChange, Conversations, NewConversation};
pub use self::messages::MessageChange;
pub use self::post::{Exchange, NewMessage};
pub use self::responder::{
    HttpResponder, OfflineResponder, Responder, ResponderError, ResponderSettings, Turn,
};
pub use self::users::Users;
// sample ends

pub use self::clock::Clock;
pub use self::error::{Error, FieldError};
pub use self::page::{Page, PageRequest};

/// Makes the services. A clone is cheap and shares everything.
#[derive(Clone, Debug)]
pub struct Services {
    clock: Clock,
    responder: Arc<dyn Responder>, // sample
}

impl Services {
    /// Takes the time from the system.
    pub fn new() -> Self {
        Services {
            clock: Clock::system(),
            responder: Arc::new(OfflineResponder), // sample
        }
    }

    /// Takes the time from another clock.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The time, and keys that follow it.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    // sample begins
    /// Lets somebody else answer posted messages.
    pub fn with_responder(mut self, responder: Arc<dyn Responder>) -> Self {
        self.responder = responder;
        self
    }

    /// The users, by way of this session.
    pub fn users<'a>(&'a self, session: &'a Session) -> Users<'a> {
        Users::new(self, session)
    }

    /// The conversations and their messages, by way of this session.
    pub fn conversations<'a>(&'a self, session: &'a Session) -> Conversations<'a> {
        Conversations::new(self, session)
    }
    // sample ends
}

impl Default for Services {
    fn default() -> Self {
        Services::new()
    }
}
