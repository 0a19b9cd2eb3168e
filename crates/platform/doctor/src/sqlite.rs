//! Runs the checks of a SQLite file.

use std::path::Path;
use std::time::Duration;

use berth_database::{Database, Server, Settings};

use crate::{Deployment, Finding, Report, migrations};
use berth_settings::Environment;

/// Adds what there is to say of a file.
pub(crate) async fn examine(
    settings: &Deployment,
    pending: impl AsyncFnOnce(Settings) -> Result<Vec<String>, String>,
    report: &mut Report,
) {
    report.add(place(settings));
    let file = settings.database.url.sqlite_file().unwrap_or(Path::new(""));
    if !file.exists() {
        // Looking must not make it.
        let says = format!(
            "{} does not exist yet; the first start creates it",
            file.display()
        );
        report.add(Finding::warn(
            "reach",
            says,
            "run `migration up`, or start the service",
        ));
        return;
    }
    match open(settings).await {
        Ok(server) => {
            report.add(Finding::pass(
                "reach",
                format!("{server} reads {}", file.display()),
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
    let says = "SQLite: one process on one machine, without a connection limit";
    match settings.environment {
        Environment::Production => Finding::warn(
            "pooler",
            format!("{says}; in a container the file must be on a volume"),
            "set DATABASE_URL to a PostgreSQL to run more than one instance",
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
