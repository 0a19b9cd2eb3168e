//! The services on both databases, with a share of one connection, so that a second lease cannot hide.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports its failures by panicking"
)]

mod bench;
mod chat; // sample
mod chat_api; // sample
mod conversations; // sample
mod messages; // sample
mod pages;
mod post; // sample
mod responder; // sample
mod users; // sample
