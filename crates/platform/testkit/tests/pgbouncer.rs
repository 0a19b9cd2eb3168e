//! PgBouncer with its own settings, in front of a real cluster.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its own functions too"
)]

use std::time::Duration;

use berth_testkit::{Authentication, Cluster, PgBouncer, PgBouncerOptions, PoolMode, eventually};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{Connection, Error, Executor, Row};

async fn connect(url: &str) -> Result<PgConnection, Error> {
    let options: PgConnectOptions = url.parse().unwrap();
    PgConnection::connect_with(&options.extra_float_digits(None)).await
}

#[track_caller]
fn answer<T>(result: Result<T, Error>) -> (String, String) {
    let error = result.err().unwrap().into_database_error().unwrap();
    let error = error.downcast::<PgDatabaseError>();
    (error.code().to_owned(), error.message().to_owned())
}

#[tokio::test]
async fn session_mode_with_its_own_settings_refuses_what_it_does_not_know() {
    let cluster = Cluster::shared().await;
    let database = cluster.database().await;
    let pgbouncer = PgBouncer::start(cluster, PgBouncerOptions::default()).await;
    let url = pgbouncer.url(&database);
    let (code, message) = answer(PgConnection::connect(&url).await);
    assert_eq!(code, "08P01");
    assert_eq!(message, "unsupported startup parameter: extra_float_digits");
    assert_eq!(
        answer(connect(&url.replace(database.password(), "wrong")).await).0,
        "08P01"
    );
    let mut connection = connect(&url).await.unwrap();
    let row = connection.fetch_one("select current_database()").await.unwrap();
    assert_eq!(row.get::<String, _>(0), database.name());
}

#[tokio::test]
async fn the_client_beyond_the_limit_is_refused() {
    let cluster = Cluster::shared().await;
    let database = cluster.database().await;
    let pgbouncer = PgBouncer::start(cluster, PgBouncerOptions::default().max_client_conn(1)).await;
    let url = pgbouncer.url(&database);
    let _first = connect(&url).await.unwrap();
    let (code, message) = answer(connect(&url).await);
    assert_eq!(code, "08P01");
    assert_eq!(message, "no more connections allowed (max_client_conn)");
}

#[tokio::test]
async fn the_first_statement_waits_for_a_server_connection() {
    let cluster = Cluster::shared().await;
    let database = cluster.database().await;
    let options = PgBouncerOptions::default()
        .pool_size(1)
        .query_wait_timeout(Duration::from_secs(1));
    let pgbouncer = PgBouncer::start(cluster, options.authentication(Authentication::Md5)).await;
    let mut first = connect(&pgbouncer.url(&database)).await.unwrap();
    first.execute("select 1").await.unwrap();
    let mut second = connect(&pgbouncer.url(&database)).await.expect("it is let in");
    let waited = second.execute("select 1").await;
    assert_eq!(
        answer(waited),
        ("08P01".to_owned(), "query_wait_timeout".to_owned())
    );
    assert_eq!(database.backends().await, 1);
}

#[tokio::test]
async fn transaction_mode_shares_few_servers_among_many_clients() {
    let cluster = Cluster::shared().await;
    let database = cluster.database().await;
    let options = PgBouncerOptions::default()
        .pool_mode(PoolMode::Transaction)
        .pool_size(1);
    let pgbouncer = PgBouncer::start(cluster, options).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = connect(&pgbouncer.url(&database)).await.unwrap();
        client.execute("select 1").await.unwrap();
        clients.push(client);
    }
    assert_eq!(database.backends().await, 1);
}

#[tokio::test]
async fn pgbouncer_can_be_stopped_and_resumed_under_its_clients() {
    let cluster = Cluster::shared().await;
    let database = cluster.database().await;
    let pgbouncer = PgBouncer::start(cluster, PgBouncerOptions::default()).await;
    let mut client = connect(&pgbouncer.url(&database)).await.unwrap();
    client.execute("select 1").await.unwrap();
    pgbouncer.stop().await;
    assert!(client.execute("select 1").await.is_err());
    let refused = connect(&pgbouncer.url(&database)).await.unwrap_err();
    assert!(matches!(refused, Error::Io(_)), "{refused:?}");
    pgbouncer.resume().await;
    connect(&pgbouncer.url(&database)).await.unwrap();
    pgbouncer.restart().await;
    connect(&pgbouncer.url(&database)).await.unwrap();
    drop(pgbouncer);
    eventually(async || database.backends().await == 0).await;
}
