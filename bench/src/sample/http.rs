//! An authenticated GET by id through whole services, beside `pgbench` as the database's own ceiling.

use std::time::Duration;

use berth_testkit::{Cluster, Limiter, LimiterOptions, TestDatabase};

use super::service::{Client, Kind, Round, Service, Setting, Writes, log_in, processor_time};
use crate::clients::CONNECTIONS;
use crate::reads::{self, CALLERS};
use crate::report::{Rate, rates};

const ROUNDS: usize = 4;
const ROUND: Duration = Duration::from_secs(3);
/// The settings that give the service the other clients' five connections.
const FIVE: [Setting; 4] = [
    ("DB_LIMIT", "5"),
    ("DB_RESERVE", "0"),
    ("DB_POOL_SIZE", "5"),
    ("DB_MAX_OVERFLOW", "0"),
];

pub(crate) async fn run() {
    let database = Cluster::shared().await.database().await;
    for latency in [Duration::ZERO, Duration::from_millis(2)] {
        compare(&database, latency).await;
    }
}

async fn compare(database: &TestDatabase, latency: Duration) {
    let start = async |kind| Service::start(kind, limiter(database, latency), &FIVE).await;
    let berth = start(Kind::Berth).await;
    log_in(database).await;
    let path = Client::new(berth.port).await.post().await;
    let id = path.rsplit('/').next().unwrap_or_default();
    let stock = start(Kind::Stock).await;
    let sql = format!(
        "SELECT id, owner_id, title, is_public, version, created_at, updated_at FROM conversations WHERE id = '{id}';\n"
    );

    let mut floor = Vec::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let limiter = limiter(database, latency);
        floor.push(reads::pgbench(database, limiter.port(), ROUND, &sql).await);
        ours.push(berth.round(&path, CALLERS, ROUND, Writes::None).await);
        theirs.push(stock.round(&path, CALLERS, ROUND, Writes::None).await);
    }
    let title = format!(
        "http: authenticated GET by id, {CALLERS} clients, {CONNECTIONS} connections, {} ms each way",
        latency.as_millis()
    );
    let rate = |name, rounds| Rate { name, rounds };
    let of = |rounds: &[Round]| rounds.iter().map(Round::rate).collect();
    let all = [
        rate("pgbench", floor),
        rate("actix + SeaORM", of(&theirs)),
        rate("Berth", of(&ours)),
    ];
    rates(&title, &all, "pgbench");
    println!(
        "  Berth serves {:.2} times as much as actix + SeaORM; processor time a request: {:.0} µs and {:.0} µs",
        all[2].best() / all[1].best(),
        processor_time(&ours),
        processor_time(&theirs),
    );
}

fn limiter(database: &TestDatabase, latency: Duration) -> Limiter {
    let limit = usize::try_from(CONNECTIONS).expect("a small number");
    Limiter::start(database, LimiterOptions::limit(limit).latency(latency))
}
