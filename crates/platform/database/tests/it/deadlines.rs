//! A deadline is a clock: it ends what a session holds, whatever the session does at that moment.

use std::time::{Duration, Instant};

use berth_database::{Error, Outcome, Session, SessionOptions};
use berth_testkit::eventually;
use futures_util::{StreamExt, TryStreamExt};
use sea_orm::{StreamTrait, TransactionTrait};
use tokio::runtime;

use crate::fixture::{TestPool, insert, number, statement, test_pool};

const DEADLINE: Duration = Duration::from_millis(600);
/// More rows than are read ahead, so that the stream waits for its reader.
const MANY: &str = "SELECT n, repeat('x', 1000) FROM generate_series(1, 200000) n";

fn session(pool: &TestPool, change: impl FnOnce(SessionOptions) -> SessionOptions) -> Session {
    let options = SessionOptions::new("deadline").deadline(DEADLINE);
    pool.database.session(change(options))
}

/// Waits until the slot is free, and checks that it was not before the deadline.
async fn freed_at_the_deadline(pool: &TestPool, begun: Instant) {
    assert_eq!(pool.database.status().slots.leased, 1);
    eventually(async || pool.database.status().slots.leased == 0).await;
    let held = begun.elapsed();
    assert!(held >= DEADLINE, "the slot was free after {held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_reader_ends_at_its_sessions_deadline() {
    let pool = test_pool(1).await;
    for in_transaction in [false, true] {
        let begun = Instant::now();
        let session = session(&pool, SessionOptions::autocommit_reads);
        if in_transaction {
            insert(&session, 1).await.unwrap();
        }
        let mut rows = session.stream_raw(statement(MANY, [])).await.unwrap();
        rows.next().await.unwrap().unwrap();
        // From here on nothing polls it.
        freed_at_the_deadline(&pool, begun).await;
        // Others are served while the stream is still open.
        assert_eq!(pool.notes().await, 0);
        let error: Error = rows.try_collect::<Vec<_>>().await.unwrap_err().into();
        assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
        let error = number(&session, "SELECT 1").await.unwrap_err();
        assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
    }
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_never_polled_holds_nothing() {
    let pool = test_pool(1).await;
    let session = session(&pool, SessionOptions::autocommit_reads);
    let rows = session.stream_raw(statement(MANY, [])).await.unwrap();
    assert_eq!(pool.database.status().slots.leased, 0);
    tokio::time::sleep(DEADLINE).await;
    let error: Error = rows.try_collect::<Vec<_>>().await.unwrap_err().into();
    assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_something_else_loses_its_slot_at_the_deadline_and_keeps_the_connection() {
    let pool = test_pool(1).await;
    let opened = pool.database.status().counters.opened;
    for nested in [false, true] {
        let begun = Instant::now();
        let session = session(&pool, |options| options);
        insert(&session, 1).await.unwrap();
        let inner = match nested {
            true => Some(session.begin().await.unwrap()),
            false => None,
        };
        // The handler awaits something that is not the database.
        freed_at_the_deadline(&pool, begun).await;
        assert_eq!(pool.notes().await, 0, "rolled back");
        let error: Error = match &inner {
            Some(inner) => insert(inner, 2).await.unwrap_err().into(),
            None => insert(&session, 2).await.unwrap_err().into(),
        };
        assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
        drop(inner);
        let error = session.end(Outcome::Commit).await.unwrap_err();
        assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
    }
    assert_eq!(pool.notes().await, 0);
    assert_eq!(
        pool.database.status().counters.opened,
        opened,
        "no connection was lost"
    );
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_before_begin_is_sent_releases_the_connection() {
    let pool = test_pool(1).await;
    let opened = pool.database.status().counters.opened;
    let held = pool.session("holds");
    insert(&held, 1).await.unwrap();
    let late = session(&pool, |options| options);
    let begun = Instant::now();
    std::thread::scope(|threads| {
        let (pool, late) = (&pool, &late);
        let own = runtime::Handle::current();
        // A thread that is busy between the grant of the lease and the next look at it.
        let waits = threads.spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let writing = insert(late, 2);
                let blocking = async {
                    eventually(async || pool.database.status().waiting == 1).await;
                    own.spawn(async move { held.end(Outcome::Rollback).await });
                    while pool.database.status().waiting == 1 {
                        std::thread::yield_now();
                    }
                    assert!(begun.elapsed() < DEADLINE, "granted in time");
                    std::thread::sleep(DEADLINE);
                };
                tokio::join!(writing, blocking).0
            })
        });
        let error: Error = waits.join().unwrap().unwrap_err().into();
        assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
    });
    // The session lives on, and holds nothing.
    eventually(async || pool.database.status().slots.leased == 0).await;
    assert_eq!(pool.notes().await, 0);
    assert_eq!(
        pool.database.status().counters.opened,
        opened,
        "no connection was lost"
    );
    drop(late);
    pool.assert_whole().await;
}
