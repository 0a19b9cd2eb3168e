//! The examination of a SQLite file: little can go wrong, and one thing can be misunderstood.

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
        let says = format!("{} does not exist yet; the first start makes it", file.display());
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
            "check the path in DATABASE_URL, and that this user may write the file and its folder",
        )),
    }
}

fn place(settings: &Deployment) -> Finding {
    let says = "SQLite: one process on one machine, and no limit to keep";
    match settings.environment {
        Environment::Production => Finding::warn(
            "pooler",
            format!("{says}; in a container the file must lie on a volume"),
            "set DATABASE_URL to a PostgreSQL where more than one instance is to run",
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
