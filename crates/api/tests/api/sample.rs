//! The example over HTTP.

mod ask;
mod chat_model;
mod conversations;
mod messages;
mod settings;
mod traces;
