//! What an operator sees, compared with what is: a real server behind a limiter that counts for itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its own functions too"
)]

mod browser;
mod debug;
mod health;
mod load;
mod log;
mod metrics;
mod peer;
mod sample; // sample
mod site;
mod traces;
mod warnings;
