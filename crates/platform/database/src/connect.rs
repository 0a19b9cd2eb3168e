//! Opening connections, and classifying failed attempts.

pub(crate) mod address;
pub mod connect_error;
pub(crate) mod connector;
pub mod diagnostics;
pub(crate) mod instances;
pub(crate) mod listener;
pub(crate) mod login;
pub(crate) mod password;
pub(crate) mod pooler_mode;
pub(crate) mod set_up;
pub(crate) mod tls_relay;
pub(crate) mod unnamed;
