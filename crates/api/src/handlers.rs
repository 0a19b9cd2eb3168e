//! What each address does: take what was sent, call a service, answer.

pub mod conversations; // sample
pub mod debug;
pub mod health;
pub mod home;
pub mod messages; // sample
pub mod metrics;
pub mod reply;
