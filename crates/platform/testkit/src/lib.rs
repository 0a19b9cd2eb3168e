#![doc = include_str!("../README.md")]
#![allow(
    clippy::expect_used,
    reason = "a test library reports its failures by panicking in the test that uses it"
)]

mod binaries;
mod certificates;
mod cluster;
mod cluster_info;
mod eventually;
mod limiter;
mod pgbouncer;
mod port;
mod setup;
mod test_database;
mod user;
mod watchdog;

pub use cluster::{CLUSTER_VARIABLE, Cluster, ClusterOptions, Shutdown};
pub use eventually::{eventually, eventually_within};
pub use limiter::{
    Action, ArmedFault, Certificate, Counts, Cut, Limiter, LimiterOptions, Phase, PoolerKind, Refusal,
    Trigger,
};
pub use pgbouncer::{Authentication, PgBouncer, PgBouncerOptions, PoolMode};
pub use port::free_port;
pub use test_database::TestDatabase;
