//! Invariants 1 and 3: never more than the share, and everybody is answered.

use std::time::Duration;

use berth_database::{Error, Instances, Outcome, SessionOptions, Strategy};
use futures_util::future::join_all;

use crate::fixture::{TestPool, Wire, harbour, harbour_over, harbour_with, number};

async fn load(harbour: &TestPool, requests: usize, callers: usize) {
    let caller = async || {
        for _ in 0..requests / callers {
            assert_eq!(
                number(&harbour.reader(), "SELECT 1")
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
    let harbour = harbour(5).await;
    load(&harbour, 1000, 200).await;
    let counts = harbour.limiter.counts();
    assert_eq!(counts.refused, 0, "{counts:?}");
    assert!(counts.peak <= 5, "{counts:?}");
    harbour.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_one_serves_everybody_in_turn() {
    let harbour = harbour(1).await;
    load(&harbour, 200, 50).await;
    assert_eq!(harbour.limiter.counts().peak, 1);
    harbour.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_connections_stay_within_the_limit() {
    for (callers, wire) in [(50, Wire::Plain), (200, Wire::Plain), (50, Wire::Tls)] {
        let harbour = harbour_over(wire, 15, |settings| settings.strategy = Strategy::Fresh).await;
        load(&harbour, 200, callers).await;
        let counts = harbour.limiter.counts();
        assert!(counts.peak <= 15, "{counts:?}");
        assert!(
            counts.admitted >= 200,
            "one connection for each lease: {counts:?}"
        );
        harbour.assert_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_snapshot_adds_up_under_load() {
    let harbour = harbour(3).await;
    let work = load(&harbour, 600, 60);
    let watch = async {
        loop {
            let status = harbour.database.status();
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
    harbour.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_gets_a_connection_or_an_answer_within_its_deadline() {
    let harbour = harbour(1).await;
    let holder = harbour.session("holder");
    number(&holder, "SELECT 1").await.unwrap();
    let hurried = harbour
        .database
        .session(SessionOptions::new("hurried").deadline(Duration::from_millis(50)));
    let error = number(&hurried, "SELECT 1").await.unwrap_err();
    assert!(
        matches!(error, Error::Saturated { retry_after } if retry_after >= Duration::from_secs(1)),
        "{error}"
    );
    assert_eq!(harbour.database.status().waiting, 0);
    holder.end(Outcome::Rollback).await.unwrap();
    harbour.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_max_waiting_the_answer_is_immediate() {
    let harbour = harbour_with(1, |settings| settings.max_waiting = 2).await;
    let holder = harbour.session("holder");
    number(&holder, "SELECT 1").await.unwrap();
    let waiting: Vec<_> = (0..2).map(|_| harbour.reader()).collect();
    let served = join_all(waiting.iter().map(|session| number(session, "SELECT 1")));
    let rejected = async {
        berth_testkit::eventually(async || harbour.database.status().waiting == 2).await;
        let error = number(&harbour.reader(), "SELECT 1").await.unwrap_err();
        assert!(matches!(error, Error::Saturated { .. }), "{error}");
        holder.end(Outcome::Rollback).await.unwrap();
    };
    let (served, ()) = tokio::join!(served, rejected);
    assert!(served.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(harbour.database.status().counters.rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shrinking_share_is_reached_by_closing_idle_connections_first() {
    let harbour = harbour_with(4, |settings| settings.instances = Instances::Auto).await;
    // Alone, the instance has the whole limit once it has looked.
    berth_testkit::eventually(async || {
        let sessions: Vec<_> = (0..4).map(|_| harbour.reader()).collect();
        join_all(sessions.iter().map(|session| number(session, "SELECT 1"))).await;
        harbour.database.status().share == 4
    })
    .await;
    // Another instance shows itself on the server, not through the limiter.
    let mut other = harbour.server.admin().await;
    sqlx::raw_sql("SET application_name = 'pooled/another'")
        .execute(&mut other)
        .await
        .unwrap();
    berth_testkit::eventually(async || {
        number(&harbour.reader(), "SELECT 1").await.unwrap();
        let status = harbour.database.status();
        status.share == 2 && status.instances == 2 && status.slots.total() <= 2
    })
    .await;
    sqlx::Connection::close(other).await.unwrap();
    berth_testkit::eventually(async || {
        number(&harbour.reader(), "SELECT 1").await.unwrap();
        harbour.database.status().share == 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_overload_units_of_work_that_were_begun_are_finished_first() {
    let pool = harbour(2).await;
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
