//! The examination of a SQLite file: little can go wrong, and one thing can be misunderstood.

use std::path::Path;
use std::time::Duration;

use berth_database::{Database, Server, SessionOptions};

use super::{Finding, Report, migrations};
use crate::settings::{Environment, Settings};

/// Adds what there is to say of a file.
pub(super) async fn examine(settings: &Settings, report: &mut Report) {
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
        Ok((server, pending)) => {
            report.add(Finding::pass(
                "reach",
                format!("{server} reads {}", file.display()),
            ));
            report.add(pending);
        }
        Err(error) => report.add(Finding::fail(
            "reach",
            format!("{}: {error}", file.display()),
            "check the path in DATABASE_URL, and that this user may write the file and its folder",
        )),
    }
}

fn place(settings: &Settings) -> Finding {
    let says = "SQLite: one process on one machine, and no limit to keep";
    match settings.app.environment {
        Environment::Production => Finding::warn(
            "pooler",
            format!("{says}; in a container the file must lie on a volume"),
            "set DATABASE_URL to a PostgreSQL where more than one instance is to run",
        ),
        _ => Finding::pass("pooler", says),
    }
}

async fn open(settings: &Settings) -> Result<(Server, Finding), Box<dyn std::error::Error>> {
    let database = Database::new(settings.database.clone())?;
    let server = database.ready(Duration::from_secs(5)).await?;
    let session = database.session(SessionOptions::new("doctor").autocommit_reads());
    let pending = migration::pending(&session).await;
    drop(session);
    database.close(settings.database.close_timeout).await?;
    Ok((server, migrations::judge(&pending?)))
}
