//! The services of the example.

mod ask;
mod chat;
mod chat_api;
mod chat_model;
mod conversations;
mod messages;
