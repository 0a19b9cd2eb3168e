//! The queue, its workers and the schedule, on PostgreSQL and SQLite.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its own functions too"
)]

mod cost;
mod enqueue;
mod faults;
mod fixture;
mod modes;
mod schedule;
mod worker;
