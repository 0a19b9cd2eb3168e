//! Whether requests should be sent, by evidence.

use std::time::Duration;

use berth_testkit::{Cluster, Cut, eventually};
use reqwest::StatusCode;

use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_makes_the_process_unready_and_leaves_it_live() {
    let mut site = Site::start_with(|settings| settings.server.drain_delay = Duration::from_secs(20)).await;
    assert_eq!(site.get("/health/ready").await.status(), StatusCode::OK);
    site.ask_to_stop();
    eventually(async || site.get("/health/ready").await.status() == StatusCode::SERVICE_UNAVAILABLE).await;
    let told: serde_json::Value = site.get("/health/ready").await.json().await.unwrap();
    assert_eq!(told["reason"], "shutting_down");
    // Clients that have not noticed yet are still served.
    assert_eq!(site.get("/health/live").await.status(), StatusCode::OK);
    assert_eq!(site.get("/read").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_makes_the_process_unready_without_showing_the_database_host() {
    let site =
        Site::start_with(|settings| settings.database.unreachable_grace = Duration::from_millis(200)).await;
    site.limiter.stop_listening().await;
    site.limiter.cut_all(Cut::Reset);
    // Without a statement no connection would notice the outage.
    let _ = site.get("/read").await;
    eventually(async || site.get("/health/ready").await.status() == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(site.get("/health/live").await.status(), StatusCode::OK);
    let health = site.get("/health").await;
    assert_eq!(health.status(), StatusCode::SERVICE_UNAVAILABLE);
    let bodies = [
        health.text().await.unwrap(),
        site.text("/health/ready").await,
        site.text("/health/db-pool").await,
    ];
    for body in bodies {
        assert!(body.contains("unreachable"), "{body}");
        for hidden in ["127.0.0.1", "localhost", site.store().name(), "os error"] {
            assert!(!body.contains(hidden), "{hidden} in {body}");
        }
    }
    site.limiter.resume_listening().await;
    eventually(async || site.get("/health/ready").await.status() == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_migrations_make_it_unready_until_they_are_applied() {
    let empty = Cluster::shared().await.database().await;
    let site = Site::on(empty, |_| {}).await;
    let told: serde_json::Value = site.get("/health/ready").await.json().await.unwrap();
    assert_eq!(told["reason"], "migrations_pending");
    crate::service::migrate(site.store().url()).await;
    berth_testkit::eventually_within(Duration::from_secs(30), async || {
        site.get("/health/ready").await.status() == StatusCode::OK
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_migrations_do_not_matter_where_they_are_not_required() {
    let empty = Cluster::shared().await.database().await;
    let site = Site::on(empty, |settings| settings.health.require_migrations = false).await;
    assert_eq!(site.get("/health/ready").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_is_shown_in_the_terms_of_sqlalchemy() {
    let site = Site::start().await;
    let health = site.json("/health").await;
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health["database"]["pool"]["size"], 1);
    let pool = site.json("/health/db-pool").await;
    for (key, value) in [("strategy", "pooled"), ("pooler_mode", "session")] {
        assert_eq!(pool[key], value);
    }
    for (key, value) in [
        ("size", 1),
        ("max_connections", 3),
        ("limit", 5),
        ("reserve", 2),
        ("invalid", 0),
        ("overflow", 0),
    ] {
        assert_eq!(pool[key], value, "{key}");
    }
    assert!(pool["totals"]["opened"].as_u64() >= Some(1));
    assert!(pool["wait_ms"]["p99"].is_number() && pool["breaker"].is_null());
}
