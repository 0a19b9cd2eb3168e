#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod advice;
mod budget;
mod clients;
mod connect;
mod finding;
mod indexes;
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

/// What the doctor is asked to do.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Arguments {
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
    /// Count how many clients are really admitted. It takes all free connections for a moment: not under load
    #[arg(long)]
    pub probe_limit: bool,
}

/// The deployment to examine.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// How the service reaches its database.
    pub database: Settings,
    /// The environment that it is for.
    pub environment: Environment,
}

/// Examines a deployment's database and returns what was found.
///
/// `pending` names the migrations that a database lacks; it is called when no other connection of the doctor is open.
/// Uses two connections at once at most, the count of [`Arguments::probe_limit`] aside, under a name of its own, so that
/// instances that count each other do not count it.
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
    report
}
