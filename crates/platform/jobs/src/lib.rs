#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod job;
mod migration;
mod options;
mod queue;
mod sql;
mod work;

pub use self::job::{Job, JobError};
pub use self::migration::migrations;
pub use self::options::{JobOptions, OnConflict, Priority, RunAt};
pub use self::queue::{Enqueued, Jobs};
pub use self::work::Work;
