//! Invariants 1 and 3: never more than the share, and every caller is answered.

use std::time::Duration;

use berth_database::{Error, Instances, Outcome, SessionOptions, Strategy};
use futures_util::future::join_all;

use crate::fixture::{TestPool, Wire, number, test_pool, test_pool_over, test_pool_with};

async fn load(fixture: &TestPool, requests: usize, callers: usize) {
    let caller = async || {
        for _ in 0..requests / callers {
            assert_eq!(
                number(&fixture.reader(), "SELECT 1")
                    .await
                    .expect("no request fails"),
                1
            );
        }
    };
    join_all((0..callers).map(|_| caller())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_share_five_connections_without_an_error() {
    let fixture = test_pool(5).await;
    load(&fixture, 1000, 200).await;
    let counts = fixture.limiter.counts();
    assert_eq!(counts.refused, 0, "{counts:?}");
    assert!(counts.peak <= 5, "{counts:?}");
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_one_serves_all_callers_in_turn() {
    let fixture = test_pool(1).await;
    load(&fixture, 200, 50).await;
    assert_eq!(fixture.limiter.counts().peak, 1);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_connections_stay_within_the_limit() {
    for (callers, wire) in [(50, Wire::Plain), (200, Wire::Plain), (50, Wire::Tls)] {
        let fixture = test_pool_over(wire, 15, |settings| settings.strategy = Strategy::Fresh).await;
        load(&fixture, 200, callers).await;
        let counts = fixture.limiter.counts();
        assert!(counts.peak <= 15, "{counts:?}");
        assert!(
            counts.admitted >= 200,
            "one connection for each lease: {counts:?}"
        );
        fixture.assert_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_snapshot_adds_up_under_load() {
    let fixture = test_pool(3).await;
    let work = load(&fixture, 600, 60);
    let watch = async {
        loop {
            let status = fixture.database.status();
            assert!(status.slots.total() <= status.share, "{status:?}");
            let leased_now = status.counters.leased - status.counters.returned - status.counters.cancelled;
            assert_eq!(
                leased_now,
                u64::try_from(status.slots.leased).unwrap(),
                "{status:?}"
            );
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = work => {}
        () = watch => {}
    }
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_gets_a_connection_or_an_answer_within_its_deadline() {
    let fixture = test_pool(1).await;
    let holder = fixture.session("holder");
    number(&holder, "SELECT 1").await.unwrap();
    let hurried = fixture
        .database
        .session(SessionOptions::new("hurried").deadline(Duration::from_millis(50)));
    let error = number(&hurried, "SELECT 1").await.unwrap_err();
    assert!(
        matches!(error, Error::Saturated { retry_after } if retry_after >= Duration::from_secs(1)),
        "{error}"
    );
    assert_eq!(fixture.database.status().waiting, 0);
    holder.end(Outcome::Rollback).await.unwrap();
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_max_waiting_the_answer_is_immediate() {
    let fixture = test_pool_with(1, |settings| settings.max_waiting = 2).await;
    let holder = fixture.session("holder");
    number(&holder, "SELECT 1").await.unwrap();
    let waiting: Vec<_> = (0..2).map(|_| fixture.reader()).collect();
    let served = join_all(waiting.iter().map(|session| number(session, "SELECT 1")));
    let rejected = async {
        berth_testkit::eventually(async || fixture.database.status().waiting == 2).await;
        let error = number(&fixture.reader(), "SELECT 1").await.unwrap_err();
        assert!(matches!(error, Error::Saturated { .. }), "{error}");
        holder.end(Outcome::Rollback).await.unwrap();
    };
    let (served, ()) = tokio::join!(served, rejected);
    assert!(served.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(fixture.database.status().counters.rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shrinking_share_is_reached_by_closing_idle_connections_first() {
    let fixture = test_pool_with(4, |settings| settings.instances = Instances::Auto).await;
    // Alone, the instance has the whole limit once it has looked.
    berth_testkit::eventually(async || {
        let sessions: Vec<_> = (0..4).map(|_| fixture.reader()).collect();
        join_all(sessions.iter().map(|session| number(session, "SELECT 1"))).await;
        fixture.database.status().share == 4
    })
    .await;
    // Another instance shows itself on the server, not through the limiter.
    let mut other = fixture.server.admin().await;
    sqlx::raw_sql("SET application_name = 'pooled/another'")
        .execute(&mut other)
        .await
        .unwrap();
    berth_testkit::eventually(async || {
        number(&fixture.reader(), "SELECT 1").await.unwrap();
        let status = fixture.database.status();
        status.share == 2 && status.instances == 2 && status.slots.total() <= 2
    })
    .await;
    sqlx::Connection::close(other).await.unwrap();
    berth_testkit::eventually(async || {
        number(&fixture.reader(), "SELECT 1").await.unwrap();
        fixture.database.status().share == 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_overload_units_of_work_that_were_begun_are_finished_first() {
    let pool = test_pool(2).await;
    let unit = async |delay: u64| {
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let options = SessionOptions::new("unit").autocommit_reads();
        let session = pool
            .database
            .session(options.deadline(Duration::from_millis(400)));
        let mut served = 0;
        while served < 3 && number(&session, "SELECT 1 FROM pg_sleep(0.01)").await.is_ok() {
            served += 1;
        }
        served
    };
    // Three times what two connections can serve.
    let units = join_all((0..300).map(|number| unit(number * 5))).await;
    let served: u32 = units.iter().sum();
    let finished: u32 = units.iter().filter(|served| **served == 3).sum();
    assert!(served < 900, "{served} served: more load than could be");
    assert!(
        f64::from(finished) >= 0.8 * f64::from(served),
        "{finished} of {served} reads belong to units that were finished"
    );
    pool.assert_whole().await;
}
