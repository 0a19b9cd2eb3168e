//! Invariant 1 at the server: callers that leave in the middle of a statement do not multiply backends.

use std::time::{Duration, Instant};

use berth_database::{Database, Outcome, Session, SessionOptions};
use berth_testkit::{BackendSampler, Cluster, Limiter, LimiterOptions, TestDatabase, eventually};
use futures_util::StreamExt;
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, StreamTrait};

use crate::fixture::{number, settings, statement};

const SHARE: u32 = 5;

/// How a caller keeps its connection busy until it leaves.
#[derive(Clone, Copy, Debug)]
enum Busy {
    Read,
    Write,
    Stream,
    Lock,
}

async fn busy(session: &Session, how: Busy) {
    let _ = match how {
        Busy::Read => number(session, "SELECT 1 FROM pg_sleep(5)").await.map(drop),
        Busy::Write => session
            .execute_unprepared("INSERT INTO left_behind SELECT 1 FROM pg_sleep(5)")
            .await
            .map(drop)
            .map_err(Into::into),
        Busy::Stream => {
            let rows = session
                .stream_raw(statement("SELECT pg_sleep(5)", []))
                .await
                .unwrap();
            rows.for_each(async |_| {}).await;
            Ok(())
        }
        Busy::Lock => session
            .execute_unprepared("LOCK TABLE left_behind IN ACCESS EXCLUSIVE MODE")
            .await
            .map(drop)
            .map_err(Into::into),
    };
}

async fn leave_after(database: &Database, how: Busy, stay: Duration) {
    let options = SessionOptions::new("leaves").autocommit_reads();
    let session = database.session(options);
    let _ = tokio::time::timeout(stay, busy(&session, how)).await;
    drop(session);
}

async fn table(server: &TestDatabase) {
    let database = Database::new(settings(&server.url(), 1)).unwrap();
    let session = database.session(SessionOptions::new("table"));
    session
        .execute_unprepared("CREATE TABLE left_behind (id int)")
        .await
        .unwrap();
    session.end(Outcome::Commit).await.unwrap();
    database.close(Duration::from_secs(5)).await.unwrap();
    eventually(async || server.count_backends("true").await == 0).await;
}

async fn never_more_than_the_share(url: &str, server: &TestDatabase) {
    let database = Database::new(settings(url, SHARE)).unwrap();
    let sampler = BackendSampler::start(server).await;
    let locker = Database::new(settings(&server.url(), 1)).unwrap();
    let lock = locker.session(SessionOptions::new("locks"));
    lock.execute_unprepared("LOCK TABLE left_behind IN ACCESS SHARE MODE")
        .await
        .unwrap();
    for how in [Busy::Read, Busy::Write, Busy::Stream, Busy::Lock] {
        let clients = (0..40).map(async |client| {
            for round in 0..8 {
                let stay = Duration::from_millis(30 + (client * 7 + round * 13) % 50);
                leave_after(&database, how, stay).await;
            }
        });
        join_all(clients).await;
        let most = sampler.most();
        // The locking session has one more.
        assert!(most <= i64::from(SHARE) + 1, "{how:?}: {most} backends");
    }
    drop(lock);
    locker.close(Duration::from_secs(5)).await.unwrap();
    database.close(Duration::from_secs(5)).await.unwrap();
    eventually(async || server.count_backends("true").await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_leave_do_not_multiply_backends() {
    let server = Cluster::shared().await.database().await;
    table(&server).await;
    never_more_than_the_share(&server.url(), &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_leave_do_not_multiply_backends_behind_a_limiter_with_tls() {
    let server = Cluster::shared().await.database().await;
    table(&server).await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(15));
    never_more_than_the_share(&limiter.secure_url(), &server).await;
    assert!(limiter.counts().peak <= 5, "{:?}", limiter.counts());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_callers_that_leave_delay_the_next_by_less_than_a_second() {
    let server = Cluster::shared().await.database().await;
    table(&server).await;
    let database = Database::new(settings(&server.url(), SHARE)).unwrap();
    let sampler = BackendSampler::start(&server).await;
    for how in [Busy::Read, Busy::Write] {
        let leave = || leave_after(&database, how, Duration::from_millis(200));
        join_all((0..10).map(|_| leave())).await;
        let begun = Instant::now();
        let next = database.session(SessionOptions::new("next").deadline(Duration::from_secs(5)));
        number(&next, "SELECT 1").await.unwrap();
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(1), "{how:?}: {waited:?}");
        next.end(Outcome::Commit).await.unwrap();
    }
    assert!(sampler.most() <= i64::from(SHARE), "{} backends", sampler.most());
    database.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_without_a_client_is_ended_over_an_idle_connection() {
    let server = Cluster::shared().await.database().await;
    let database = Database::new(settings(&server.url(), 2)).unwrap();
    let idle = database.session(SessionOptions::new("idle"));
    number(&idle, "SELECT 1").await.unwrap();
    let leaves = database.session(SessionOptions::new("leaves"));
    leaves
        .execute_unprepared("SET client_connection_check_interval = 0")
        .await
        .unwrap();
    let sleeping = tokio::time::timeout(
        Duration::from_millis(100),
        number(&leaves, "SELECT 1 FROM pg_sleep(60)"),
    );
    assert!(sleeping.await.is_err());
    idle.end(Outcome::Commit).await.unwrap();
    drop(leaves);
    eventually(async || server.count_backends("query LIKE '%pg_sleep%'").await == 0).await;
    eventually(async || database.status().slots.closing == 0).await;
    database.close(Duration::from_secs(5)).await.unwrap();
}
