#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod admin;
mod claims;
mod error_text;
mod housekeeping;
mod job;
mod migration;
mod options;
mod queue;
mod registry;
mod schedule;
mod settings;
mod sql;
mod stats;
mod status;
mod tracing_scope;
mod work;
mod worker;

pub use self::housekeeping::Housekeeping;
pub use self::job::{Job, JobError};
pub use self::migration::migrations;
pub use self::options::{JobOptions, OnConflict, Priority, RunAt};
pub use self::queue::{Enqueued, Jobs};
pub use self::registry::Registry;
pub use self::schedule::{InvalidSchedule, Missed, Schedule};
pub use self::settings::Settings;
pub use self::stats::JobStats;
pub use self::status::{Depth, Status};
pub use self::tracing_scope::Tracing;
pub use self::work::Work;
pub use self::worker::{RunningJob, Worker};
