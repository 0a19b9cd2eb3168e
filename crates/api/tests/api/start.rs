//! What a start costs over a slow network, counted in round trips.

use std::time::{Duration, Instant};

use berth_testkit::{
    Cluster, Limiter, LimiterOptions, PgBouncer, PgBouncerOptions, PoolMode, TestDatabase, eventually,
};

use crate::lifecycle::ANY_PORT;
use crate::server::process;

/// The most round trips from the start of the process to the answer of the first request.
const MOST: f64 = 15.0;
/// The latency each way of the slow network: beside a round trip, what a busy machine adds is small.
const LATENCY: Duration = Duration::from_millis(150);

/// Counts by time: what a start takes longer over a slow network, in round trips of that network. Round trips of two
/// connections at the same time so count once, and waiting for anything else counts too.
#[allow(
    clippy::print_stdout,
    reason = "the figures are worth knowing where they are good"
)]
async fn assert_few_round_trips(what: &str, limiter: &Limiter, connections: u64) {
    for (url, with) in [(limiter.url(), "without TLS"), (limiter.secure_url(), "with TLS")] {
        limiter.set_latency(Duration::ZERO);
        let usual = start(&url).await;
        limiter.reset_counts();
        limiter.set_latency(LATENCY);
        let slow = start(&url).await;
        let found = slow.saturating_sub(usual).as_secs_f64() / (2 * LATENCY).as_secs_f64();
        println!("{what}, {with}: {found:.1} round trips");
        assert!(found <= MOST, "{found:.1} round trips {what}, {with}");
        let counts = limiter.counts();
        assert_eq!(counts.startups, connections, "{counts:?}");
    }
}

/// Starts the service, returns the time from its first attempt to connect until it is ready, and stops it.
async fn start(url: &str) -> Duration {
    let set = [
        ANY_PORT,
        ("APP_ENV", "production"),
        ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef"),
        ("AUTH_MODE", "local"),
        // Workers open connections of their own soon after.
        ("APP__JOBS__WORKERS", "0"),
        ("SERVER_HOST", "127.0.0.1"),
        ("DATABASE_URL", url),
    ];
    let mut process = process(&[], &set);
    process.logs("connecting to the database").await;
    let begun = Instant::now();
    let client = process.listening().await;
    client.get("/health/ready").await.ok();
    let took = begun.elapsed();
    process.signal("TERM").await;
    assert!(process.ended().await.0.success());
    took
}

async fn migrated() -> TestDatabase {
    let database = Cluster::shared().await.database().await;
    let settings = berth_database::Settings::for_url(&database.url()).expect("the test kit gives URLs");
    berth_migrate::apply(migration::Migrator, &settings)
        .await
        .expect("the migrations apply");
    eventually(async || database.backends().await == 0).await;
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "times are steady on a quiet machine only; `make verify` runs it"]
async fn a_start_takes_few_round_trips() {
    let database = migrated().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(15));
    assert_few_round_trips("without a pooler", &limiter, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "times are steady on a quiet machine only; `make verify` runs it"]
async fn a_start_behind_a_pooler_of_unknown_mode_takes_few_round_trips() {
    let database = migrated().await;
    for mode in [PoolMode::Session, PoolMode::Transaction] {
        let options = PgBouncerOptions::default().pool_mode(mode);
        let pgbouncer = PgBouncer::start(Cluster::shared().await, options).await;
        let limiter = Limiter::before_pgbouncer(&pgbouncer, &database, LimiterOptions::limit(15));
        assert_few_round_trips(&format!("in {mode:?} mode"), &limiter, 2).await;
    }
}
