//! One event in the form of the wire.

use std::fmt::Display;

use actix_web::web::Bytes;
use serde::Serialize;

/// An event that a client is sent, in the form of `text/event-stream`.
#[derive(Clone, Debug)]
pub struct ServerEvent(String);

impl ServerEvent {
    /// An event of a kind, which is the name that a client listens for, with JSON as its data.
    pub fn new(kind: &str, data: &impl Serialize) -> Self {
        // Compact JSON has no line breaks. Writing into memory fails only for maps whose keys are not text.
        let data = serde_json::to_string(data).unwrap_or_default();
        Self(format!("event: {kind}\ndata: {data}\n\n"))
    }

    /// Adds the id with which a client resumes after this event.
    #[must_use]
    pub fn id(self, id: impl Display) -> Self {
        Self(format!("id: {id}\n{}", self.0))
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}
