//! The pooler's mode is found by experiment, before anything is set on a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use berth_database::{Database, Outcome, Pooler, PoolerMode, SessionOptions, Settings};
use berth_testkit::{
    BackendSampler, Cluster, Limiter, LimiterOptions, PgBouncer, PgBouncerOptions, PoolMode, TestDatabase,
    eventually, eventually_within,
};
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row, raw_sql};

use crate::fixture::{TABLES, number, settings};
use crate::pooler_modes::{pooled, work};

async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().unwrap();
    PgConnection::connect_with(&options.extra_float_digits(None))
        .await
        .unwrap()
}

/// Clients of others, each with one short transaction after the other.
struct Strangers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Strangers {
    /// Starts them, and waits until each has been served.
    async fn start(url: &str, clients: u32, sql: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for _ in 0..clients {
            let mut connection = connect(url).await;
            raw_sql(sql).execute(&mut connection).await.unwrap();
            let stop = stop.clone();
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    raw_sql(sql).execute(&mut connection).await.unwrap();
                    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..3000))).await;
                }
                connection.close().await.unwrap();
            }));
        }
        Self { stop, tasks }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn pgbouncer(mode: PoolMode, size: u32) -> (TestDatabase, PgBouncer) {
    let cluster = Cluster::shared().await;
    let options = PgBouncerOptions::default().pool_mode(mode).pool_size(size);
    (cluster.database().await, PgBouncer::start(cluster, options).await)
}

/// A share of `share`, and one connection of the limit in reserve.
fn with_reserve(url: &str, share: u32) -> Settings {
    Settings {
        limit: share + 1,
        reserve: 1,
        ..settings(url, share)
    }
}

async fn found(settings: Settings) -> PoolerMode {
    let database = Database::new(settings).unwrap();
    assert_eq!(
        database.status().pooler,
        PoolerMode::Unknown,
        "not before a connection"
    );
    database.ready(Duration::from_secs(10)).await.unwrap();
    let mode = database.status().pooler;
    database.close(Duration::from_secs(5)).await.unwrap();
    mode
}

