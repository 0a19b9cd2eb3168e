//! An authenticated GET by id through whole services, beside `pgbench` as the database's own ceiling.

use std::time::Duration;

use berth_testkit::{Cluster, Limiter, LimiterOptions, TestDatabase};

use super::service::{Client, Kind, Round, Service, Setting, Writes, log_in, processor_time};
use super::stock;
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
    let berth = Service::start(Kind::Berth, limiter(database, latency), &FIVE).await;
    log_in(database).await;
    let path = Client::new(berth.port).await.post().await;
    let id = path.rsplit('/').next().unwrap_or_default();
    let stock = Service::start(Kind::Stock, limiter(database, latency), &[]).await;
    let with_one = [(stock::WORKERS, "1")];
    let stock_with_one = Service::start(Kind::Stock, limiter(database, latency), &with_one).await;
    let sql = format!(
        "SELECT id, owner_id, title, is_public, version, created_at, updated_at FROM conversations WHERE id = '{id}';\n"
    );

    let mut floor = Vec::new();
    let (mut ours, mut theirs, mut with_one) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let limiter = limiter(database, latency);
        floor.push(reads::pgbench(database, limiter.port(), ROUND, &sql).await);
        ours.push(berth.round(&path, CALLERS, ROUND, Writes::None).await);
        theirs.push(stock.round(&path, CALLERS, ROUND, Writes::None).await);
        with_one.push(stock_with_one.round(&path, CALLERS, ROUND, Writes::None).await);
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
        rate("actix + SeaORM, one worker", of(&with_one)),
        rate("Berth", of(&ours)),
    ];
    rates(&title, &all, "pgbench");
    for (name, rounds) in [
        ("actix + SeaORM", &theirs),
        ("with one worker", &with_one),
        ("Berth", &ours),
    ] {
        println!(
            "  {name:<28} {:>9.0} µs of processor time a request",
            processor_time(rounds)
        );
    }
}

fn limiter(database: &TestDatabase, latency: Duration) -> Limiter {
    let limit = usize::try_from(CONNECTIONS).expect("a small number");
    Limiter::start(database, LimiterOptions::limit(limit).latency(latency))
}
