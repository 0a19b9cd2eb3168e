//! The middleware of every request. The service's `app.rs` wraps them; from the outside in:
//!
//! | middleware | what it does |
//! |---|---|
//! | [`telemetry::request_span`](crate::telemetry::request_span) | opens the request's span in the log |
//! | [`request_metrics`] | counts and times the request by its route |
//! | [`access_log`] | logs one line for the answer |
//! | [`error_response`] | turns errors into problems, adds the request id and the security headers |
//! | [`cors`] | lets pages of other origins call the service |
//! | actix's `Compress` | compresses answers |
//! | [`request_limits`] | bounds the requests at once, and the head and the body of each |
//! | [`catch_unwind`] | turns a panic into an error |
//! | [`identity::identify`](crate::identity::identify) | verifies the token |
//! | [`rate_limit`] | answers a client that sends too many requests with 429 |
//! | [`unit_of_work`] | gives the request a session and ends it, once for each `Idempotency-Key` |

mod access_log;
mod catch_unwind;
mod cors;
mod error_response;
mod idempotency;
mod rate_limit;
mod request_body;
mod request_limits;
mod request_log;
mod request_metrics;
mod security_headers;
mod unit_of_work;

pub use self::access_log::access_log;
pub use self::catch_unwind::catch_unwind;
pub use self::cors::cors;
pub use self::error_response::error_response;
pub(crate) use self::rate_limit::RateLimits;
pub use self::rate_limit::rate_limit;
pub(crate) use self::request_limits::RequestLimits;
pub use self::request_limits::request_limits;
pub use self::request_metrics::request_metrics;
pub(crate) use self::security_headers::SecurityHeaders;
pub use self::unit_of_work::unit_of_work;
pub(crate) use self::unit_of_work::{Rights, Sessions, UnitOfWork};
