#![doc = include_str!("../README.md")]
#![allow(
    clippy::expect_used,
    reason = "a test library reports its failures by panicking in the test that uses it"
)]
#![warn(missing_docs)]

mod backend_sampler;
mod binaries;
mod black_hole;
mod certificates;
mod cluster;
mod cluster_info;
mod eventually;
mod limiter;
mod pgbouncer;
mod port;
mod setup;
mod smtp_server;
mod test_database;
mod user;
mod watchdog;

pub use backend_sampler::BackendSampler;
pub use binaries::postgres_program;
pub use black_hole::BlackHole;
pub use certificates::Certificate;
pub use cluster::{CLUSTER_VARIABLE, Cluster, ClusterOptions, Shutdown};
pub use eventually::{eventually, eventually_within};
pub use limiter::{
    Action, ArmedFault, CancelRequests, Counts, Cut, Limiter, LimiterOptions, Phase, PoolerKind, Refusal,
    Times, TlsSupport, Trigger,
};
pub use pgbouncer::{Authentication, PgBouncer, PgBouncerOptions, PoolMode};
pub use port::free_port;
pub use smtp_server::{Encryption, ReceivedMail, SmtpOptions, SmtpServer};
pub use test_database::TestDatabase;
