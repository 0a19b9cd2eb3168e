//! The example over HTTP.

mod access;
mod ask;
mod chat_model;
mod conversations;
mod events;
mod factory;
mod jobs;
mod messages;
mod row_level_security;
mod settings;
pub(crate) mod statuses;
mod traces;
