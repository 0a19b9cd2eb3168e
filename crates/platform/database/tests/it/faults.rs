//! Invariant 4 for servers and networks that fail: answered in time, and whole again.

use std::time::{Duration, Instant};

use berth_database::{Database, Error, Outcome, Reason};
use berth_testkit::{Action, Cut, LimiterOptions, Trigger, eventually};
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;

use crate::fixture::{TestPool, Wire, insert, number, settings, test_pool, test_pool_over, test_pool_with};

/// Fills the share with idle connections.
async fn fill(fixture: &TestPool) {
    let sessions: Vec<_> = (0..fixture.share).map(|_| fixture.session("fill")).collect();
    for session in &sessions {
        number(session, "SELECT 1").await.unwrap();
    }
    for session in sessions {
        session.end(Outcome::Rollback).await.unwrap();
    }
    eventually(async || fixture.database.status().slots.idle == fixture.share).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_backends_terminated_under_load_fails_no_read_and_no_new_transaction() {
    let fixture = test_pool(5).await;
    let stop = Instant::now() + Duration::from_secs(2);
    let reads = join_all((0..20).map(|_| async {
        while Instant::now() < stop {
            number(&fixture.reader(), "SELECT 1")
                .await
                .expect("a read survives");
            let session = fixture.session("begins");
            number(&session, "SELECT 1")
                .await
                .expect("a first statement survives");
            // What follows in the transaction may be lost, and is then an error, never a lie.
            let _ = session.end(Outcome::Commit).await;
        }
    }));
    let kills = async {
        while Instant::now() < stop {
            fixture.server.terminate_all().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::join!(reads, kills);
    assert!(
        fixture.database.status().counters.retried > 0,
        "something was there to survive"
    );
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_connection_is_cut_is_an_error_and_stores_nothing() {
    let ends = [Cut::Close, Cut::Reset].into_iter();
    for (how, wire) in ends.flat_map(|how| [(how, Wire::Plain), (how, Wire::Tls)]) {
        let fixture = test_pool_over(wire, 1, |_| {}).await;
        let session = fixture.session("cut");
        insert(&session, 1).await.unwrap();
        fixture.limiter.cut_all(how);
        let error: Error = insert(&session, 2).await.unwrap_err().into();
        assert!(matches!(error, Error::ConnectionLost), "{error:?}");
        assert!(matches!(session.commit().await, Err(Error::ConnectionLost)));
        insert(&session, 3).await.unwrap();
        session.end(Outcome::Commit).await.unwrap();
        assert_eq!(
            fixture.notes().await,
            1,
            "the session went on with a new transaction"
        );
        fixture.assert_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_a_firewall_dropped_is_replaced_within_about_a_second() {
    let fixture = test_pool_with(3, |settings| {
        settings.validate_after_idle = Duration::from_millis(50)
    })
    .await;
    fill(&fixture).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(fixture.limiter.black_hole_idle(), 3);
    // The slots at the limiter stay taken until it notices; the pool's own are free.
    fixture.limiter.set_limit(6);
    number(&fixture.reader(), "SELECT 1").await.unwrap();
    let usage = fixture.database.status().counters;
    assert!(usage.dead >= 3, "one silence makes the others suspect: {usage:?}");
    assert_eq!(usage.timed_out, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_in_the_middle_of_a_query_ends_at_the_deadline() {
    for wire in [Wire::Plain, Wire::Tls] {
        let fixture = test_pool_over(wire, 1, |_| {}).await;
        fill(&fixture).await;
        let fault = fixture
            .limiter
            .arm(Trigger::Statement("pg_sleep"), Action::Silence);
        let options = berth_database::SessionOptions::new("silent")
            .autocommit_reads()
            .deadline(Duration::from_millis(300));
        let session = fixture.database.session(options);
        let error = number(&session, "SELECT 1 FROM pg_sleep(0)").await.unwrap_err();
        assert!(fault.has_fired());
        assert!(matches!(error, Error::DeadlineExceeded), "{error:?}");
        fixture.limiter.heal();
        fixture.assert_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_black_holed_and_all_cut_answers_in_time_and_comes_back() {
    const GRACE: Duration = Duration::from_secs(2);
    for (share, wire) in [(1, Wire::Plain), (5, Wire::Plain), (1, Wire::Tls), (5, Wire::Tls)] {
        let fixture = test_pool_over(wire, share, |settings| {
            settings.unreachable_grace = GRACE;
        })
        .await;
        fill(&fixture).await;
        fixture.limiter.black_hole_new();
        fixture.limiter.cut_all(Cut::Reset);
        let answers = join_all((0..20).map(|_| async { number(&fixture.reader(), "SELECT 1").await })).await;
        for answer in answers {
            assert!(matches!(answer, Err(Error::Unreachable { .. })), "{answer:?}");
        }
        let begun = Instant::now();
        assert!(number(&fixture.reader(), "SELECT 1").await.is_err());
        assert!(begun.elapsed() < GRACE, "known to be unreachable, it fails fast");
        fixture.limiter.heal();
        eventually(async || number(&fixture.reader(), "SELECT 1").await.is_ok()).await;
        fixture.assert_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_is_not_an_error() {
    let fixture = test_pool(3).await;
    fill(&fixture).await;
    fixture.limiter.stop_listening().await;
    fixture.limiter.cut_all(Cut::Reset);
    let requests = join_all((0..30).map(|_| async { number(&fixture.reader(), "SELECT 1").await }));
    let back = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        fixture.limiter.resume_listening().await;
    };
    let (answers, ()) = tokio::join!(requests, back);
    for answer in answers {
        answer.expect("waited through the grace");
    }
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_fail_at_once_after_the_grace_of_an_outage() {
    let fixture = test_pool_with(2, |settings| {
        settings.unreachable_grace = Duration::from_millis(300)
    })
    .await;
    fixture.limiter.stop_listening().await;
    fixture.limiter.cut_all(Cut::Reset);
    let error = number(&fixture.reader(), "SELECT 1").await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unreachable {
                reason: Reason::NotListening
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        fixture.database.status().breaker,
        Some(berth_database::Outage::Unreachable)
    );
    fixture.limiter.resume_listening().await;
    eventually(async || number(&fixture.reader(), "SELECT 1").await.is_ok()).await;
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_role_is_an_error_and_keeps_the_connection() {
    let fixture = test_pool(1).await;
    let pid = async || {
        number(&fixture.reader(), "SELECT pg_backend_pid()")
            .await
            .unwrap()
    };
    let first = pid().await;
    // One that does not exist, and one that the login role is not a member of.
    for role in ["nobody_has_this_role", "postgres", "pg_monitor"] {
        let options = berth_database::SessionOptions::new("role").role(role, serde_json::json!({}));
        let session = fixture.database.session(options);
        let error = Error::from(insert(&session, 1).await.unwrap_err());
        assert!(matches!(error, Error::RoleRefused(Some(_))), "{role}: {error:?}");
        drop(session);
        assert_eq!(pid().await, first, "{role}");
    }
    fixture.assert_whole().await;
    assert_eq!(fixture.notes().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_change_under_cached_statements_is_not_seen() {
    let fixture = test_pool(2).await;
    fill(&fixture).await;
    for _ in 0..4 {
        number(
            &fixture.reader(),
            "SELECT count(*) FROM (SELECT * FROM notes) AS n",
        )
        .await
        .unwrap();
        fixture
            .reader()
            .query_all_raw(crate::fixture::statement("SELECT * FROM notes", []))
            .await
            .unwrap();
    }
    let session = fixture.session("migrates");
    session
        .execute_unprepared("ALTER TABLE notes ALTER COLUMN id TYPE bigint")
        .await
        .unwrap();
    session.end(Outcome::Commit).await.unwrap();
    fixture
        .reader()
        .query_all_raw(crate::fixture::statement("SELECT * FROM notes", []))
        .await
        .unwrap();
    let writer = fixture.session("writes");
    writer
        .query_all_raw(crate::fixture::statement("SELECT * FROM notes", []))
        .await
        .unwrap();
    writer.end(Outcome::Commit).await.unwrap();
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_inside_a_unit_of_work_rolls_back() {
    let fixture = test_pool(1).await;
    let session = fixture.session("panics");
    let task = tokio::spawn(async move {
        insert(&session, 1).await.unwrap();
        panic!("on lane");
    });
    assert!(task.await.unwrap_err().is_panic());
    fixture.assert_whole().await;
    assert_eq!(fixture.notes().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_restart_is_survived() {
    let cluster = berth_testkit::Cluster::start(berth_testkit::ClusterOptions::default()).await;
    let server = cluster.database().await;
    let database = Database::new(settings(&server.url(), 2)).unwrap();
    database.ready(Duration::from_secs(10)).await.unwrap();
    for how in [berth_testkit::Shutdown::Fast, berth_testkit::Shutdown::Immediate] {
        cluster.stop(how).await;
        let reading = async {
            let options = berth_database::SessionOptions::new("read").autocommit_reads();
            number(&database.session(options), "SELECT 1").await
        };
        let (answer, ()) = tokio::join!(reading, cluster.resume());
        if answer.is_err() {
            // The start may take longer than the grace on a busy machine; then the answer was honest.
            assert!(matches!(answer, Err(Error::Unreachable { .. })), "{answer:?}");
        }
        eventually(async || {
            let options = berth_database::SessionOptions::new("read").autocommit_reads();
            number(&database.session(options), "SELECT 1").await.is_ok()
        })
        .await;
    }
    database.close(Duration::from_secs(5)).await.unwrap();
    eventually(async || server.backends().await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn close_waits_for_leases_and_names_who_still_held_one() {
    let fixture = test_pool(2).await;
    let holder = fixture.session("holds on");
    insert(&holder, 1).await.unwrap();
    let error = fixture
        .database
        .close(Duration::from_millis(100))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("holds on"), "{error}");
    let refused = number(&fixture.reader(), "SELECT 1").await.unwrap_err();
    assert!(matches!(refused, Error::ShuttingDown), "{refused:?}");
    holder.end(Outcome::Commit).await.unwrap();
    fixture.database.close(Duration::from_secs(5)).await.unwrap();
    eventually(async || fixture.limiter.counts().concurrent == 0).await;
    let _ = LimiterOptions::limit(1);
}
