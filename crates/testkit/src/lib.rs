#![doc = include_str!("../README.md")]
#![allow(
    clippy::expect_used,
    reason = "a test library reports its failures by panicking in the test that uses it"
)]

mod account;
mod binaries;
mod certificates;
mod cluster;
mod eventually;
mod guardian;
mod limiter;
mod pgbouncer;
mod place;
mod port;
mod setup;
mod test_database;

pub use cluster::{CLUSTER_VARIABLE, Cluster, ClusterOptions, Shutdown};
pub use eventually::{eventually, eventually_within};
pub use limiter::{
    Action, ArmedFault, Certificate, Counts, Cut, Flavour, Limiter, LimiterOptions, Phase, Refusal, Trigger,
};
pub use pgbouncer::{Authentication, PgBouncer, PgBouncerOptions, PoolMode};
pub use port::free_port;
pub use test_database::TestDatabase;
