//! What each address does: take what was sent, call a service, answer.

pub mod conversations;
pub mod debug;
pub mod health;
pub mod home;
pub mod messages;
pub mod metrics;
mod reply;
