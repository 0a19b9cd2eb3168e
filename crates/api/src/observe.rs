//! What an operator sees of the process: its health, its pool, its metrics, its traces, and what it warns of.
//!
//! Everything here reads one [`berth_database::Status`] at a time, which costs no slot and waits for nobody, so all of it
//! answers while everything else is saturated.

mod advice;
mod history;
mod metrics;
mod migrations;
mod monitor;
mod neighbours;
mod observer;
#[cfg(feature = "otlp")]
mod otlp;
mod pool_metrics;
mod pool_words;
mod readiness;
mod server_timing;
mod throttle;
mod trace_context;
mod warnings;

pub(crate) use self::history::Sample;
pub(crate) use self::metrics::{CONTENT_TYPE, Metrics};
pub(crate) use self::monitor::Monitor;
pub(crate) use self::neighbours::Neighbours;
pub(crate) use self::observer::Observer;
#[cfg(feature = "otlp")]
pub(crate) use self::otlp::{Exporter, continue_trace};
pub(crate) use self::pool_words::{PoolInBrief, PoolWords, whole_millis};
pub(crate) use self::readiness::{Health, NotReady};
pub(crate) use self::server_timing::server_timing;
pub(crate) use self::trace_context::TraceContext;
pub use self::trace_context::outgoing;

/// A pool at rest, with a share of five.
#[cfg(test)]
fn calm() -> berth_database::Status {
    let file = std::env::temp_dir().join("never-opened.sqlite");
    let settings =
        berth_database::Settings::for_url(&format!("sqlite://{}?mode=rwc", file.display())).unwrap();
    let status = berth_database::Database::new(settings).unwrap().status();
    assert_eq!(status.share, 5);
    status
}
