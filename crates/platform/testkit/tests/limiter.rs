//! The limiter in front of real PostgreSQL, with plain sqlx connections.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its own functions too"
)]

use std::time::{Duration, Instant};

use berth_testkit::{
    Certificate, Cluster, ClusterOptions, Cut, Limiter, LimiterOptions, Phase, PoolerKind, Refusal,
    TestDatabase, TlsSupport, eventually,
};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{Connection, Error, Executor, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn database() -> TestDatabase {
    Cluster::shared().await.database().await
}

async fn connect(url: &str) -> Result<PgConnection, Error> {
    PgConnection::connect(url).await
}

/// Returns the code and text that the server or the limiter answered.
#[track_caller]
fn answer<T>(result: Result<T, Error>) -> (String, String) {
    let error = result.err().unwrap();
    let error = error.into_database_error().unwrap().downcast::<PgDatabaseError>();
    (error.code().to_owned(), error.message().to_owned())
}

async fn works(connection: &mut PgConnection) -> bool {
    connection.fetch_one("select 1").await.is_ok()
}

#[tokio::test]
async fn as_many_clients_as_the_limit_says_are_admitted_and_counted() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(2));
    let mut one = connect(&limiter.url()).await.unwrap();
    let two = connect(&limiter.url()).await.unwrap();
    assert!(works(&mut one).await);
    assert_eq!(answer(connect(&limiter.url()).await).0, "XX000");

    let counts = limiter.counts();
    assert_eq!((counts.startups, counts.admitted, counts.refused), (3, 2, 1));
    assert_eq!(
        (counts.concurrent, counts.peak, database.backends().await),
        (2, 2, 2)
    );

    two.close().await.unwrap();
    eventually(async || limiter.counts().concurrent == 1).await;
    eventually(async || database.backends().await == 1).await;
    let _three = connect(&limiter.url()).await.unwrap();
    let counts = limiter.counts();
    assert_eq!(
        (counts.admitted, counts.closed, counts.concurrent, counts.peak),
        (3, 1, 2, 2)
    );
    assert!(counts.received > 0 && counts.sent > 0);

    limiter.set_limit(3);
    let _four = connect(&limiter.url()).await.unwrap();
    limiter.reset_counts();
    let counts = limiter.counts();
    assert_eq!((counts.admitted, counts.concurrent, counts.peak), (0, 3, 3));
}

#[tokio::test]
async fn each_kind_of_pooler_refuses_with_its_own_text() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(0));
    let words = [
        (
            PoolerKind::SupavisorSession,
            "XX000",
            "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
        ),
        (
            PoolerKind::SupavisorSessionCoded,
            "XX000",
            "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 0",
        ),
        (
            PoolerKind::SupavisorClients,
            "XX000",
            "(EMAXCONN) max client connections reached, limit: 0",
        ),
        (
            PoolerKind::SupavisorOld,
            "XX000",
            "Max client connections reached",
        ),
        (
            PoolerKind::SupavisorCheckout,
            "XX000",
            "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms in Session mode",
        ),
        (
            PoolerKind::SupavisorCheckoutOld,
            "XX000",
            "Unable to check out connection from the pool due to timeout",
        ),
        (
            PoolerKind::SupavisorBanned,
            "XX000",
            "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
        ),
        (
            PoolerKind::PgBouncerClients,
            "08P01",
            "no more connections allowed (max_client_conn)",
        ),
        (
            PoolerKind::PgBouncerDatabaseClients,
            "08P01",
            "client connections exceeded (max_db_client_connections)",
        ),
        (PoolerKind::Postgres, "53300", "sorry, too many clients already"),
        (
            PoolerKind::PostgresStarting,
            "57P03",
            "the database system is starting up",
        ),
        (
            PoolerKind::Other(
                Refusal::new("ABCDE", "something else"),
                Phase::AfterAuthentication,
            ),
            "ABCDE",
            "something else",
        ),
    ];
    for (pooler_kind, code, message) in words {
        limiter.set_pooler_kind(pooler_kind.clone());
        for phase in [
            None,
            Some(Phase::BeforeAuthentication),
            Some(Phase::AfterAuthentication),
        ] {
            limiter.set_phase(phase);
            let (seen_code, seen_message) = answer(connect(&limiter.url()).await);
            assert_eq!(
                (seen_code.as_str(), seen_message.as_str()),
                (code, message),
                "{pooler_kind:?} {phase:?}"
            );
        }
    }
    assert_eq!(limiter.counts().refused, 36);
    assert_eq!(limiter.counts().peak, 0);
}

