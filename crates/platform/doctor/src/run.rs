//! Runs the checks of a PostgreSQL, in order.

use std::time::Duration;

use berth_database::{PoolerMode, Settings, diagnostics};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::{
    Arguments, Finding, Report, advice, budget, clients, connect, indexes, latency, limit, migrations,
    pooler, server, tls,
};

/// Adds every finding that can be had. What cannot be looked at is not guessed.
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
            report.add(advice::no_entry(&failure));
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
        Err(failure) => report.add(advice::no_entry(&failure)),
    }
    report.add(latency::fresh(&plain).await);
    report.add(migrations::finding(pending(plain.clone()).await));
    if arguments.probe_limit {
        report.add(limit::finding(settings, &plain).await);
    }
}

/// What one connection, set up as the pool's, has to tell.
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
    ];
    for look in looks {
        report.add(look);
    }
    report.add(budget::finding(plain));
    report.add(budget::overlap(plain));
    leave(connection).await;
}

/// Closes politely, which frees the place at once; a server that does not answer is left to notice by itself.
async fn leave(connection: PgConnection) {
    let _gone = tokio::time::timeout(Duration::from_secs(2), connection.close()).await;
}

/// The settings under a name that instances do not count.
fn under_own_name(settings: &Settings) -> Settings {
    let name: String = settings.application_name.chars().take(20).collect();
    Settings {
        application_name: format!("{name}-doctor"),
        ..settings.clone()
    }
}

/// A finding for a look that failed by itself, which says something too.
pub(crate) fn or_unknown(check: &'static str, look: Result<Finding, sqlx::Error>) -> Finding {
    look.unwrap_or_else(|error| {
        Finding::warn(
            check,
            format!("unknown: {error}"),
            "run the doctor again; if it stays unknown, ask the database's owner for the privilege to read it",
        )
    })
}
