//! Tokens, passwords and refresh tokens, with keys that the tests make.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its own functions too"
)]

mod attempts;
mod issuer;
mod issuers;
mod keys;
mod local;
mod passwords;
mod refresh_tokens;
