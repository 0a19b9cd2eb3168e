//! What the log says before users do.

use std::time::Duration;

use berth_testkit::eventually;
use reqwest::Method;
use serde_json::Value;

use crate::site::Site;
use berth_web::testing::log;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_lease_is_reported_and_its_release_too() {
    log::record();
    let site =
        Site::start_with(|settings| settings.monitor.leak_detection_threshold = Duration::from_millis(400))
            .await;
    let leaking = tokio::spawn(
        site.request(Method::POST, "/leak")
            .header("x-request-id", "the-leak")
            .send(),
    );
    eventually(async || holder(&site.json("/debug/db-pool").await).is_some()).await;
    let held = holder(&site.json("/debug/db-pool").await).unwrap();
    assert_eq!(
        (&held["label"], &held["state"]),
        (&"POST /leak".into(), &"in_transaction".into())
    );
    assert_eq!(held["statement"], "SELECT 'leaked'");
    assert!(held["backend_pid"].as_i64() > Some(0), "{held}");
    assert!(
        log::containing(&["the-leak"]).is_empty(),
        "it was named before its time: {held}"
    );

    eventually(async || !log::containing(&["held for long", "POST /leak", "the-leak", "#leaks"]).is_empty())
        .await;
    let held = holder(&site.json("/debug/db-pool").await).unwrap();
    assert!(
        held["age_ms"].as_u64() >= Some(400) && held["age_ms"].as_u64() < Some(5_000),
        "{held}"
    );

    leaking.abort();
    eventually(async || !log::containing(&["released after a long lease", "the-leak"]).is_empty()).await;
    eventually(async || site.json("/health/db-pool").await["checked_out"] == 0).await;
    assert_eq!(
        log::containing(&["held for long", "the-leak"]).len(),
        1,
        "it was named more than once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_is_idle_in_a_transaction_is_reported_once_with_the_count() {
    log::record();
    let site = Site::start().await;
    for _ in 0..4 {
        let answer = site.request(Method::POST, "/dawdle").send().await.unwrap();
        assert!(answer.status().is_success());
    }
    eventually(async || {
        !log::containing(&["idle in a transaction", "POST /dawdle", "session.commit()"]).is_empty()
    })
    .await;
    assert_eq!(
        site.json("/health/db-pool").await["totals"]["idle_in_transaction"],
        4
    );
    assert_eq!(log::containing(&["POST /dawdle"]).len(), 1, "one a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_request_is_named_by_its_route() {
    log::record();
    let site = Site::start_with(|settings| settings.monitor.slow_request = Duration::from_millis(200)).await;
    assert!(site.get("/slow").await.status().is_success());
    assert_eq!(
        log::containing(&[
            "GET /slow took",
            "waited 0.0 s",
            "statements: 1,",
            "#slow-requests"
        ])
        .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_the_queue_behind_them_are_reported() {
    log::record();
    // The limit is set too high: the limiter refuses, and the service reports it.
    let site = Site::start_with(|settings| {
        settings.database.limit = 42;
        settings.database.max_overflow = 37;
    })
    .await;
    let others = connections(&site, 3).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..12 {
        clients.spawn(site.request(Method::GET, "/slow").send());
    }
    eventually(async || {
        !log::containing(&["connection attempts were refused", "#too-many-connections"]).is_empty()
    })
    .await;
    eventually(async || !log::containing(&["callers wait for a connection", "#waiting"]).is_empty()).await;
    let answers = clients.join_all().await;
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap().status().is_success()),
        "a refusal became an error"
    );
    drop(others);
}

/// Clients that are none of ours, each in a place of the limiter's.
#[expect(
    clippy::disallowed_methods,
    reason = "they act as clients that are not counted"
)]
async fn connections(site: &Site, count: usize) -> Vec<sqlx::PgConnection> {
    use sqlx::Connection;
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(
            sqlx::PgConnection::connect(&site.limiter.url())
                .await
                .expect("a place is free"),
        );
    }
    open
}

fn holder(told: &Value) -> Option<Value> {
    told["holders"]
        .as_array()?
        .iter()
        .find(|holder| holder["request_id"] == "the-leak")
        .cloned()
}
