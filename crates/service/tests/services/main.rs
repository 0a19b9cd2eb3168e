//! The services on both databases, with a share of one connection, so that a second lease cannot hide.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports its failures by panicking"
)]

mod fixture;
mod sample; // sample
mod users;
