//! Mails with a real SMTP server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its own functions too"
)]

mod queue;
mod transports;
