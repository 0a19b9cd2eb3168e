//! Measures the limit: opens connections until one is refused.

use std::time::Duration;

use berth_database::Settings;
use berth_database::diagnostics::ConnectFailure;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::{Finding, clients, connect};

/// A first statement that is not answered within this time waits for a connection.
const WAITS: Duration = Duration::from_secs(2);

/// How the count ended.
#[derive(Clone, Debug)]
enum End {
    Full,
    /// The doctor's own bound was reached.
    Bound,
    Failed(ConnectFailure),
}

/// Compares the number of admitted clients with `database.limit`.
pub(crate) async fn finding(settings: &Settings, plain: &Settings) -> Finding {
    // Enough to notice that `database.limit` is too low, without taking all connections of a large server.
    let bound = settings.limit.saturating_mul(2).saturating_add(5).min(200);
    let mut connected = Vec::new();
    let end = fill(plain, bound as usize, &mut connected).await;
    let admitted = connected.len();
    let others = match connected.first_mut() {
        Some(connection) => others(connection).await,
        None => 0,
    };
    for connection in connected {
        let _gone = tokio::time::timeout(WAITS, connection.close()).await;
    }
    judge(settings.limit as usize, admitted, others, end)
}

async fn fill(settings: &Settings, bound: usize, connected: &mut Vec<PgConnection>) -> End {
    while connected.len() < bound {
        match connect::once(settings, WAITS).await {
            Ok(connection) => connected.push(connection),
            Err(failure) if failure.error.is_full() => return End::Full,
            Err(failure) => return End::Failed(failure),
        }
    }
    End::Bound
}

/// The number of other clients that are connected.
async fn others(connection: &mut PgConnection) -> usize {
    let Ok(clients) = clients::clients(connection).await else {
        return 0;
    };
    // The doctor's own connections have no name, and neither have idle ones of a pooler.
    let named = clients.iter().filter(|(name, _)| name != "nameless");
    named
        .map(|(_, number)| usize::try_from(*number).unwrap_or(0))
        .sum()
}

fn judge(limit: usize, admitted: usize, others: usize, end: End) -> Finding {
    let room = admitted + others;
    let says = match others {
        0 => format!("{admitted} clients were admitted, database.limit is {limit}"),
        _ => format!(
            "{admitted} clients were admitted in addition to {others} connected ones, database.limit is {limit}"
        ),
    };
    match end {
        End::Failed(failure) => Finding::warn(
            "admits",
            format!("{says}; the count ended with: {failure}"),
            "run the doctor again when the server is healthy",
        ),
        End::Full if room < limit => Finding::fail(
            "admits",
            says,
            format!("set DB_LIMIT={room}, or raise the pooler's own limit"),
        ),
        End::Full => Finding::pass("admits", says),
        End::Bound => Finding::pass("admits", format!("{says}; the doctor did not try more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[test]
    fn clients_that_were_connected_before_count_as_admitted() {
        assert_eq!(judge(15, 10, 5, End::Full).level, Level::Pass);
        let finding = judge(15, 8, 2, End::Full);
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.change.unwrap().starts_with("set DB_LIMIT=10"));
    }
}
