//! What callers hand in, and the rules for it.
//!
//! The services check it themselves, so that no way in skips the rules.

use garde::Validate;

use crate::Error;

/// What a new conversation is made from.
#[derive(Clone, Debug, Validate)]
pub struct NewConversation {
    /// 1 to 200 characters; space around it is dropped.
    #[garde(length(chars, min = 1, max = 200), custom(storable))]
    pub title: String,
    /// Whether everybody may read it.
    #[garde(skip)]
    pub is_public: bool,
}

/// What changes about a conversation; what is `None` stays.
#[derive(Clone, Debug, Default, Validate)]
pub struct ConversationChange {
    /// As in [`NewConversation`].
    #[garde(inner(length(chars, min = 1, max = 200), custom(storable)))]
    pub title: Option<String>,
    /// As in [`NewConversation`].
    #[garde(skip)]
    pub is_public: Option<bool>,
}

/// What a user says.
#[derive(Clone, Debug, Validate)]
pub struct NewMessage {
    /// 1 to 32 000 characters, not only space.
    #[garde(length(chars, min = 1, max = 32_000), custom(not_blank), custom(storable))]
    pub body: String,
}

/// What a user meant to say.
#[derive(Clone, Debug, Validate)]
pub struct MessageChange {
    /// As in [`NewMessage`].
    #[garde(length(chars, min = 1, max = 32_000), custom(not_blank), custom(storable))]
    pub body: String,
}

impl NewConversation {
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        self.title = self.title.trim().to_owned();
        self.validate()?;
        Ok(self)
    }
}

impl ConversationChange {
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        self.title = self.title.map(|title| title.trim().to_owned());
        self.validate()?;
        Ok(self)
    }
}

impl NewMessage {
    pub(crate) fn checked(self) -> Result<Self, Error> {
        self.validate()?;
        Ok(self)
    }
}

impl MessageChange {
    pub(crate) fn checked(self) -> Result<Self, Error> {
        self.validate()?;
        Ok(self)
    }
}

/// PostgreSQL's text holds every character but this one.
fn storable(text: &str, _: &()) -> garde::Result {
    match text.contains('\0') {
        true => Err(garde::Error::new("must not contain the character NUL")),
        false => Ok(()),
    }
}

fn not_blank(text: &str, _: &()) -> garde::Result {
    match text.is_empty() || text.chars().any(|c| !c.is_whitespace()) {
        true => Ok(()),
        false => Err(garde::Error::new("must not be blank")),
    }
}
