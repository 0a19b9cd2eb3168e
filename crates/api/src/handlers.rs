//! Handlers: one file a resource. A handler extracts its input, calls a service and returns the result.

pub(crate) mod auth;
pub(crate) mod me;
pub(crate) mod users;
