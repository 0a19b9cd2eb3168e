//! Invariant 5: commit on success, roll back on everything else, and never a success that is not stored.

use std::time::Duration;

use berth_database::{Error, Outcome};
use berth_testkit::{Action, Trigger, eventually};
use futures_util::{FutureExt, TryStreamExt};
use sea_orm::{ConnectionTrait, DbErr, StreamTrait, TransactionTrait};

use crate::fixture::{insert, number, statement, test_pool, test_pool_with};

#[tokio::test(flavor = "multi_thread")]
async fn committed_rows_are_stored_and_dropped_transactions_are_not() {
    let fixture = test_pool(1).await;
    let kept = fixture.session("kept");
    insert(&kept, 1).await.unwrap();
    kept.end(Outcome::Commit).await.unwrap();
    let undone = fixture.session("undone");
    insert(&undone, 2).await.unwrap();
    undone.end(Outcome::Rollback).await.unwrap();
    let dropped = fixture.session("dropped");
    insert(&dropped, 3).await.unwrap();
    drop(dropped);
    assert_eq!(fixture.notes().await, 1);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_releases_the_connection_and_the_session_goes_on() {
    let fixture = test_pool(1).await;
    let session = fixture.session("first");
    insert(&session, 1).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(
        fixture.notes().await,
        1,
        "the only connection is free and the row is there"
    );
    insert(&session, 2).await.unwrap();
    session.rollback().await.unwrap();
    assert_eq!(fixture.notes().await, 1);
    insert(&session, 3).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 2);
    assert_eq!(session.usage().statements, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swallowed_constraint_error_makes_the_commit_fail() {
    let fixture = test_pool(1).await;
    let session = fixture.session("swallows");
    insert(&session, 1).await.unwrap();
    let error: Error = insert(&session, 1).await.unwrap_err().into();
    assert!(
        matches!(&error, Error::UniqueViolation { constraint: Some(name) } if name == "notes_pkey"),
        "{error:?}"
    );
    let error = session.end(Outcome::Commit).await.unwrap_err();
    assert!(matches!(error, Error::TransactionFailed), "{error:?}");
    assert_eq!(fixture.notes().await, 0);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_code_that_swallows_an_error_makes_the_commit_fail() {
    let fixture = test_pool(1).await;
    let session = fixture.session("raw");
    insert(&session, 1).await.unwrap();
    session
        .raw(|connection| {
            Box::pin(async move {
                let _ = sqlx::raw_sql("INSERT INTO notes (id) VALUES (1)")
                    .execute(connection)
                    .await;
                Ok(())
            })
        })
        .await
        .unwrap();
    assert!(matches!(
        session.end(Outcome::Commit).await,
        Err(Error::TransactionFailed)
    ));
    assert_eq!(fixture.notes().await, 0);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_constraint_that_fails_at_commit_is_an_error_and_nothing_is_stored() {
    let fixture = test_pool(1).await;
    let session = fixture.session("deferred");
    session
        .execute_unprepared("INSERT INTO children (id, parent) VALUES (1, 99)")
        .await
        .unwrap();
    let error = session.end(Outcome::Commit).await.unwrap_err();
    assert!(
        matches!(&error, Error::ForeignKeyViolation { constraint: Some(name) } if name == "fk_parent"),
        "{error:?}"
    );
    assert_eq!(
        number(&fixture.reader(), "SELECT count(*) FROM children")
            .await
            .unwrap(),
        0
    );
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_reported_as_unknown() {
    let fixture = test_pool(1).await;
    let session = fixture.session("unknown");
    insert(&session, 1).await.unwrap();
    let fault = fixture
        .limiter
        .arm(Trigger::CommandComplete("COMMIT"), Action::Cut);
    let error = session.end(Outcome::Commit).await.unwrap_err();
    assert!(fault.has_fired());
    assert!(matches!(error, Error::CommitUnknown), "{error:?}");
    assert_eq!(fixture.database.status().counters.commit_unknown, 1);
    assert_eq!(
        fixture.notes().await,
        1,
        "this time it was stored, which the client could not know"
    );
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_cannot_cancel_a_commit_half_way() {
    let fixture = test_pool(1).await;
    fixture.limiter.set_latency(std::time::Duration::from_millis(20));
    let session = fixture.session("leaves");
    insert(&session, 1).await.unwrap();
    let mut committing = Box::pin(session.end(Outcome::Commit));
    // The first poll hands the lease to the pool's task; no caller waits for the rest.
    assert!((&mut committing).now_or_never().is_none());
    drop(committing);
    drop(session);
    berth_testkit::eventually(async || fixture.database.status().counters.committed == 2).await;
    assert_eq!(fixture.notes().await, 1);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nested_transactions_are_savepoints() {
    let fixture = test_pool(1).await;
    let session = fixture.session("nested");
    insert(&session, 1).await.unwrap();
    let inner = session.begin().await.unwrap();
    insert(&inner, 2).await.unwrap();
    let innermost = inner.begin().await.unwrap();
    insert(&innermost, 3).await.unwrap();
    assert!(insert(&innermost, 3).await.is_err(), "its level has failed");
    innermost.rollback().await.unwrap();
    insert(&inner, 4).await.unwrap();
    inner.commit().await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 3);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_transaction_that_is_dropped_is_undone_and_the_session_goes_on() {
    let fixture = test_pool(1).await;
    let session = fixture.session("drops");
    insert(&session, 1).await.unwrap();
    let inner = session.begin().await.unwrap();
    insert(&inner, 2).await.unwrap();
    drop(inner);
    insert(&session, 3).await.unwrap();
    let failed = session.begin().await.unwrap();
    assert!(insert(&failed, 3).await.is_err());
    drop(failed);
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 2);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_commit_of_a_failed_level_is_an_error_and_undone() {
    let fixture = test_pool(1).await;
    let session = fixture.session("fails inside");
    let inner = session.begin().await.unwrap();
    insert(&inner, 1).await.unwrap();
    assert!(insert(&inner, 1).await.is_err());
    let error: Error = inner.commit().await.unwrap_err().into();
    assert!(matches!(error, Error::TransactionFailed), "{error:?}");
    insert(&session, 2).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_beside_a_stream_or_nested_transaction_are_busy() {
    let fixture = test_pool(1).await;
    let session = fixture.session("busy");
    let inner = session.begin().await.unwrap();
    let error: Error = insert(&session, 1).await.unwrap_err().into();
    assert!(matches!(error, Error::SessionBusy), "{error:?}");
    inner.rollback().await.unwrap();
    {
        let mut rows = session
            .stream_raw(statement("SELECT generate_series(1, 3)", []))
            .await
            .unwrap();
        rows.try_next().await.unwrap().unwrap();
        let error: Error = insert(&session, 1).await.unwrap_err().into();
        assert!(matches!(error, Error::SessionBusy), "{error:?}");
        assert!(matches!(session.commit().await, Err(Error::SessionBusy)));
        while rows.try_next().await.unwrap().is_some() {}
    }
    insert(&session, 1).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 1);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_clones_queue() {
    let fixture = test_pool(1).await;
    let session = fixture.session("clones");
    let other = session.clone();
    let (first, second) = tokio::join!(insert(&session, 1), insert(&other, 2));
    first.unwrap();
    second.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    let error: Error = insert(&other, 3).await.unwrap_err().into();
    assert!(matches!(error, Error::SessionClosed), "{error:?}");
    assert_eq!(fixture.notes().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn transaction_control_as_sql_is_refused_and_nothing_is_lost() {
    let fixture = test_pool(1).await;
    let session = fixture.session("control");
    insert(&session, 1).await.unwrap();
    for sql in ["COMMIT", "SELECT 1; ROLLBACK", "SAVEPOINT mine"] {
        let error: Error = session.execute_unprepared(sql).await.unwrap_err().into();
        assert!(matches!(error, Error::Unsupported(_)), "{sql}: {error:?}");
    }
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_state_does_not_reach_the_next_session() {
    let fixture = test_pool(1).await;
    let session = fixture.session("taints");
    session.execute_unprepared("SET work_mem = '7MB'").await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    let shown = crate::fixture::text(&fixture.session("next"), "SELECT current_setting('work_mem')")
        .await
        .unwrap();
    assert_ne!(shown, "7MB");
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serialization_failures_are_run_again_by_the_closure_form() {
    use berth_database::SessionOptions;
    use sea_orm::IsolationLevel;
    let fixture = test_pool_with(2, |_| {}).await;
    let setup = fixture.session("set up");
    setup
        .execute_unprepared("INSERT INTO notes (id, body) VALUES (1, '0')")
        .await
        .unwrap();
    setup.end(Outcome::Commit).await.unwrap();
    let add = async || {
        let options = SessionOptions::new("add").isolation(IsolationLevel::Serializable);
        fixture
            .database
            .transaction(options, async |session| {
                let value = number(session, "SELECT body::int FROM notes WHERE id = 1").await?;
                tokio::task::yield_now().await;
                let sql = format!("UPDATE notes SET body = '{}' WHERE id = 1", value + 1);
                session.execute_unprepared(&sql).await?;
                Ok::<_, Error>(())
            })
            .await
    };
    for _ in 0..20 {
        let (first, second) = tokio::join!(add(), add());
        first.unwrap();
        second.unwrap();
    }
    let sum = number(&fixture.reader(), "SELECT body::int FROM notes WHERE id = 1")
        .await
        .unwrap();
    assert_eq!(sum, 40, "no update was lost");
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seaorms_own_closure_form_commits_and_rolls_back() {
    let fixture = test_pool(1).await;
    let session = fixture.session("closure");
    session
        .transaction::<_, _, DbErr>(|inner| Box::pin(async move { insert(inner, 1).await }))
        .await
        .unwrap();
    let failed = session
        .transaction::<_, (), DbErr>(|inner| {
            Box::pin(async move {
                insert(inner, 2).await?;
                Err(DbErr::Custom("changed my mind".to_owned()))
            })
        })
        .await;
    assert!(failed.is_err());
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_transaction_is_counted_however_it_ends() {
    let fixture = test_pool(1).await;
    for (outcome, times) in [(Outcome::Rollback, 1), (Outcome::Commit, 2)] {
        let session = fixture.session("dawdling");
        insert(&session, times).await.unwrap();
        eventually(async || fixture.database.holders()[0].for_time > Duration::from_millis(60)).await;
        session.end(outcome).await.unwrap();
        let status = fixture.database.status();
        assert_eq!(status.counters.idle_in_transaction, u64::try_from(times).unwrap());
        assert_eq!(status.last_idle.unwrap().label, "dawdling");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_has_committed_in_the_middle_is_not_run_again() {
    let pool = test_pool(1).await;
    let runs = std::sync::atomic::AtomicU32::new(0);
    let outcome: Result<(), Error> = pool
        .database
        .transaction(berth_database::SessionOptions::new("twice"), async |session| {
            runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            session
                .execute_unprepared("INSERT INTO notes (id) VALUES (1) ON CONFLICT DO NOTHING")
                .await?;
            session.commit().await?;
            Err(Error::Serialization)
        })
        .await;
    assert!(matches!(outcome, Err(Error::Serialization)), "{outcome:?}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(pool.notes().await, 1);
    pool.assert_whole().await;
}
