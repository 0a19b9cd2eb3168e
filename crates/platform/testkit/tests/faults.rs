//! Faults that strike at a certain message.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its own functions too"
)]

use std::time::Duration;

use berth_testkit::{Action, Cluster, Limiter, LimiterOptions, Refusal, TestDatabase, Trigger, eventually};
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{Connection, Error, Executor, Row};

async fn prepared() -> (TestDatabase, Limiter, PgConnection) {
    let database = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(5));
    let mut connection = PgConnection::connect(&limiter.url()).await.unwrap();
    connection
        .execute("create table berths (name text)")
        .await
        .unwrap();
    (database, limiter, connection)
}

async fn stored(database: &TestDatabase) -> i64 {
    let row = database
        .admin()
        .await
        .fetch_one("select count(*) from berths")
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn the_answer_to_a_commit_is_lost_though_it_committed() {
    for action in [Action::Cut, Action::Reset] {
        let (database, limiter, mut connection) = prepared().await;
        connection
            .execute("begin; insert into berths values ('one')")
            .await
            .unwrap();
        let fault = limiter.arm(Trigger::CommandComplete("COMMIT"), action);
        assert!(!fault.has_fired());
        assert!(matches!(connection.execute("commit").await, Err(Error::Io(_))));
        assert!(fault.has_fired());
        assert_eq!(stored(&database).await, 1);
        eventually(async || limiter.counts().concurrent == 0).await;

        let mut next = PgConnection::connect(&limiter.url()).await.unwrap();
        next.execute("begin; commit").await.expect("a fault strikes once");
    }
}

#[tokio::test]
async fn a_statement_that_never_arrives_is_not_done() {
    let (database, limiter, mut connection) = prepared().await;
    connection
        .execute("begin; insert into berths values ('one')")
        .await
        .unwrap();
    limiter.arm(Trigger::Statement("COMMIT"), Action::Cut);
    assert!(connection.execute("commit").await.is_err());
    eventually(async || database.backends().await == 0).await;
    assert_eq!(stored(&database).await, 0);
}

#[tokio::test]
async fn a_connection_falls_silent_at_a_message_and_goes_on_when_healed() {
    let (_database, limiter, mut connection) = prepared().await;
    let fault = limiter.arm(Trigger::CommandComplete("INSERT"), Action::Silence);
    let statement = tokio::spawn(async move {
        connection
            .execute("insert into berths values ('one')")
            .await
            .unwrap();
        connection.execute("select 1").await
    });
    eventually(async || fault.has_fired()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!statement.is_finished());
    limiter.heal();
    statement.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_error_is_answered_in_the_servers_place() {
    let (_database, limiter, mut connection) = prepared().await;
    let error = Refusal::new("57P01", "terminating connection due to administrator command");
    limiter.arm(Trigger::Statement("select 1"), Action::Fatal(error));
    let seen = connection.execute("select 1").await.unwrap_err();
    let seen = seen.into_database_error().unwrap().downcast::<PgDatabaseError>();
    assert_eq!(seen.code(), "57P01");
    assert!(connection.execute("select 1").await.is_err(), "and closed");
}

#[tokio::test]
async fn a_fault_strikes_at_every_message_of_a_transaction_in_turn() {
    async fn transaction(limiter: &Limiter) -> Result<(), Error> {
        let mut connection = PgConnection::connect(&limiter.url()).await?;
        let mut transaction = connection.begin().await?;
        sqlx::query("insert into berths values ($1)")
            .bind("one")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }
    let (database, limiter, _connection) = prepared().await;
    for trigger in [
        Trigger::BackendMessage as fn(u64) -> Trigger,
        Trigger::FrontendMessage,
    ] {
        let mut number = 1;
        let mut failures = 0;
        loop {
            let before = stored(&database).await;
            let fault = limiter.arm(trigger(number), Action::Cut);
            let result = transaction(&limiter).await;
            if !fault.has_fired() {
                result.unwrap();
                break;
            }
            if result.is_err() {
                failures += 1;
            } else {
                assert_eq!(
                    stored(&database).await,
                    before + 1,
                    "message {number}: done means stored"
                );
            }
            number += 1;
        }
        assert!(number > 8 && failures >= number - 3, "{number} {failures}");
        limiter.disarm();
    }
    eventually(async || limiter.counts().concurrent == 1).await;
}
