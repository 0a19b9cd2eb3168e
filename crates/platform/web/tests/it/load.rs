//! Every route while everything else is saturated, compared with what the limiter counts.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::site::{LIMIT, SHARE, Site};

const ROUTES: [&str; 6] = [
    "/health",
    "/health/live",
    "/health/ready",
    "/health/db-pool",
    "/debug/db-pool?history=true",
    "/metrics",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_saturation_every_route_answers_at_once() {
    let site = Site::start().await;
    let _load = site.saturate(40).await;
    // A request that queued would wait for some forty others: four seconds.
    for path in ROUTES.repeat(5) {
        let asked = Instant::now();
        let answer = site.get(path).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{path} took {:?}",
            asked.elapsed()
        );
    }
    let told = site.json("/health/db-pool").await;
    assert!(
        told["waiting"].as_u64() > Some(20),
        "no caller was waiting any more: {told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_saturation_every_snapshot_adds_up_and_agrees_with_the_limiter() {
    let site = Site::start().await;
    let _load = site.saturate(30).await;
    for _ in 0..200 {
        let told = site.json("/debug/db-pool").await;
        let (pool, holders) = (&told["pool"], told["holders"].as_array().unwrap());
        let sum: u64 = [
            "checked_in",
            "checked_out",
            "connecting",
            "listening",
            "closing",
            "cooling_down",
        ]
        .iter()
        .map(|key| number(pool, key))
        .sum();
        assert!(sum <= SHARE, "{pool}");
        assert_eq!(number(pool, "share"), SHARE);
        // The pool's own count of the instances has no lease.
        assert!(holders.len() as u64 <= number(pool, "checked_out"), "{told}");
        assert!(number(pool, "overflow") <= 2);
        let counts = site.limiter.counts();
        assert!(counts.peak <= LIMIT && counts.refused == 0, "{counts:?}");
    }
    // The limiter's count and ours are taken at two moments; at rest they are the same one.
    berth_testkit::eventually(async || {
        let pool = site.json("/health/db-pool").await;
        let open = number(&pool, "checked_in") + number(&pool, "checked_out");
        open == SHARE && site.limiter.counts().concurrent as u64 == open
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_callers_are_reported_with_a_remedy() {
    let site = Site::start().await;
    assert_eq!(site.json("/health/db-pool").await["warning"], Value::Null);
    let _load = site.saturate(20).await;
    // Waits of milliseconds are no warning; until then the high use is.
    let mut warning = Value::Null;
    berth_testkit::eventually(async || {
        warning = site.json("/health/db-pool").await["warning"].take();
        warning["cause"] == "waiting"
    })
    .await;
    assert_eq!(warning["see"], "docs/troubleshooting.md#waiting");
    assert!(
        warning["seen"]
            .as_str()
            .unwrap()
            .contains("wait for a connection"),
        "{warning}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saturation_alone_leaves_it_ready() {
    let site = Site::start().await;
    let _load = site.saturate(30).await;
    assert_eq!(site.json("/health/ready").await["status"], "ready");
    let health = site.json("/health").await;
    assert_eq!(
        (&health["status"], &health["database"]["status"]),
        (&"ok".into(), &"saturated".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_minutes_are_shown() {
    let site = Site::start().await;
    let load = site.saturate(10).await;
    berth_testkit::eventually(async || {
        site.json("/debug/db-pool?history=true").await["history"]
            .as_array()
            .unwrap()
            .len()
            > 5
    })
    .await;
    drop(load);
    let history = site.json("/debug/db-pool?history=true").await["history"].take();
    let busiest = history
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| number(&sample["slots"], "leased"))
        .max();
    assert_eq!(busiest, Some(SHARE));
    assert_eq!(site.json("/debug/db-pool").await["history"], Value::Null);
}

fn number(told: &Value, key: &str) -> u64 {
    told[key].as_u64().unwrap_or_else(|| panic!("no {key} in {told}"))
}
