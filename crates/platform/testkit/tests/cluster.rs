//! The throwaway cluster and the databases in it, against real PostgreSQL.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its own functions too"
)]

use std::time::Instant;

use berth_testkit::{Cluster, ClusterOptions, Shutdown, eventually};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

#[tokio::test]
async fn each_database_is_new_and_dropped_with_its_value() {
    let cluster = Cluster::shared().await;
    let one = cluster.database().await;
    let other = cluster.database().await;
    assert_ne!(one.name(), other.name());

    let mut connection = PgConnection::connect(&one.url()).await.unwrap();
    connection
        .execute("create table only_here (id int)")
        .await
        .unwrap();
    assert_eq!((one.backends().await, other.backends().await), (1, 0));

    let name = one.name().to_owned();
    drop(one);
    assert!(
        connection.execute("select 1").await.is_err(),
        "the drop disconnects every client"
    );
    let left = format!("select from pg_database where datname = '{name}'");
    let mut admin = cluster.admin().await;
    assert!(admin.fetch_optional(AssertSqlSafe(left)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_template_is_prepared_once_and_copied() {
    let cluster = Cluster::shared().await;
    let prepare = || {
        cluster.database_from("copied", |url| async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            connection
                .execute("create table plain (made timestamptz default clock_timestamp())")
                .await
                .unwrap();
            connection
                .execute("insert into plain default values")
                .await
                .unwrap();
            connection.close().await.unwrap();
        })
    };
    let (one, other) = tokio::join!(prepare(), prepare());
    let mut made = Vec::new();
    for database in [&one, &other] {
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        connection
            .execute("alter table plain add column ours int")
            .await
            .expect("the role owns the copies");
        let row = connection
            .fetch_one("select made::text from plain")
            .await
            .unwrap();
        made.push(row.get::<String, _>(0));
    }
    assert_eq!(made[0], made[1], "the set-up ran once");
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let database = Cluster::shared().await.database().await;
    let url = database.url().replace(database.password(), "wrong");
    let error = PgConnection::connect(&url).await.unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().code().as_deref(),
        Some("28P01")
    );
}

#[tokio::test]
async fn the_certificate_is_valid_only_with_its_authority() {
    let cluster = Cluster::shared().await;
    let database = cluster.database().await;
    let url = |authority: std::path::PathBuf| {
        database.url_with(
            cluster.port(),
            &format!("sslmode=verify-full&sslrootcert={}", authority.display()),
        )
    };
    let mut connection = PgConnection::connect(&url(cluster.authority())).await.unwrap();
    let row = connection
        .fetch_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        .await
        .unwrap();
    assert!(row.get::<bool, _>(0));
    let error = PgConnection::connect(&url(cluster.untrusted_authority()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, sqlx::Error::Tls(_) | sqlx::Error::Io(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_cluster_can_be_small_stopped_and_resumed() {
    let start = Instant::now();
    let cluster = Cluster::start(ClusterOptions::default().max_connections(5)).await;
    println!("started in {:?}", start.elapsed());
    let database = cluster.database().await;
    let mut held = Vec::new();
    let refusal = loop {
        match PgConnection::connect(&database.url()).await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!(
        refusal.as_database_error().unwrap().code().as_deref(),
        Some("53300")
    );
    assert_eq!(held.len(), 2, "three of five are the superuser's");

    cluster.stop(Shutdown::Fast).await;
    assert!(held[0].execute("select 1").await.is_err());
    assert!(PgConnection::connect(&database.url()).await.is_err());
    cluster.resume().await;
    PgConnection::connect(&database.url()).await.unwrap();
}

#[tokio::test]
async fn all_sessions_of_a_database_can_be_terminated_and_limited() {
    let database = Cluster::shared().await.database().await;
    let options: PgConnectOptions = database.url().parse().unwrap();
    let mut connection = PgConnection::connect_with(&options.application_name("seen"))
        .await
        .unwrap();
    assert_eq!(database.count_backends("application_name = 'seen'").await, 1);
    assert_eq!(database.count_backends("application_name = 'unseen'").await, 0);
    assert_eq!(database.terminate_all().await, 1);
    assert!(connection.execute("select 1").await.is_err());
    eventually(async || database.backends().await == 0).await;

    database.limit_connections(1).await;
    let _held = PgConnection::connect(&database.url()).await.unwrap();
    let error = PgConnection::connect(&database.url()).await.unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().code().as_deref(),
        Some("53300")
    );
}
