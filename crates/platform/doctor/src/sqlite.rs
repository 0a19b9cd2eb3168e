//! Runs the checks of a SQLite file.

use std::path::Path;
use std::time::Duration;

use berth_database::{Database, Server, Settings};

use crate::{Deployment, Finding, Report, migrations};
use berth_settings::Environment;

/// Runs the checks, and adds their findings.
pub(crate) async fn examine(
    settings: &Deployment,
    pending: impl AsyncFnOnce(Settings) -> Result<Vec<String>, String>,
    report: &mut Report,
) {
    report.add(place(settings));
    let file = settings.database.url.sqlite_file().unwrap_or(Path::new(""));
    if !file.exists() {
        // Opening it would create it.
        let says = format!(
            "{} does not exist yet; the first start creates it",
            file.display()
        );
        report.add(Finding::warn(
            "reach",
            says,
            "start the service, or run `make migrate`",
        ));
        return;
    }
    match open(settings).await {
        Ok(server) => {
            report.add(Finding::pass(
                "reach",
                format!("{server} opens {}", file.display()),
            ));
            report.add(migrations::finding(pending(settings.database.clone()).await));
        }
        Err(error) => report.add(Finding::fail(
            "reach",
            format!("{}: {error}", file.display()),
            "check the path in DATABASE_URL, and that this user can write the file and its folder",
        )),
    }
}

fn place(settings: &Deployment) -> Finding {
    let says = "SQLite: one process on one machine, no connection limit";
    match settings.environment {
        Environment::Production => Finding::warn(
            "pooler",
            format!("{says}; in a container the file must be on a volume"),
            "to run more than one instance, set DATABASE_URL to a PostgreSQL database",
        ),
        _ => Finding::pass("pooler", says),
    }
}

async fn open(settings: &Deployment) -> Result<Server, Box<dyn std::error::Error>> {
    let database = Database::new(settings.database.clone())?;
    let server = database.ready(Duration::from_secs(5)).await?;
    database.close(settings.database.close_timeout).await?;
    Ok(server)
}
