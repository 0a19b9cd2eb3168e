#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod advice;
mod budget;
mod clients;
mod connect;
mod finding;
mod indexes;
mod jobs;
mod latency;
mod limit;
mod migrations;
mod pooler;
mod run;
mod server;
mod sqlite;
mod tls;

use clap::Args;

use berth_database::Settings;
use berth_settings::Environment;

pub use self::finding::{Finding, Level, Report};

/// Options of the doctor.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Arguments {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Count how many clients are admitted, by briefly taking every free connection; not for use under load
    #[arg(long)]
    pub probe_limit: bool,
}

/// The deployment to examine.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The service's settings of the database.
    pub database: Settings,
    /// The environment of the deployment.
    pub environment: Environment,
    /// What the settings open more than production should: what it is, and what to change.
    pub warnings: Vec<(&'static str, &'static str)>,
}

/// Examines the database of a deployment and returns the findings.
///
/// `pending` returns the names of the pending migrations; the doctor calls it while it has no connection open. At most two
/// connections are open at once, except for [`Arguments::probe_limit`]. They have an `application_name` that instances of
/// the service do not count.
pub async fn examine(
    deployment: &Deployment,
    arguments: Arguments,
    pending: impl AsyncFnOnce(Settings) -> Result<Vec<String>, String>,
) -> Report {
    let mut report = Report::new(deployment.database.url.to_string());
    if deployment.database.url.is_postgres() {
        run::examine(&deployment.database, arguments, pending, &mut report).await;
    } else {
        sqlite::examine(deployment, pending, &mut report).await;
    }
    for (says, change) in &deployment.warnings {
        report.add(Finding::warn("settings", *says, *change));
    }
    report
}
