#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod clients;
mod connect;
mod database;
mod error;
mod pool;
mod session;
mod settings;
mod stats;
mod status_handle;

pub use berth_pool::{ConnectErrorKind, Outage, SlotCounts};
pub use clients::DatabaseClient;
pub use connect::connect_error::{self, ConnectError, Reason};
pub use connect::diagnostics;
pub use database::{Database, Retry};
pub use error::Error;
pub use pool::notifications::{Notice, Subscription};
pub use pool::status::{FailedAttempt, Holder, IdleLease, Server, Status, StillHeld};
pub use session::stream::RowStream;
pub use session::transaction::Transaction;
pub use session::{Outcome, Session, SessionOptions};
pub use settings::url::DatabaseUrl;
pub use settings::{Instances, Pooler, PoolerMode, Settings, SettingsError, Strategy};
pub use stats::activity::{HolderState, Usage};
pub use stats::counters::Counters;
pub use stats::histogram::{BOUNDS_MICROS, Histogram};
pub use stats::statement_stats::StatementTimings;
pub use status_handle::StatusHandle;
