//! Faults that strike more than once, errors in place of answers, delays, and what counts them.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its own functions too"
)]

use std::time::{Duration, Instant};

use berth_testkit::{
    Action, BackendSampler, BlackHole, CancelRequests, Cluster, Limiter, LimiterOptions, Refusal,
    TestDatabase, Times, Trigger, eventually,
};
use sqlx::postgres::{PgConnection, PgDatabaseError, PgSeverity};
use sqlx::{Connection, Error, Executor, Row};
use tokio::net::TcpStream;

async fn prepared() -> (TestDatabase, Limiter) {
    let database = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(5));
    (database, limiter)
}

async fn connect(limiter: &Limiter) -> Result<PgConnection, Error> {
    PgConnection::connect(&limiter.url()).await
}

fn database_error(error: Error) -> (PgSeverity, String, String) {
    let error = error.into_database_error().unwrap().downcast::<PgDatabaseError>();
    (
        error.severity(),
        error.code().to_owned(),
        error.message().to_owned(),
    )
}

fn gone() -> Refusal {
    Refusal::new("XX000", "(EDBHANDLEREXITED) connection to database closed")
}

#[tokio::test]
async fn the_first_logins_are_refused_and_the_next_is_not() {
    let (_database, limiter) = prepared().await;
    let fault = limiter.arm_times(Trigger::Startup, Action::Fatal(gone()), Times::First(2));
    for _ in 0..2 {
        let (severity, code, _) = database_error(connect(&limiter).await.unwrap_err());
        assert_eq!((severity, code.as_str()), (PgSeverity::Fatal, "XX000"));
    }
    connect(&limiter).await.unwrap();
    assert_eq!((fault.firings(), limiter.counts().refused), (2, 2));
}

#[tokio::test]
async fn each_second_login_is_refused() {
    let (_database, limiter) = prepared().await;
    limiter.arm_times(Trigger::Startup, Action::Error(gone()), Times::Every(2));
    for number in 1..=4 {
        let connected = connect(&limiter).await;
        assert_eq!(connected.is_err(), number % 2 == 0, "login {number}");
    }
}

#[tokio::test]
async fn logins_are_refused_for_a_while() {
    let (_database, limiter) = prepared().await;
    let time = Duration::from_millis(300);
    limiter.arm_times(Trigger::Startup, Action::Fatal(gone()), Times::For(time));
    let start = Instant::now();
    eventually(async || connect(&limiter).await.is_ok()).await;
    assert!(start.elapsed() >= time);
}

#[tokio::test]
async fn a_login_succeeds_and_its_first_statement_ends_it() {
    let (_database, limiter) = prepared().await;
    limiter.arm(Trigger::FirstStatement, Action::Fatal(gone()));
    let refused = match connect(&limiter).await {
        Ok(mut connection) => connection.execute("select 1").await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(database_error(refused).1, "XX000");
    connect(&limiter)
        .await
        .unwrap()
        .execute("select 1")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_statement_fails_with_another_servers_error_and_the_connection_goes_on() {
    let (_database, limiter) = prepared().await;
    let mut connection = connect(&limiter).await.unwrap();
    let foreign = Refusal::new("08006", "could not connect to server \"other\"");
    let statement = Trigger::Statement("foreign_rows");
    let fault = limiter.arm_times(statement, Action::Error(foreign), Times::Always);

    let mut transaction = connection.begin().await.unwrap();
    let prepared = sqlx::query("select $1::int from foreign_rows").bind(1);
    let error = prepared.execute(&mut *transaction).await.unwrap_err();
    let expected = "could not connect to server \"other\"".to_owned();
    assert_eq!(
        database_error(error),
        (PgSeverity::Error, "08006".to_owned(), expected)
    );
    let aborted = transaction.execute("select 1").await.unwrap_err();
    assert_eq!(
        database_error(aborted).1,
        "25P02",
        "the server knows of the failure"
    );
    transaction.rollback().await.unwrap();

    let simple = connection.execute("select * from foreign_rows").await;
    assert_eq!(database_error(simple.unwrap_err()).1, "08006");
    let row = connection.fetch_one("select 7").await.unwrap();
    assert_eq!((row.get::<i32, _>(0), fault.firings()), (7, 2));
}

#[tokio::test]
async fn an_error_is_translated() {
    let (_database, limiter) = prepared().await;
    limiter.translate_errors("division by zero", "Division durch Null");
    let mut connection = connect(&limiter).await.unwrap();
    let error = connection.execute("select 1/0").await.unwrap_err();
    let expected = (
        PgSeverity::Error,
        "22012".to_owned(),
        "Division durch Null".to_owned(),
    );
    assert_eq!(database_error(error), expected);
    connection.execute("select 1").await.unwrap();
}

#[tokio::test]
async fn statements_are_delayed_and_held() {
    let (_database, limiter) = prepared().await;
    let mut connection = connect(&limiter).await.unwrap();
    let delay = Duration::from_millis(200);
    limiter.arm_times(Trigger::Statement("slow"), Action::Delay(delay), Times::Always);
    let start = Instant::now();
    connection.execute("select 1 as slow").await.unwrap();
    assert!(start.elapsed() >= delay);

    let fault = limiter.arm(Trigger::Statement("held"), Action::Hold);
    let held = tokio::spawn(async move { connection.execute("select 1 as held").await.map(drop) });
    eventually(async || fault.has_fired()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!held.is_finished());
    limiter.disarm();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn cancel_requests_are_dropped_or_forwarded_and_counted() {
    let (database, limiter) = prepared().await;
    let mut connection = connect(&limiter).await.unwrap();
    let sampler = BackendSampler::start(&database).await;
    let sleeping = tokio::spawn(async move { connection.execute("select pg_sleep(30)").await.map(drop) });
    eventually(async || database.count_backends("query like '%pg_sleep%'").await == 1).await;
    // A request with a key of its own cancels nothing, but shows whether it is passed on.
    let packet = [16_u32, 80_877_102, 1, 2].map(u32::to_be_bytes).concat();
    for cancel_requests in [CancelRequests::Dropped, CancelRequests::Forwarded] {
        limiter.set_cancel_requests(cancel_requests);
        let mut socket = TcpStream::connect(("127.0.0.1", limiter.port())).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut socket, &packet)
            .await
            .unwrap();
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest)
            .await
            .unwrap();
    }
    assert_eq!(limiter.counts().cancels, 2);
    assert!(!sleeping.is_finished());
    assert_eq!(sampler.most(), 1);
    assert_eq!(database.terminate_all().await, 1);
    sleeping.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn the_sampler_sees_backends_that_come_and_go() {
    let (database, limiter) = prepared().await;
    let sampler = BackendSampler::start(&database).await;
    let connections = [connect(&limiter).await, connect(&limiter).await];
    eventually(async || sampler.most() == 2).await;
    drop(connections);
    let samples = sampler.samples();
    eventually(async || database.backends().await == 0 && sampler.samples() > samples).await;
    assert_eq!(sampler.most(), 2);
}

#[tokio::test]
async fn a_black_hole_answers_no_connection_attempt() {
    let hole = BlackHole::open("127.0.0.1:0").await;
    let attempt = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(hole.address()));
    assert!(attempt.await.is_err());
}
