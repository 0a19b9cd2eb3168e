//! Observability: readiness, pool status, metrics and warnings.
//!
//! Everything here reads one [`berth_database::Status`] at a time, which uses no slot and never waits, so all of it
//! answers while every connection is in use.

mod alert;
mod alerts;
mod background_tasks;
mod clients;
mod history;
mod job_metrics;
mod metrics;
mod monitor;
mod pending_migrations;
mod pool_metrics;
mod pool_status;
mod readiness;
mod server_timing;
mod throttle;

pub(crate) use self::background_tasks::BackgroundTasks;
pub(crate) use self::clients::ConnectedClients;
pub(crate) use self::history::Sample;
pub(crate) use self::metrics::CONTENT_TYPE;
pub(crate) use self::metrics::Metrics;
pub(crate) use self::monitor::Monitor;
pub(crate) use self::pool_status::{PoolStatus, PoolSummary, whole_millis};
pub(crate) use self::readiness::NotReady;
pub(crate) use self::readiness::Readiness;
pub(crate) use self::server_timing::server_timing;

/// An idle pool with a share of five.
#[cfg(test)]
fn idle_pool() -> berth_database::Status {
    let file = std::env::temp_dir().join("never-opened.sqlite");
    let settings =
        berth_database::Settings::for_url(&format!("sqlite://{}?mode=rwc", file.display())).unwrap();
    let status = berth_database::Database::new(settings).unwrap().status();
    assert_eq!(status.share, 5);
    status
}