#[tokio::test]
async fn a_client_that_logs_in_waits_for_a_slot_at_its_first_statement() {
    let wait = PoolerKind::PgBouncerWait(Duration::from_secs(30));
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(1).pooler_kind(wait));
    let first = connect(&limiter.url()).await.unwrap();
    let mut second = connect(&limiter.url()).await.unwrap();
    assert_eq!(limiter.counts().concurrent, 1);

    let statement = tokio::spawn(async move { works(&mut second).await });
    eventually(async || limiter.counts().waiting == 1).await;
    first.close().await.unwrap();
    assert!(statement.await.unwrap());

    let _third = connect(&limiter.url()).await.unwrap();
    let mut fourth = connect(&limiter.url()).await.unwrap();
    limiter.set_pooler_kind(PoolerKind::PgBouncerWait(Duration::from_millis(50)));
    drop(connect(&limiter.url()).await.unwrap());
    let mut fifth = connect(&limiter.url()).await.unwrap();
    let error = fifth.execute("select 1").await;
    assert_eq!(
        answer(error),
        ("08P01".to_owned(), "query_wait_timeout".to_owned())
    );
    drop(_third);
    assert!(works(&mut fourth).await);
    assert_eq!(limiter.counts().peak, 1);
}

#[tokio::test]
async fn a_slot_stays_occupied_for_the_release_delay() {
    let delay = Duration::from_millis(300);
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(1).release_delay(delay));
    let one = connect(&limiter.url()).await.unwrap();
    one.close().await.unwrap();
    let closed = Instant::now();
    eventually(async || limiter.counts().closed == 1).await;
    assert_eq!(answer(connect(&limiter.url()).await).0, "XX000");
    eventually(async || limiter.counts().concurrent == 0).await;
    assert!(closed.elapsed() >= delay);
    connect(&limiter.url()).await.unwrap();
}

#[tokio::test]
#[ignore = "counts are exact on a quiet machine only; `make verify` runs it"]
async fn round_trips_are_counted_by_what_clients_wait_for() {
    let database = database().await;
    let options = LimiterOptions::limit(1).latency(Duration::from_millis(100));
    let limiter = Limiter::start(&database, options);
    // The TCP handshake, three of SCRAM, and with TLS a question and a handshake.
    for (url, login) in [(limiter.url(), 4), (limiter.secure_url(), 6)] {
        limiter.reset_counts();
        let mut connection = connect(&url).await.unwrap();
        assert_eq!(limiter.counts().round_trips, login);
        connection
            .execute("select repeat('x', 1000000); select 2")
            .await
            .unwrap();
        assert!(works(&mut connection).await);
        assert_eq!(limiter.counts().round_trips, login + 2);
        // A prepared statement is prepared and executed, then only executed.
        for more in [4, 5] {
            connection.fetch_one(sqlx::query("select 3")).await.unwrap();
            assert_eq!(limiter.counts().round_trips, login + more);
        }
        connection.close().await.unwrap();
        eventually(async || limiter.counts().concurrent == 0).await;
    }
}

