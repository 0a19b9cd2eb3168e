//! The invariants of the crate on real servers: PostgreSQL direct, through the limiter, through PgBouncer, and SQLite.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests open connections and start tasks as strangers do"
)]

mod autocommit;
mod begin_options;
mod bounded;
mod cancellation;
mod clean_state;
mod commits;
mod deadlines;
mod faults;
mod fixture;
mod hooks;
mod listener;
mod logging;
mod misuse;
mod orphans;
mod own_types;
mod pooler_detection;
mod pooler_modes;
mod refusals;
mod seaorm;
mod settings;
mod sharing;
mod sqlite;
mod vanished_hosts;
