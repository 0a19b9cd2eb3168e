//! The handlers of the platform's own routes.

pub mod debug;
mod email_link;
pub mod health;
pub mod home;
mod metrics;
pub mod openapi;
pub mod runbook;

pub use self::email_link::email_link;
pub use self::home::{docs, home, not_found};
pub use self::metrics::metrics;
pub use crate::problem::explain as problem_type;
