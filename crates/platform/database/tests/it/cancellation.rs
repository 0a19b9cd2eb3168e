//! Invariant 4 for callers that leave: a future dropped at every await point leaves the share whole.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use berth_database::{Error, Outcome};
use berth_testkit::eventually;
use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, StreamTrait, TransactionTrait};

use crate::fixture::{TestPool, Wire, insert, number, statement, test_pool, test_pool_over};

/// Polls a future `times` times, each time after something could have happened, then drops it.
async fn poll_and_drop<F: Future>(future: F, times: usize) -> bool {
    let mut future = pin!(future);
    for _ in 0..times {
        if future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
        {
            return true;
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    false
}

/// Drops the work after one poll, after two, and so on, until it gets through.
async fn walk<F: Future>(fixture: &TestPool, name: &str, work: impl Fn() -> F) {
    let mut finished = 0;
    for times in 1..400 {
        finished += usize::from(poll_and_drop(work(), times).await);
        if times % 10 == 0 || finished > 0 {
            number(&fixture.session("after"), "SELECT 1")
                .await
                .unwrap_or_else(|error| panic!("{name} {times}: {error}"));
        }
        if finished == 3 {
            fixture.assert_whole().await;
            return;
        }
    }
    panic!("{name} never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_read_dropped_at_every_await_point() {
    for wire in [Wire::Plain, Wire::Tls] {
        let fixture = test_pool_over(wire, 1, |_| {}).await;
        walk(&fixture, "read", || async {
            number(&fixture.reader(), "SELECT 1").await
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_dropped_at_every_await_point() {
    for wire in [Wire::Plain, Wire::Tls] {
        let fixture = test_pool_over(wire, 1, |_| {}).await;
        walk(&fixture, "transaction", || async {
            let session = fixture.session("walk");
            insert(&session, 1).await?;
            let inner = session.begin().await?;
            insert(&inner, 2).await?;
            inner.rollback().await?;
            session.execute_unprepared("DELETE FROM notes").await?;
            session.end(Outcome::Commit).await
        })
        .await;
        assert_eq!(
            fixture.notes().await,
            0,
            "each transaction was stored whole or not at all"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_lease_dropped_at_every_await_point() {
    for wire in [Wire::Plain, Wire::Tls] {
        let fixture = test_pool_over(wire, 1, |settings| {
            settings.strategy = berth_database::Strategy::Fresh
        })
        .await;
        walk(&fixture, "fresh", || async {
            number(&fixture.reader(), "SELECT 1").await
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_dropped_half_way() {
    let fixture = test_pool(1).await;
    let session = fixture.reader();
    {
        let mut rows = session
            .stream_raw(statement("SELECT generate_series(1, 100000)", []))
            .await
            .unwrap();
        rows.try_next().await.unwrap().unwrap();
    }
    assert_eq!(
        number(&session, "SELECT 1").await.unwrap(),
        1,
        "a bare read lost nothing that matters"
    );
    let writing = fixture.session("writes");
    insert(&writing, 1).await.unwrap();
    {
        let mut rows = writing
            .stream_raw(statement("SELECT generate_series(1, 100000)", []))
            .await
            .unwrap();
        rows.try_next().await.unwrap().unwrap();
    }
    assert!(
        insert(&writing, 2).await.is_err(),
        "the transaction went with its connection"
    );
    assert!(writing.end(Outcome::Commit).await.is_err());
    assert_eq!(fixture.notes().await, 0);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_cut_by_the_callers_own_timeout_loses_the_transaction() {
    let fixture = test_pool(1).await;
    let session = fixture.session("cut");
    insert(&session, 1).await.unwrap();
    let slow = session.execute_unprepared("SELECT pg_sleep(10)");
    assert!(
        tokio::time::timeout(Duration::from_millis(50), slow)
            .await
            .is_err()
    );
    assert_eq!(
        fixture.database.status().slots.leased,
        0,
        "the slot is free though the session lives"
    );
    let error: Error = insert(&session, 2).await.unwrap_err().into();
    assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
    assert!(session.end(Outcome::Commit).await.is_err());
    fixture.assert_whole().await;
    assert_eq!(fixture.notes().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_callers_hang_up_during_a_slow_query_and_the_next_is_served() {
    for wire in [Wire::Plain, Wire::Tls] {
        let fixture = test_pool_over(wire, 5, |_| {}).await;
        let slow: Vec<_> = (0..10)
            .map(|_| {
                let session = fixture.reader();
                tokio::spawn(async move { number(&session, "SELECT 1 FROM pg_sleep(30)").await })
            })
            .collect();
        eventually(async || {
            fixture
                .server
                .count_backends("query LIKE '%pg_sleep(30)%' AND state = 'active'")
                .await
                == 5
        })
        .await;
        slow.iter().for_each(|task| task.abort());
        // Refused while the server has not noticed, which the pool waits out.
        number(&fixture.reader(), "SELECT 1").await.unwrap();
        eventually(async || {
            fixture
                .server
                .count_backends("query LIKE '%pg_sleep(30)%' AND state = 'active'")
                .await
                == 0
        })
        .await;
        fixture.assert_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_stops_working_at_the_deadline() {
    let fixture = test_pool(1).await;
    let options = berth_database::SessionOptions::new("deadline").deadline(Duration::from_millis(200));
    let session = fixture.database.session(options);
    let error: Error = session
        .execute_unprepared("SELECT pg_sleep(30)")
        .await
        .unwrap_err()
        .into();
    assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
    assert!(session.end(Outcome::Commit).await.is_err());
    eventually(async || fixture.server.count_backends("state = 'active'").await == 0).await;
    fixture.assert_whole().await;
}

#[test]
fn a_worker_runtime_that_ends_takes_no_connection_with_it() {
    let main = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let fixture = main.block_on(test_pool(1));
    for _ in 0..3 {
        let worker = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let session = fixture.session("worker");
        worker.block_on(async {
            insert(&session, 1).await.unwrap();
            session.rollback().await.unwrap();
            insert(&session, 1).await.unwrap();
        });
        drop(worker);
        drop(session);
    }
    main.block_on(async {
        fixture.assert_whole().await;
        assert_eq!(
            fixture.limiter.counts().admitted,
            1,
            "one connection served them all"
        );
    });
}
