//! Notifications over one shared connection: invariant 1 with a listener, requests before it, and its return.

use std::time::Duration;

use berth_database::{Database, Notice, Outcome, SessionOptions, Settings, Strategy, Subscription};
use berth_testkit::{BackendSampler, Cluster, PgBouncer, PgBouncerOptions, PoolMode, eventually};
use futures_util::future::join_all;

use crate::fixture::{TestPool, Wire, insert, number, settings, test_pool, test_pool_over, test_pool_with};

const CHANNEL: &str = "notes";

/// What the subscriber is told next, within ten seconds.
async fn next(subscription: &mut Subscription) -> Option<Notice> {
    let next = tokio::time::timeout(Duration::from_secs(10), subscription.next());
    next.await.expect("the subscriber is told something")
}

/// Waits until notifications arrive.
async fn connected(subscription: &mut Subscription) {
    while next(subscription).await != Some(Notice::Resynchronise) {}
}

fn notification(payload: &str) -> Option<Notice> {
    Some(Notice::Notification(payload.into()))
}

async fn notify(database: &Database, payload: &str) {
    let session = database.session(SessionOptions::new("notify"));
    session.notify(CHANNEL, payload).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
}

/// Another instance on the same server, not through the limiter.
fn other_instance(pool: &TestPool) -> Database {
    Database::new(settings(&pool.server.url(), 2)).unwrap()
}

