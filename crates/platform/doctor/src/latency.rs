//! Measures the round trip and the time of a connection attempt.

use std::time::{Duration, Instant};

use berth_database::diagnostics::{open, share};
use berth_database::{Instances, Settings, Strategy};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Error, raw_sql};

use crate::Finding;
use crate::run::or_unknown;

/// Above this, the round trip dominates the time of most statements.
const FAR: Duration = Duration::from_millis(20);
/// Above this, a handshake for each request is too slow.
const SLOW_HANDSHAKE: Duration = Duration::from_millis(50);

/// Measures the round trip, and computes how many statements a second the share serves at most.
pub(crate) async fn round_trip(settings: &Settings, connection: &mut PgConnection) -> Finding {
    let found = async {
        let mut times = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            raw_sql("SELECT 1").execute(&mut *connection).await?;
            times.push(start.elapsed());
        }
        Ok::<_, Error>(judge_round_trip(settings, median(times)))
    };
    or_unknown("round trip", found.await)
}

fn judge_round_trip(settings: &Settings, time: Duration) -> Finding {
    let instances = match settings.instances {
        Instances::Fixed(instances) => instances,
        Instances::Auto => 1,
    };
    let share = share(settings, instances);
    let most = share as f64 / time.as_secs_f64().max(1e-6);
    let says = format!(
        "{}: {share} connections serve at most {most:.0} statements a second",
        in_ms(time)
    );
    if time > FAR {
        let change =
            "run the service in the region of the database: each statement takes at least one round trip";
        Finding::warn("round trip", says, change)
    } else {
        Finding::pass("round trip", says)
    }
}

/// Measures the time to open and set up a connection; takes the median of three.
pub(crate) async fn fresh(settings: &Settings) -> Finding {
    let mut times = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        match open(settings).await {
            Ok(connection) => times.push((start.elapsed(), connection.close().await).0),
            Err(failure) => {
                let change = "run the doctor again when the service has no load";
                return Finding::warn("handshake", format!("unknown: {failure}"), change);
            }
        }
    }
    let time = median(times);
    let says = format!("a new connection takes {}", in_ms(time));
    match settings.strategy {
        Strategy::Fresh if time > SLOW_HANDSHAKE => Finding::warn(
            "handshake",
            format!("{says}, and with DB_STRATEGY=fresh each lease opens one"),
            "set DB_STRATEGY=pooled",
        ),
        _ => Finding::pass("handshake", says),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn in_ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    // On the same host a round trip takes about a tenth of a millisecond.
    format!("{ms:.*} ms", if ms < 1.0 { 2 } else { 1 })
}
