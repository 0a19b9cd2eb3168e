//! What a start costs over a slow network, counted in round trips rather than in time.

use std::time::Duration;

use berth_testkit::{Cluster, Limiter, LimiterOptions, eventually};

use crate::lifecycle::ANY_PORT;
use crate::server::process;

/// The most round trips from the start of the process to the answer of the first request.
const MOST: u64 = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "counts are exact on a quiet machine only; `make verify` runs it"]
async fn a_start_takes_few_round_trips() {
    let database = Cluster::shared().await.database().await;
    let settings = berth_database::Settings::for_url(&database.url()).expect("the test kit gives URLs");
    berth_migrate::apply(migration::Migrator, &settings)
        .await
        .expect("the migrations apply");
    eventually(async || database.backends().await == 0).await;
    for secure in [false, true] {
        // Counts are exact where bytes take a while.
        let limiter = Limiter::start(
            &database,
            LimiterOptions::limit(15).latency(Duration::from_millis(100)),
        );
        let url = match secure {
            true => limiter.secure_url(),
            false => limiter.url(),
        };
        let set = [
            ANY_PORT,
            ("APP_ENV", "production"),
            ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef"),
            ("AUTH_MODE", "local"),
            ("SERVER_HOST", "127.0.0.1"),
            ("DATABASE_URL", &url),
        ];
        let mut process = process(&[], &set);
        let client = process.listening().await;
        client.get("/health/ready").await.ok();
        let counts = limiter.counts();
        assert_eq!(counts.startups, 1, "{counts:?}");
        let found = counts.round_trips;
        assert!(found <= MOST, "{found} round trips, with TLS: {secure}");
        process.signal("TERM").await;
        assert!(process.ended().await.0.success());
    }
}
