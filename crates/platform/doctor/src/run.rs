//! Runs the checks of a PostgreSQL database.

use std::time::Duration;

use berth_database::{PoolerMode, Settings, diagnostics};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::{
    Arguments, Finding, Report, advice, budget, clients, connect, indexes, jobs, latency, limit, migrations,
    pooler, server, tls,
};

/// Runs all checks that are possible, and adds their findings.
pub(crate) async fn examine(
    settings: &Settings,
    arguments: Arguments,
    pending: impl AsyncFnOnce(Settings) -> Result<Vec<String>, String>,
    report: &mut Report,
) {
    let mut plain = under_own_name(settings);
    let mut first = match connect::connect(&plain).await {
        Ok(connected) => connected,
        Err(failure) => {
            report.add(advice::failed_attempt(&failure));
            report.add(budget::finding(settings));
            return;
        }
    };
    report.add(server::connectivity(&mut first).await);
    report.add(tls::finding(&plain));
    let mode = pooler::experiment(&plain, &mut first.connection).await;
    leave(first.connection).await;
    report.add(pooler::finding(settings, mode));
    if mode != PoolerMode::Unknown {
        plain.pooler = mode.into();
    }
    match diagnostics::open(&plain).await {
        Ok(connection) => inside(settings, &plain, connection, report).await,
        Err(failure) => report.add(advice::failed_attempt(&failure)),
    }
    report.add(latency::fresh(&plain).await);
    report.add(migrations::finding(pending(plain.clone()).await));
    if arguments.probe_limit {
        report.add(limit::finding(settings, &plain).await);
    }
}

/// Runs the checks that need a connection as the pool sets it up.
async fn inside(settings: &Settings, plain: &Settings, mut connection: PgConnection, report: &mut Report) {
    let here = &mut connection;
    let looks = [
        server::version(here).await,
        server::capacity(plain, here).await,
        server::timeouts(plain, here).await,
        server::name(settings, plain, here).await,
        server::clock(here).await,
        latency::round_trip(settings, here).await,
        clients::finding(settings, here).await,
        indexes::finding(here).await,
        jobs::finding(here).await,
    ];
    for look in looks {
        report.add(look);
    }
    report.add(budget::finding(plain));
    report.add(budget::overlap(plain));
    leave(connection).await;
}

/// Closes the connection gracefully, so that the server or pooler releases it at once.
async fn leave(connection: PgConnection) {
    let _gone = tokio::time::timeout(Duration::from_secs(2), connection.close()).await;
}

/// The settings with an application name that instances do not count.
fn under_own_name(settings: &Settings) -> Settings {
    let name: String = settings.application_name.chars().take(20).collect();
    Settings {
        application_name: format!("{name}-doctor"),
        ..settings.clone()
    }
}

/// Turns the error of a check into a warning.
pub(crate) fn or_unknown(check: &'static str, look: Result<Finding, sqlx::Error>) -> Finding {
    look.unwrap_or_else(|error| {
        Finding::warn(
            check,
            format!("unknown: {error}"),
            "run the doctor again; if the error remains, the role may lack a privilege",
        )
    })
}
