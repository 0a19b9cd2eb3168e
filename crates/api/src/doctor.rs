//! `api doctor`: tells before a deployment goes live whether it is safe, and what to change where it is not.
//!
//! Every finding is a small function that looks at one thing. What is found out by experiment is written down
//! with its evidence, since addresses and ports mislead.

mod advice;
mod budget;
mod examination;
mod finding;
mod limit;
mod migrations;
mod neighbours;
mod patience;
mod pooler;
mod prepared;
mod server;
mod speed;
mod sqlite;
mod tls;

use clap::Args;

pub use self::finding::{Finding, Level, Report};
use crate::settings::Settings;

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

/// Examines the database of these settings and writes down what is found.
///
/// Uses two connections at once at most, the count of [`Arguments::probe_limit`] aside, under a name of its own:
/// instances that count each other do not count it.
pub async fn examine(settings: &Settings, arguments: Arguments) -> Report {
    let mut report = Report::new(settings.database.url.to_string());
    match settings.database.url.is_postgres() {
        true => examination::examine(settings, arguments, &mut report).await,
        false => sqlite::examine(settings, &mut report).await,
    }
    report
}
