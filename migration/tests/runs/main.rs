//! Runs against real databases: what a run does, and what it does when something gets in its way.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports its failures by panicking"
)]

mod command;
mod concurrency;
mod failure;
mod fixture;
mod generated;
mod indexes;
mod poolers;
mod schema;
mod up_and_down;
