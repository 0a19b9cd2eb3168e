//! Lone statements outside a transaction.

use std::time::Duration;

use berth_database::{Error, Outcome, Pooler, Session, SessionOptions};
use berth_testkit::{PoolMode, eventually};
use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, StreamTrait, TransactionTrait};

use crate::fixture::{TestPool, insert, number, statement, test_pool, text};
use crate::pooler_modes::pooled;

/// What PostgreSQL refuses inside a transaction.
const OUTSIDE: &[&str] = &[
    "VACUUM notes",
    "CREATE INDEX CONCURRENTLY notes_body ON notes (body)",
    "DROP INDEX CONCURRENTLY notes_body",
    "CALL in_two_transactions()",
];
const PROCEDURE: &str = "CREATE PROCEDURE in_two_transactions() LANGUAGE plpgsql AS
    $$ BEGIN DELETE FROM notes; COMMIT; INSERT INTO notes (id) VALUES (7); END $$";

async fn with_procedure(share: u32) -> (TestPool, Session) {
    let fixture = test_pool(share).await;
    let options = SessionOptions::new("lone").autocommit();
    let session = fixture
        .database
        .session(options.deadline(Duration::from_secs(20)));
    session.execute_unprepared(PROCEDURE).await.unwrap();
    (fixture, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_no_transaction_takes_run_bare_and_hold_nothing_afterwards() {
    let (fixture, session) = with_procedure(1).await;
    for sql in OUTSIDE {
        session.execute_raw(statement(sql, [])).await.expect(sql);
        eventually(async || fixture.database.status().slots.leased == 0).await;
        session
            .execute_unprepared(sql)
            .await
            .err()
            .iter()
            .for_each(|error| {
                assert!(sql.contains("INDEX"), "{sql}: {error}");
            });
        let refused = fixture.session("in a transaction").execute_unprepared(sql).await;
        refused.expect_err(sql);
    }
    assert_eq!(fixture.notes().await, 1, "the procedure has stored its row");
    assert!(session.has_committed());
    session.end(Outcome::Rollback).await.unwrap();
    assert_eq!(fixture.notes().await, 1, "nothing is left to roll back");
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lone_statements_of_every_form_are_stored_at_once() {
    let (fixture, session) = with_procedure(1).await;
    insert(&session, 1).await.unwrap();
    insert(&session, 1).await.unwrap_err();
    insert(&session, 2)
        .await
        .expect("a failed statement leaves nothing behind");
    let returning = |id: i32| statement("INSERT INTO notes (id) VALUES ($1) RETURNING id", [id.into()]);
    assert!(session.query_one_raw(returning(3)).await.unwrap().is_some());
    let rows: Vec<_> = session
        .stream_raw(returning(4))
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    session
        .raw(|connection| Box::pin(sqlx::raw_sql("INSERT INTO notes (id) VALUES (5)").execute(connection)))
        .await
        .unwrap();
    drop(session);
    assert_eq!(fixture.notes().await, 5);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_an_autocommit_session_ends_as_its_handle_does() {
    let (fixture, session) = with_procedure(1).await;
    let transaction = session.begin().await.unwrap();
    insert(&transaction, 1).await.unwrap();
    let nested = transaction.begin().await.unwrap();
    insert(&nested, 2).await.unwrap();
    nested.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(fixture.database.status().slots.leased, 0);
    assert_eq!(fixture.notes().await, 1, "stored by its own commit");

    let transaction = session.begin().await.unwrap();
    insert(&transaction, 3).await.unwrap();
    transaction.rollback().await.unwrap();
    let transaction = session.begin().await.unwrap();
    insert(&transaction, 4).await.unwrap();
    drop(transaction);
    eventually(async || fixture.database.status().slots.leased == 0).await;
    let transaction = session.begin().await.unwrap();
    insert(&transaction, 1).await.unwrap_err();
    assert!(matches!(
        transaction.commit().await.map_err(Error::from),
        Err(Error::TransactionFailed)
    ));
    insert(&session, 5).await.expect("the session goes on");
    assert_eq!(fixture.notes().await, 2);

    let transaction = session.begin().await.unwrap();
    insert(&transaction, 6).await.unwrap();
    fixture.server.terminate_all().await;
    insert(&transaction, 7).await.unwrap_err();
    drop(transaction);
    insert(&session, 8)
        .await
        .expect("the next statement has a connection of its own");
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_statement_that_was_sent_is_never_sent_again() {
    let (fixture, session) = with_procedure(1).await;
    // Each of these ends its own backend; sent a second time, the row would be there twice.
    let dies = "INSERT INTO notes (id) SELECT coalesce(max(id), 0) + 1 FROM notes; COMMIT; \
        SELECT pg_terminate_backend(pg_backend_pid())";
    let procedure = format!(
        "CREATE PROCEDURE dies() LANGUAGE plpgsql AS $$ BEGIN {} END $$",
        dies.replace("SELECT pg", "PERFORM pg") + ";"
    );
    session.execute_unprepared(&procedure).await.unwrap();
    for round in 1..=3 {
        let error: Error = session
            .execute_unprepared("CALL dies()")
            .await
            .unwrap_err()
            .into();
        assert!(matches!(error, Error::ConnectionLost), "{error:?}");
        assert_eq!(fixture.notes().await, round);
    }
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_begin_carries_give_each_lone_statement_a_transaction_of_its_own() {
    let (fixture, _) = with_procedure(1).await;
    let options = SessionOptions::new("lone").autocommit();
    let session = fixture
        .database
        .session(options.isolation(sea_orm::IsolationLevel::Serializable));
    let level = text(&session, "SELECT current_setting('transaction_isolation')").await;
    assert_eq!(level.unwrap(), "serializable");
    insert(&session, 1).await.unwrap();
    insert(&session, 1).await.unwrap_err();
    eventually(async || fixture.database.status().slots.leased == 0).await;
    assert_eq!(fixture.notes().await, 1);
    session.execute_unprepared("VACUUM notes").await.unwrap_err();
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_transaction_pooler_only_plain_text_goes_bare() {
    let (database, server, _pooler) = pooled(PoolMode::Transaction, 2, |settings| {
        settings.pooler = Pooler::Transaction;
    })
    .await;
    let session = database.session(SessionOptions::new("lone").autocommit());
    session.execute_unprepared(PROCEDURE).await.unwrap();
    for sql in OUTSIDE {
        session.execute_unprepared(sql).await.expect(sql);
    }
    session
        .execute_raw(statement("VACUUM notes", []))
        .await
        .unwrap_err();
    insert(&session, 8).await.unwrap();
    let refused: Error = session
        .execute_unprepared("SET work_mem = '1MB'")
        .await
        .unwrap_err()
        .into();
    assert!(matches!(refused, Error::Unsupported(_)), "{refused:?}");
    assert_eq!(number(&session, "SELECT sum(id) FROM notes").await.unwrap(), 15);
    assert_eq!(
        server.count_backends("state LIKE 'idle in transaction%'").await,
        0
    );
}