#[tokio::test]
async fn latency_is_paid_each_way_and_shared_by_what_is_sent_together() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(1));
    let mut connection = connect(&limiter.url()).await.unwrap();
    // So long a trip that a busy machine's own delays are small beside a second one.
    let each_way = Duration::from_secs(1);
    limiter.set_latency(each_way);
    let start = Instant::now();
    // One Query message is one round trip, however long it or its answer is.
    connection
        .execute("select repeat('x', 1000000); select 2; select 3")
        .await
        .unwrap();
    let taken = start.elapsed();
    assert!(taken >= 2 * each_way, "{taken:?}");
    // The connection is young: its handshake counts as one round trip more. A second one would make it six.
    assert!(taken < 5 * each_way, "{taken:?}");
    limiter.set_latency(Duration::ZERO);
    let start = Instant::now();
    assert!(works(&mut connection).await);
    assert!(start.elapsed() < 2 * each_way, "the latency stayed");
}

#[tokio::test]
async fn tls_ends_at_the_limiter_whose_certificate_can_be_trusted_or_not() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(2));
    let mut connection = connect(&limiter.secure_url()).await.unwrap();
    connection.execute("select repeat('x', 1000000)").await.unwrap();
    limiter.set_tls(TlsSupport::Refused);
    assert!(matches!(connect(&limiter.secure_url()).await, Err(Error::Tls(_))));
    limiter.set_tls(TlsSupport::Offered);
    eventually(async || limiter.counts().open == 1).await;
    assert_eq!(limiter.cut_all(Cut::Reset), 1);
    assert!(!works(&mut connection).await);

    let stranger = Limiter::start(
        &database,
        LimiterOptions::limit(1).certificate(Certificate::Untrusted),
    );
    assert!(matches!(
        connect(&stranger.secure_url()).await,
        Err(Error::Tls(_) | Error::Io(_))
    ));
    assert_eq!(stranger.counts().startups, 0);
}

#[tokio::test]
async fn new_connections_wait_in_a_black_hole_until_it_is_healed() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(2));
    let mut old = connect(&limiter.url()).await.unwrap();
    limiter.black_hole_new();
    assert!(works(&mut old).await, "what is there works on");
    let url = limiter.url();
    let new = tokio::spawn(async move { connect(&url).await });
    eventually(async || limiter.counts().connections == 2).await;
    let abandoned = tokio::time::timeout(Duration::from_millis(100), connect(&limiter.url())).await;
    assert!(abandoned.is_err());
    eventually(async || limiter.counts().open == 2).await;
    assert_eq!(limiter.counts().startups, 1);
    limiter.heal();
    assert!(works(&mut new.await.unwrap().unwrap()).await);
    assert_eq!((limiter.counts().startups, limiter.counts().admitted), (2, 2));
}

#[tokio::test]
async fn existing_connections_fall_silent_without_closing() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(2));
    let mut one = connect(&limiter.url()).await.unwrap();
    let two = connect(&limiter.url()).await.unwrap();
    assert_eq!(limiter.black_hole_existing(), 2);
    let silent = tokio::time::timeout(Duration::from_millis(200), works(&mut one)).await;
    assert!(silent.is_err());
    assert_eq!(limiter.counts().concurrent, 2);
    drop(two);
    eventually(async || limiter.counts().concurrent == 1).await;
}

#[tokio::test]
async fn bytes_sent_into_a_black_hole_arrive_when_it_is_healed() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(1));
    let mut connection = connect(&limiter.url()).await.unwrap();
    limiter.black_hole_existing();
    let statement = tokio::spawn(async move { works(&mut connection).await });
    let limiter = &limiter;
    let before = limiter.counts().received;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(limiter.counts().received, before);
    assert!(!statement.is_finished());
    limiter.heal();
    assert!(statement.await.unwrap());
}

