//! The tables of the example: conversations and their messages.

pub mod conversation;
pub mod message;
