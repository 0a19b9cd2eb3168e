//! One-row lookups: 32 callers, five connections, against `pgbench` as the database's own ceiling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use berth_testkit::{Cluster, Limiter, LimiterOptions, TestDatabase, postgres_program};

use crate::clients::{Berth, CONNECTIONS, Client, Deadpool, ROWS, SeaOrm, SqlxPool};
use crate::report::{Rate, rates};

pub(crate) const CALLERS: usize = 32;
const ROUNDS: usize = 4;
const ROUND: Duration = Duration::from_secs(3);

const CLIENTS: [&str; 5] = ["pgbench", "deadpool-postgres", "sqlx pool", "SeaORM", "Berth"];

pub(crate) async fn run(latency: Duration, wanted: &[String]) {
    let server = prepared().await;
    let named = |name: &str| wanted.iter().any(|word| word == name);
    let all = !CLIENTS.into_iter().any(named);
    let chosen = CLIENTS.into_iter().filter(|name| all || named(name));
    let mut results: Vec<_> = chosen
        .map(|name| Rate {
            name,
            rounds: Vec::new(),
        })
        .collect();
    for _ in 0..ROUNDS {
        for result in &mut results {
            // A limiter each, so that idle connections of one do not take the slots of another.
            let limiter = limiter(&server, latency);
            let url = limiter.url();
            result.rounds.push(match result.name {
                "pgbench" => pgbench(&server, limiter.port(), ROUND, &lookup()).await,
                "deadpool-postgres" => rate(Deadpool::new(&url)).await,
                "sqlx pool" => rate(SqlxPool::new(&url)).await,
                "SeaORM" => rate(SeaOrm::new(&url)).await,
                _ => rate(Berth::new(&url, |_| {})).await,
            });
        }
    }
    let title = format!(
        "reads: {CALLERS} callers, {CONNECTIONS} connections, {} ms each way",
        latency.as_millis()
    );
    rates(&title, &results, "pgbench");
}

pub(crate) async fn prepared() -> TestDatabase {
    let server = Cluster::shared().await.database().await;
    let mut admin = server.admin().await;
    let sql = format!(
        "CREATE TABLE rows (id int PRIMARY KEY, body text NOT NULL);
         INSERT INTO rows SELECT n, 'row ' || n FROM generate_series(1, {ROWS}) AS n;
         GRANT ALL ON rows TO \"{}\"",
        server.role()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut admin)
        .await
        .expect("rows are made");
    server
}

fn limiter(server: &TestDatabase, latency: Duration) -> Limiter {
    let limit = usize::try_from(CONNECTIONS).expect("a small number");
    Limiter::start(server, LimiterOptions::limit(limit).latency(latency))
}

pub(crate) async fn rate<C: Client>(client: C) -> f64 {
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    // Connections and prepared statements are made before the clock starts.
    futures_util::future::join_all((0..64).map(|id| client.find(id % ROWS + 1))).await;
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (client, done, stop) = (client.clone(), done.clone(), stop.clone());
            tokio::spawn(async move {
                let mut id = i32::try_from(caller).expect("a small number");
                while !stop.load(Ordering::Relaxed) {
                    id = (id * 31 + 7) % ROWS;
                    client.find(id + 1).await.expect("a lookup works");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let begun = Instant::now();
    tokio::time::sleep(ROUND).await;
    let rate = done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no caller panics");
    }
    rate
}

/// The lookup of a random row, for `pgbench`.
fn lookup() -> String {
    format!("\\set id random(1, {ROWS})\nSELECT id, body FROM rows WHERE id = :id;\n")
}

/// `pgbench` with as many clients as there are connections: each sends as soon as it has its answer.
pub(crate) async fn pgbench(server: &TestDatabase, port: u16, round: Duration, sql: &str) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("lookup.sql");
    std::fs::write(&script, sql).expect("a script");
    let mut command = tokio::process::Command::new(postgres_program("pgbench"));
    command.args([
        "-n",
        "-M",
        "prepared",
        "-c",
        &CONNECTIONS.to_string(),
        "-j",
        "2",
        "-T",
    ]);
    command.arg(round.as_secs().to_string()).arg("-f").arg(&script);
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-U",
        server.role(),
        server.name(),
    ]);
    command
        .env("PGPASSWORD", server.password())
        .env("PGSSLMODE", "disable");
    let output = command.output().await.expect("pgbench runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.starts_with("tps"))
        .unwrap_or_else(|| {
            panic!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr));
        });
    line.split_whitespace()
        .nth(2)
        .and_then(|word| word.parse().ok())
        .expect("a rate")
}