async fn listening(pool: &TestPool) -> bool {
    pool.server.count_backends("query LIKE 'LISTEN%'").await == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_arrives_in_every_instance_if_and_only_if_its_transaction_commits() {
    for wire in [Wire::Plain, Wire::Tls] {
        let pool = test_pool_over(wire, 3, |_| {}).await;
        let other = other_instance(&pool);
        let (mut here, mut there) = (pool.database.subscribe(CHANNEL), other.subscribe(CHANNEL));
        other.ready(Duration::from_secs(10)).await.unwrap();
        connected(&mut here).await;
        connected(&mut there).await;

        let session = pool.session("rolled back");
        insert(&session, 1).await.unwrap();
        session.notify(CHANNEL, "lost").await.unwrap();
        session.end(Outcome::Rollback).await.unwrap();
        let session = pool.session("committed");
        insert(&session, 1).await.unwrap();
        session.notify(CHANNEL, "kept").await.unwrap();
        session.end(Outcome::Commit).await.unwrap();

        assert_eq!(next(&mut here).await, notification("kept"));
        assert_eq!(next(&mut there).await, notification("kept"));
        other.close(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_is_open_while_there_are_subscribers_and_bears_the_instances_name() {
    let pool = test_pool(3).await;
    assert!(!listening(&pool).await);
    let mut first = pool.database.subscribe(CHANNEL);
    let mut second = pool.database.subscribe("other");
    connected(&mut first).await;
    connected(&mut second).await;
    assert_eq!(pool.database.status().slots.listening, 1, "one for all channels");
    assert!(listening(&pool).await);
    let named = "query LIKE 'LISTEN%' AND application_name LIKE 'pooled/%'";
    assert_eq!(pool.server.count_backends(named).await, 1);
    drop(first);
    connected_still(&pool, &mut second).await;
    drop(second);
    eventually(async || pool.database.status().slots.listening == 0 && !listening(&pool).await).await;
    pool.assert_whole().await;
}

async fn connected_still(pool: &TestPool, subscription: &mut Subscription) {
    let session = pool.session("notify");
    session.notify("other", "still").await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(next(subscription).await, notification("still"));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_listener_the_server_never_counts_more_than_the_share() {
    let pool = test_pool(3).await;
    let sampler = BackendSampler::start(&pool.server).await;
    let mut subscription = pool.database.subscribe(CHANNEL);
    connected(&mut subscription).await;
    for callers in [1, 2, 50, 1, 50] {
        let read = async || {
            number(&pool.reader(), "SELECT 1 FROM pg_sleep(0.002)")
                .await
                .unwrap()
        };
        join_all((0..callers).map(async |_| {
            for _ in 0..20 {
                read().await;
            }
        }))
        .await;
    }
    connected(&mut subscription).await;
    let counts = pool.limiter.counts();
    assert_eq!(counts.refused, 0, "{counts:?}");
    assert!(counts.peak <= 3, "{counts:?}");
    assert!(sampler.most() <= 3, "{} backends", sampler.most());
    drop(subscription);
    eventually(async || pool.database.status().slots.listening == 0).await;
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_would_wait_gets_the_listeners_slot_and_the_listener_comes_back() {
    let pool = test_pool(2).await;
    let mut subscription = pool.database.subscribe(CHANNEL);
    connected(&mut subscription).await;
    let (first, second) = (pool.session("first"), pool.session("second"));
    number(&first, "SELECT 1").await.unwrap();
    number(&second, "SELECT 1").await.expect("the listener's slot");
    assert_eq!(next(&mut subscription).await, Some(Notice::Unavailable));
    assert_eq!(pool.database.status().slots.leased, 2);
    first.end(Outcome::Rollback).await.unwrap();
    second.end(Outcome::Rollback).await.unwrap();
    assert_eq!(next(&mut subscription).await, Some(Notice::Resynchronise));
    notify(&pool.database, "back").await;
    assert_eq!(next(&mut subscription).await, notification("back"));
    drop(subscription);
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_backend_is_killed_is_back_within_seconds() {
    let pool = test_pool(3).await;
    let mut subscription = pool.database.subscribe(CHANNEL);
    connected(&mut subscription).await;
    assert!(pool.server.terminate_all().await >= 1);
    assert_eq!(next(&mut subscription).await, Some(Notice::Unavailable));
    assert_eq!(next(&mut subscription).await, Some(Notice::Resynchronise));
    notify(&pool.database, "back").await;
    assert_eq!(next(&mut subscription).await, notification("back"));
    drop(subscription);
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_behind_a_session_pooler_outlives_the_poolers_restart() {
    let cluster = Cluster::shared().await;
    let (server, options) = (
        cluster.database().await,
        PgBouncerOptions::default().max_client_conn(3),
    );
    let pooler = PgBouncer::start(cluster, options).await;
    let settings = Settings {
        pooler: berth_database::Pooler::Session,
        ..settings(&pooler.url(&server), 3)
    };
    let database = Database::new(settings).unwrap();
    let mut subscription = database.subscribe(CHANNEL);
    connected(&mut subscription).await;
    notify(&database, "before").await;
    assert_eq!(next(&mut subscription).await, notification("before"));
    pooler.restart().await;
    assert_eq!(next(&mut subscription).await, Some(Notice::Unavailable));
    connected(&mut subscription).await;
    notify(&database, "after").await;
    assert_eq!(next(&mut subscription).await, notification("after"));
    drop(subscription);
    let sessions: Vec<_> = (0..3)
        .map(|_| database.session(SessionOptions::new("whole")))
        .collect();
    for session in &sessions {
        number(session, "SELECT 1").await.expect("the whole share");
    }
    drop(sessions);
    database.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_connection_can_listen_subscribers_poll_and_hear_their_own_process() {
    let cluster = Cluster::shared().await;
    let server = cluster.database().await;
    let options = PgBouncerOptions::default().pool_mode(PoolMode::Transaction);
    let pooler = PgBouncer::start(cluster, options).await;
    let transaction = Settings {
        pooler: berth_database::Pooler::Transaction,
        ..settings(&pooler.url(&server), 3)
    };
    let fresh = Settings {
        strategy: Strategy::Fresh,
        ..settings(&server.url(), 3)
    };
    for settings in [transaction, fresh, settings(&server.url(), 1)] {
        let database = Database::new(settings).unwrap();
        database.ready(Duration::from_secs(10)).await.unwrap();
        let mut subscription = database.subscribe(CHANNEL);
        assert_eq!(next(&mut subscription).await, Some(Notice::Unavailable));
        notify(&database, "mine").await;
        assert_eq!(next(&mut subscription).await, notification("mine"));
        assert_eq!(database.status().slots.listening, 0);
        database.close(Duration::from_secs(5)).await.unwrap();
        assert_eq!(next(&mut subscription).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_lags_learns_that_it_missed_something() {
    let pool = test_pool(3).await;
    let mut subscription = pool.database.subscribe(CHANNEL);
    connected(&mut subscription).await;
    let mut prompt = pool.database.subscribe(CHANNEL);
    let session = pool.session("notify");
    for id in 0..300 {
        session.notify(CHANNEL, &id.to_string()).await.unwrap();
    }
    session.end(Outcome::Commit).await.unwrap();
    while next(&mut prompt).await != notification("299") {}
    assert_eq!(next(&mut subscription).await, Some(Notice::Resynchronise));
    assert_eq!(
        next(&mut subscription).await,
        notification("44"),
        "the oldest that was kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_pool_ends_the_subscriptions_and_the_connection() {
    let pool = test_pool_with(3, |_| {}).await;
    let mut subscription = pool.database.subscribe(CHANNEL);
    connected(&mut subscription).await;
    pool.database.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(next(&mut subscription).await, None);
    assert_eq!(next(&mut pool.database.subscribe(CHANNEL)).await, None);
    eventually(async || pool.limiter.counts().concurrent == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_a_notification_is_delivered_in_the_process_after_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/notes.sqlite?mode=rwc", folder.path().display());
    let database = Database::new(Settings::for_url(&url).unwrap()).unwrap();
    let mut subscription = database.subscribe(CHANNEL);
    assert_eq!(next(&mut subscription).await, Some(Notice::Resynchronise));
    let session = database.session(SessionOptions::new("rolled back"));
    number(&session, "SELECT 1").await.unwrap();
    session.notify(CHANNEL, "lost").await.unwrap();
    session.end(Outcome::Rollback).await.unwrap();
    notify(&database, "kept").await;
    assert_eq!(next(&mut subscription).await, notification("kept"));
    database.close(Duration::from_secs(5)).await.unwrap();
}