#[tokio::test]
async fn only_idle_connections_fall_silent() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(2));
    let mut idle = connect(&limiter.url()).await.unwrap();
    let mut busy = connect(&limiter.url()).await.unwrap();
    let query = tokio::spawn(async move { busy.execute("select pg_sleep(0.5)").await });
    eventually(async || {
        database
            .count_backends("state = 'active' and query like '%pg_sleep%'")
            .await
            == 1
    })
    .await;
    assert_eq!(limiter.black_hole_idle(), 1);
    assert!(query.await.unwrap().is_ok());
    assert!(
        tokio::time::timeout(Duration::from_millis(100), works(&mut idle))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn all_connections_are_cut_and_their_servers_go() {
    let database = database().await;
    for (how, kind) in [
        (Cut::Close, None),
        (Cut::Reset, Some(std::io::ErrorKind::ConnectionReset)),
    ] {
        let limiter = Limiter::start(&database, LimiterOptions::limit(2));
        let mut connection = connect(&limiter.url()).await.unwrap();
        assert_eq!(limiter.cut_all(how), 1);
        eventually(async || limiter.counts().concurrent == 0).await;
        let error = connection.execute("select 1").await.unwrap_err();
        let Error::Io(error) = error else {
            panic!("{error:?}")
        };
        assert!(kind.is_none_or(|kind| error.kind() == kind), "{how:?}: {error:?}");
        eventually(async || database.backends().await == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_a_query_frees_its_slot_at_once() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(1));
    let mut connection = connect(&limiter.url()).await.unwrap();
    let query = tokio::time::timeout(
        Duration::from_millis(50),
        connection.execute("select pg_sleep(20)"),
    )
    .await;
    assert!(query.is_err());
    drop(connection);
    eventually(async || limiter.counts().concurrent == 0).await;
    connect(&limiter.url()).await.unwrap();
}

#[tokio::test]
async fn the_system_refuses_connections_while_it_does_not_listen() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(1));
    let mut connection = connect(&limiter.url()).await.unwrap();
    limiter.stop_listening().await;
    let error = connect(&limiter.url()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused),
        "{error:?}"
    );
    assert!(works(&mut connection).await);
    limiter.resume_listening().await;
    assert_eq!(answer(connect(&limiter.url()).await).0, "XX000");
}

#[tokio::test]
async fn the_servers_own_errors_pass_through() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(2));
    let url = limiter.url().replace(database.password(), "wrong");
    assert_eq!(answer(connect(&url).await).0, "28P01");
    let mut connection = connect(&limiter.url()).await.unwrap();
    assert_eq!(database.terminate_all().await, 1);
    assert_eq!(answer(connection.execute("select 1").await).0, "57P01");
    eventually(async || limiter.counts().concurrent == 0).await;
}

#[tokio::test]
async fn large_rows_and_parameters_pass_unchanged_in_small_pieces_too() {
    let database = database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(1));
    let options: PgConnectOptions = limiter.url().parse().unwrap();
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let text: String = (0..300_000)
        .map(|number: u32| char::from(b'a' + (number % 26) as u8))
        .collect();
    for latency in [Duration::ZERO, Duration::from_millis(2)] {
        limiter.set_latency(latency);
        let query = sqlx::query("select $1::text || n from generate_series(1, 10) n").bind(&text);
        let rows = query.fetch_all(&mut connection).await.unwrap();
        for (row, number) in rows.iter().zip(1..) {
            assert!(row.get::<String, _>(0) == format!("{text}{number}"));
        }
    }
}

#[tokio::test]
async fn a_cancel_request_reaches_the_server_and_takes_no_place() {
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let database = cluster.database().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(1));
    let mut connection = connect(&limiter.url()).await.unwrap();
    let row = connection.fetch_one("select pg_backend_pid()").await.unwrap();
    let process: i32 = row.get(0);

    // The key is not to be had from sqlx; what the server says of a wrong one shows that it got there.
    let packet = [16, 80_877_102, process, 0].map(i32::to_be_bytes).concat();
    let mut canceller = TcpStream::connect(("127.0.0.1", limiter.port())).await.unwrap();
    canceller.write_all(&packet).await.unwrap();
    assert_eq!(
        canceller.read(&mut [0]).await.unwrap(),
        0,
        "the server says nothing and closes"
    );
    let complaint = format!("wrong key in cancel request for process {process}");
    eventually(async || cluster.log().contains(&complaint)).await;
    let counts = limiter.counts();
    assert_eq!((counts.cancels, counts.startups, counts.peak), (1, 1, 1));
}
