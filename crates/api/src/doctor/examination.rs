//! The examination of a PostgreSQL, from the door inwards.

use std::time::Duration;

use berth_database::{Pooler, PoolerMode, diagnostics};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::pooler::Found;
use super::{
    Arguments, Finding, Report, advice, budget, limit, migrations, neighbours, patience, pooler, prepared,
    server, speed, tls,
};
use crate::settings::Settings;

/// Adds every finding that can be had. What cannot be looked at is not guessed.
pub(super) async fn examine(settings: &Settings, arguments: Arguments, report: &mut Report) {
    let plain = under_own_name(&settings.database);
    let mut first = match patience::enter(&plain, &[]).await {
        Ok(entered) => entered,
        Err(failure) => {
            report.add(advice::no_entry(&failure));
            report.add(budget::finding(&settings.database));
            return;
        }
    };
    report.add(server::who_answers(&mut first).await);
    report.add(tls::finding(&plain));
    let found = pooler::experiment(&plain, &mut first.connection).await;
    leave(first.connection).await;
    report.add(pooler::finding(&settings.database, found));
    report.add(prepared::finding(&settings.database, found));
    // What a pool sets on its connections would stay on a transaction pooler's servers, for others to find.
    let plain = match found.mode() {
        Some(PoolerMode::Transaction) => berth_database::Settings {
            pooler: Pooler::Transaction,
            ..plain
        },
        _ => plain,
    };
    match diagnostics::open(&plain).await {
        Ok(connection) => inside(settings, &plain, found, connection, report).await,
        Err(failure) => report.add(advice::no_entry(&failure)),
    }
    report.add(speed::fresh(&plain).await);
    report.add(migrations::finding(&plain).await);
    if arguments.probe_limit {
        report.add(limit::finding(&settings.database, &plain).await);
    }
}

/// What one connection, set up as the pool's, has to tell.
async fn inside(
    settings: &Settings,
    plain: &berth_database::Settings,
    found: Found,
    mut connection: PgConnection,
    report: &mut Report,
) {
    let here = &mut connection;
    let looks = [
        server::version(here).await,
        server::capacity(&settings.database, found, here).await,
        server::timeouts(plain, here).await,
        server::name(&settings.database, plain, here).await,
        server::clock(here).await,
        speed::round_trip(&settings.database, here).await,
        neighbours::finding(&settings.database, here).await,
    ];
    for look in looks {
        report.add(look);
    }
    report.add(budget::finding(&settings.database));
    report.add(budget::overlap(&settings.database));
    leave(connection).await;
}

/// Closes politely, which frees the place at once; a server that does not answer is left to notice by itself.
async fn leave(connection: PgConnection) {
    let _gone = tokio::time::timeout(Duration::from_secs(2), connection.close()).await;
}

/// The settings under a name that instances do not count.
fn under_own_name(settings: &berth_database::Settings) -> berth_database::Settings {
    let name: String = settings.application_name.chars().take(20).collect();
    berth_database::Settings {
        application_name: format!("{name}-doctor"),
        ..settings.clone()
    }
}

/// A finding for a look that failed by itself, which says something too.
pub(super) fn or_unseen(check: &'static str, look: Result<Finding, sqlx::Error>) -> Finding {
    look.unwrap_or_else(|error| {
        Finding::warn(
            check,
            format!("not found out: {error}"),
            "look again; if it stays so, ask the database's owner for the right to look",
        )
    })
}