/// What is left on each of the pooler's servers, as another client meets it.
async fn assert_nothing_left(url: &str, servers: u32) {
    let mut clients = Vec::new();
    for _ in 0..servers {
        let mut client = connect(url).await;
        let sql = "BEGIN; SELECT current_setting('application_name') || ';' || current_setting('statement_timeout') \
                   || ';' || current_setting('idle_in_transaction_session_timeout') || ';' \
                   || coalesce(current_setting('request.jwt.claims', true), '') || ';' \
                   || (SELECT count(*) FROM pg_prepared_statements)";
        let row = raw_sql(sql).fetch_one(&mut client).await.unwrap();
        assert_eq!(row.get::<String, _>(0), ";0;0;;0");
        clients.push(client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_an_idle_pooler_is_found_whatever_its_size() {
    for size in [1, 2, 5] {
        for (mode, expected) in [
            (PoolMode::Session, PoolerMode::Session),
            (PoolMode::Transaction, PoolerMode::Transaction),
        ] {
            let (server, pooler) = pgbouncer(mode, size).await;
            let url = pooler.url(&server);
            for share in [1, 3] {
                assert_eq!(
                    found(with_reserve(&url, share)).await,
                    expected,
                    "{mode:?} of {size}"
                );
            }
            // The servers are there now, and idle.
            assert_eq!(
                found(with_reserve(&url, 1)).await,
                expected,
                "{mode:?} of {size} again"
            );
            assert_nothing_left(&url, size).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_a_busy_transaction_pooler_is_found_each_time() {
    let last_released = PgBouncerOptions::default().pool_mode(PoolMode::Transaction);
    let longest_free = last_released.server_round_robin();
    let sizes = [(1, 2), (2, 1), (2, 3), (5, 1), (5, 4), (5, 12)];
    let cases = sizes.map(|case| (case, last_released)).into_iter();
    let cases = cases.chain(sizes.map(|case| (case, longest_free)));
    let cluster = Cluster::shared().await;
    let server = cluster.database().await;
    for ((size, clients), options) in cases {
        let pooler = PgBouncer::start(cluster, options.pool_size(size)).await;
        let url = pooler.url(&server);
        for sql in ["SELECT 1", "SELECT pg_sleep(0.003)"] {
            let strangers = Strangers::start(&url, clients, sql).await;
            for _ in 0..6 {
                let mode = found(with_reserve(&url, 1)).await;
                assert_eq!(
                    mode,
                    PoolerMode::Transaction,
                    "{clients} clients on {size}: {sql}"
                );
            }
            strangers.end().await;
        }
        assert_nothing_left(&url, size).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_a_busy_session_pooler_is_found_also_where_it_is_full() {
    // With two strangers on three servers, the second connection of the experiment waits.
    for (size, clients) in [(3, 1), (3, 2), (6, 3)] {
        let (server, pooler) = pgbouncer(PoolMode::Session, size).await;
        let url = pooler.url(&server);
        let strangers = Strangers::start(&url, clients, "SELECT pg_sleep(0.003)").await;
        for _ in 0..3 {
            assert_eq!(
                found(with_reserve(&url, 1)).await,
                PoolerMode::Session,
                "{clients} on {size}"
            );
        }
        strangers.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_of_a_full_session_pooler_is_found_while_the_schema_changes() {
    // Processes that lag behind run transactions of their own to catch up.
    let (server, pooler) = pgbouncer(PoolMode::Session, 1).await;
    let sql = "DO $$ BEGIN FOR i IN 1..100 LOOP CREATE TEMP TABLE passing (id int); DROP TABLE passing; END LOOP; END $$";
    let strangers = Strangers::start(&server.url(), 2, sql).await;
    for _ in 0..4 {
        let mode = found(with_reserve(&pooler.url(&server), 1)).await;
        assert_eq!(mode, PoolerMode::Session);
    }
    strangers.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_pooler_is_found_with_one_connection() {
    let server = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(1));
    for url in [limiter.url(), limiter.secure_url(), server.url()] {
        assert_eq!(found(settings(&url, 1)).await, PoolerMode::Direct);
    }
    assert_eq!((limiter.counts().peak, limiter.counts().refused), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_experiment_keeps_within_the_share_or_takes_one_of_the_reserve() {
    for (mode, share, reserve) in [
        (PoolMode::Session, 1, 1),
        (PoolMode::Session, 2, 0),
        (PoolMode::Session, 4, 0),
        (PoolMode::Transaction, 2, 0),
    ] {
        let (server, pooler) = pgbouncer(mode, 10).await;
        let sampler = BackendSampler::start(&server).await;
        let database = Database::new(Settings {
            limit: share + reserve,
            reserve,
            ..settings(&pooler.url(&server), share)
        })
        .unwrap();
        join_all((0..20).map(|_| async {
            let session = database.session(SessionOptions::new("first"));
            number(&session, "SELECT 1 FROM pg_sleep(0.02)").await.unwrap();
        }))
        .await;
        let most = i64::from(share.max(2));
        assert!(
            sampler.most() <= most,
            "{} of {share} + {reserve}",
            sampler.most()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_the_experiment_everything_runs_as_behind_a_transaction_pooler() {
    for mode in [PoolMode::Session, PoolMode::Transaction] {
        let (server, pooler) = pgbouncer(mode, 1).await;
        let url = pooler.url(&server);
        let database = Database::new(settings(&url, 1)).unwrap();
        let session = database.session(SessionOptions::new("tables"));
        session.execute_unprepared(TABLES).await.unwrap();
        session.end(Outcome::Commit).await.unwrap();
        work(&database, 10).await;
        assert_eq!(database.status().pooler, PoolerMode::Unknown);
        assert_eq!(database.instance(), None);
        database.close(Duration::from_secs(5)).await.unwrap();
        eventually(async || server.backends().await <= 1).await;
        assert_nothing_left(&url, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_that_could_not_be_found_is_looked_for_again() {
    let cluster = Cluster::shared().await;
    let server = cluster.database().await;
    let options = PgBouncerOptions::default().max_client_conn(2);
    let pooler = PgBouncer::start(cluster, options).await;
    let url = pooler.url(&server);
    let stranger = connect(&url).await;
    let database = Database::new(with_reserve(&url, 1)).unwrap();
    database.ready(Duration::from_secs(10)).await.unwrap();
    assert_eq!(
        database.status().pooler,
        PoolerMode::Unknown,
        "the second connection is refused"
    );
    stranger.close().await.unwrap();
    eventually_within(Duration::from_secs(30), async || {
        let reader = database.session(SessionOptions::new("read").autocommit_reads());
        assert_eq!(number(&reader, "SELECT 7").await.unwrap(), 7);
        tokio::time::sleep(Duration::from_millis(50)).await;
        database.status().pooler == PoolerMode::Session
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_transaction_pooler_that_was_found_no_statement_fails_and_nothing_stays() {
    for size in [1, 2, 5] {
        let (database, server, pooler) = pooled(PoolMode::Transaction, size, |settings| {
            settings.pool_size = 6;
            settings.limit = 6;
        })
        .await;
        work(&database, 30).await;
        assert_eq!(database.status().pooler, PoolerMode::Transaction);
        assert_nothing_left(&pooler.url(&server), size).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_that_turns_out_wrong_is_corrected() {
    let (server, pooler) = pgbouncer(PoolMode::Transaction, 3).await;
    let url = pooler.url(&server);
    let mut wrong = settings(&url, 4);
    wrong.pooler = Pooler::Session;
    let database = Database::new(wrong).unwrap();
    assert_eq!(database.status().pooler, PoolerMode::Session);
    // Nothing is prepared: the end of a transaction shows on which server process it was.
    eventually(async || {
        join_all((0..10).map(|_| async {
            let session = database.session(SessionOptions::new("write"));
            session.execute_unprepared("SELECT 1").await.unwrap();
            session.end(Outcome::Commit).await.unwrap();
        }))
        .await;
        database.status().pooler == PoolerMode::Transaction
    })
    .await;
    let session = database.session(SessionOptions::new("tables"));
    session.execute_unprepared(TABLES).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    work(&database, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_statement_that_already_exists_is_not_an_error() {
    let (server, pooler) = pgbouncer(PoolMode::Transaction, 1).await;
    let url = pooler.url(&server);
    // Another client of the same driver has left its first statement behind.
    let mut other = connect(&url).await;
    sqlx::query("SELECT $1::int")
        .bind(1)
        .execute(&mut other)
        .await
        .unwrap();
    let mut wrong = settings(&url, 1);
    wrong.pooler = Pooler::Session;
    let database = Database::new(wrong).unwrap();
    let reader = database.session(SessionOptions::new("read").autocommit_reads());
    assert_eq!(number(&reader, "SELECT 7").await.unwrap(), 7);
    assert_eq!(database.status().pooler, PoolerMode::Transaction);
}
