//! A stock PgBouncer in session and in transaction mode, and PostgreSQL without one.

use std::time::Duration;

use berth_database::{Database, Error, Instances, Outcome, Pooler, PoolerMode, SessionOptions, Settings};
use berth_testkit::{Cluster, PgBouncer, PgBouncerOptions, PoolMode, TestDatabase, eventually};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::fixture::{TABLES, insert, number, settings, text};

pub(crate) async fn pooled(
    mode: PoolMode,
    size: u32,
    change: impl FnOnce(&mut Settings),
) -> (Database, TestDatabase, PgBouncer) {
    let cluster = Cluster::shared().await;
    let server = cluster.database().await;
    let pooler = PgBouncer::start(
        cluster,
        PgBouncerOptions::default().pool_mode(mode).pool_size(size),
    )
    .await;
    let mut settings = settings(&pooler.url(&server), size);
    change(&mut settings);
    let database = Database::new(settings).unwrap();
    let session = database.session(SessionOptions::new("tables"));
    session.execute_unprepared(TABLES).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    (database, server, pooler)
}

pub(crate) async fn work(database: &Database, callers: i32) {
    join_all((0..callers).map(|caller| async move {
        for round in 0..5 {
            let session = database.session(SessionOptions::new("write").deadline(Duration::from_secs(20)));
            insert(&session, caller * 100 + round).await.unwrap();
            let inner = session.begin().await.unwrap();
            insert(&inner, caller * 100 + round + 50).await.unwrap();
            inner.rollback().await.unwrap();
            session.end(Outcome::Commit).await.unwrap();
            let reader = database.session(SessionOptions::new("read").autocommit_reads());
            number(&reader, "SELECT count(*) FROM notes").await.unwrap();
        }
    }))
    .await;
    let reader = database.session(SessionOptions::new("read").autocommit_reads());
    assert_eq!(
        number(&reader, "SELECT count(*) FROM notes").await.unwrap(),
        i64::from(callers) * 5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_pgbouncer_in_session_mode_just_works() {
    let (database, server, _pooler) = pooled(PoolMode::Session, 3, |_| {}).await;
    work(&database, 30).await;
    let reader = database.session(SessionOptions::new("read").autocommit_reads());
    assert_eq!(
        text(&reader, "SELECT current_setting('statement_timeout')")
            .await
            .unwrap(),
        "30s"
    );
    let named = "SELECT current_setting('application_name')";
    assert_eq!(
        Some(text(&reader, named).await.unwrap().as_str()),
        database.instance()
    );
    assert!(server.backends().await <= 3);
    database.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pgbouncer_that_delays_the_first_statement_is_waited_for() {
    // Two pools of two over one PgBouncer with two servers: the second one's set-up waits.
    let (first, server, pooler) = pooled(PoolMode::Session, 2, |settings| {
        settings.pool_idle = Duration::from_millis(200)
    })
    .await;
    let second = Database::new(settings(&pooler.url(&server), 2)).unwrap();
    let holders: Vec<_> = (0..2)
        .map(|_| first.session(SessionOptions::new("held")))
        .collect();
    for holder in &holders {
        number(holder, "SELECT 1").await.unwrap();
    }
    let waiting = async {
        let session = second.session(SessionOptions::new("waits").autocommit_reads());
        number(&session, "SELECT 1").await
    };
    let release = async {
        eventually(async || second.status().slots.connecting == 1).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(
            second.status().breaker,
            None,
            "a pooler that makes wait is not unreachable"
        );
        for holder in holders {
            holder.end(Outcome::Rollback).await.unwrap();
        }
        first.close(Duration::from_secs(5)).await.unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, release);
    assert_eq!(answer.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_survive_a_pgbouncer_restart() {
    let (database, _server, pooler) = pooled(PoolMode::Session, 3, |_| {}).await;
    let reads = join_all((0..10).map(|_| async {
        for _ in 0..20 {
            let session = database.session(SessionOptions::new("read").autocommit_reads());
            number(&session, "SELECT 1").await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }));
    tokio::join!(reads, pooler.restart());
    assert!(database.status().counters.opened >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_share_few_servers_in_transaction_mode() {
    let (database, server, pooler) = pooled(PoolMode::Transaction, 2, |settings| {
        settings.pooler = Pooler::Transaction;
        settings.limit = 12;
        settings.pool_size = 12;
    })
    .await;
    assert_eq!(database.status().pooler, PoolerMode::Transaction);
    work(&database, 30).await;
    assert!(server.backends().await <= 2, "twelve clients over two servers");
    // A second client of the same pooler meets the same servers and none of our state.
    let mut other = settings(&pooler.url(&server), 4);
    other.pooler = Pooler::Transaction;
    let other = Database::new(other).unwrap();
    let reader = other.session(SessionOptions::new("read").autocommit_reads());
    assert_eq!(
        number(&reader, "SELECT count(*) FROM pg_prepared_statements")
            .await
            .unwrap(),
        0
    );
    let session = database.session(SessionOptions::new("raw"));
    let refused = session
        .raw(|connection| Box::pin(async move { sqlx::Connection::ping(connection).await }))
        .await;
    assert!(matches!(refused, Err(Error::Unsupported(_))));
    let refused: Error = session
        .execute_unprepared("SET work_mem = '7MB'")
        .await
        .unwrap_err()
        .into();
    assert!(matches!(refused, Error::Unsupported(_)), "{refused:?}");
    let timeout = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'";
    assert_eq!(
        number(&session, timeout).await.unwrap(),
        30_000,
        "set for the transaction only"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_copy_works_on_the_sessions_own_connection() {
    let (database, _server, _pooler) = pooled(PoolMode::Session, 1, |settings| {
        settings.pooler = Pooler::Session;
    })
    .await;
    let session = database.session(SessionOptions::new("copy"));
    let copied = session
        .raw(|connection| {
            Box::pin(async move {
                let mut copy = connection.copy_in_raw("COPY notes (id) FROM STDIN").await?;
                copy.send(&b"1\n2\n3\n"[..]).await?;
                copy.finish().await
            })
        })
        .await
        .unwrap();
    assert_eq!(copied, 3);
    assert_eq!(
        number(&session, "SELECT count(*) FROM notes").await.unwrap(),
        3,
        "in the same transaction"
    );
    session.end(Outcome::Rollback).await.unwrap();
    let reader = database.session(SessionOptions::new("read").autocommit_reads());
    assert_eq!(number(&reader, "SELECT count(*) FROM notes").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_without_a_pooler_just_works() {
    let server = Cluster::shared().await.database().await;
    let mut settings = settings(&server.url(), 3);
    settings.instances = Instances::Auto;
    let database = Database::new(settings).unwrap();
    let session = database.session(SessionOptions::new("tables"));
    session.execute_unprepared(TABLES).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    work(&database, 20).await;
    assert!(server.backends().await <= 3);
    database.close(Duration::from_secs(5)).await.unwrap();
    eventually(async || server.backends().await == 0).await;
}
