//! Handlers: one file a resource. A handler extracts its input, calls a service and returns the result.

pub(crate) mod me;
