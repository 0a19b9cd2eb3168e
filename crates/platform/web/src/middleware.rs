//! The middleware of every request. The service's `app.rs` wraps them; from the outside in:
//!
//! | middleware | what it does |
//! |---|---|
//! | [`telemetry::request_span`](crate::telemetry::request_span) | opens the request's span in the log |
//! | [`request_metrics`] | counts and times the request by its route |
//! | [`access_log`] | logs one line for the answer |
//! | [`error_response`] | turns errors into problems, adds the request id |
//! | actix's `Compress` | compresses answers |
//! | [`refuse_encoded_bodies`] | answers compressed request bodies with 415 |
//! | [`catch_unwind`] | turns a panic into an error |
//! | [`identity::identify`](crate::identity::identify) | verifies the token |
//! | [`unit_of_work`] | gives the request a session and ends it |

mod access_log;
mod catch_unwind;
mod error_response;
mod refuse_encoded_bodies;
mod request_log;
mod request_metrics;
mod unit_of_work;

pub use self::access_log::access_log;
pub use self::catch_unwind::catch_unwind;
pub use self::error_response::error_response;
pub use self::refuse_encoded_bodies::refuse_encoded_bodies;
pub use self::request_metrics::request_metrics;
pub use self::unit_of_work::unit_of_work;
pub(crate) use self::unit_of_work::{Rights, Sessions, UnitOfWork};
