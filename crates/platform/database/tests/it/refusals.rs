//! Invariant 2: a refusal is back-pressure. Whatever its words and its moment, callers only wait.

use std::time::Duration;

use berth_database::{Database, Error, Outcome, Reason, SessionOptions};
use berth_testkit::{
    Action, Certificate, Cluster, Limiter, LimiterOptions, Phase, PoolerKind, Refusal, Times, Trigger,
    eventually,
};
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;

use crate::fixture::{number, settings, test_pool, test_pool_with};

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_every_flavour_and_phase_are_waited_out() {
    let wait = PoolerKind::PgBouncerWait(Duration::from_millis(200));
    for pooler_kind in [
        PoolerKind::SupavisorSession,
        PoolerKind::SupavisorSessionCoded,
        PoolerKind::SupavisorClients,
        PoolerKind::SupavisorOld,
        PoolerKind::SupavisorCheckout,
        PoolerKind::PgBouncerClients,
        PoolerKind::PgBouncerDatabaseClients,
        PoolerKind::Postgres,
        wait,
    ] {
        for phase in [Phase::BeforeAuthentication, Phase::AfterAuthentication] {
            let fixture = test_pool(3).await;
            fixture.limiter.set_pooler_kind(pooler_kind.clone());
            if !matches!(pooler_kind, PoolerKind::PgBouncerWait(_)) {
                fixture.limiter.set_phase(Some(phase));
            }
            // The pooler admits fewer than the share says: two of three openings are refused.
            fixture.limiter.set_limit(1);
            let callers = (0..12).map(|_| async {
                let session = fixture.session("held");
                number(&session, "SELECT 1").await.expect("waited out");
                session.end(Outcome::Commit).await.unwrap();
            });
            join_all(callers).await;
            fixture.limiter.set_limit(3);
            fixture.assert_whole().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_below_the_share_causes_no_burst_of_attempts() {
    let fixture = test_pool(5).await;
    fixture.limiter.set_limit(2);
    let holders: Vec<_> = (0..2).map(|_| fixture.session("held")).collect();
    for holder in &holders {
        number(holder, "SELECT 1").await.unwrap();
    }
    fixture.limiter.reset_counts();
    let waiting = join_all((0..50).map(|_| async { number(&fixture.reader(), "SELECT 1").await }));
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for holder in holders {
            holder.end(Outcome::Rollback).await.unwrap();
        }
    };
    let (answers, ()) = tokio::join!(waiting, release);
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    let refused = fixture.limiter.counts().refused;
    assert!(
        (1..=30).contains(&refused),
        "attempts are made alone and spaced: {refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_frees_slots_late_is_waited_for() {
    let fixture = test_pool_with(2, |settings| settings.strategy = berth_database::Strategy::Fresh).await;
    fixture.limiter.set_release_delay(Duration::from_millis(20));
    join_all((0..10).map(|_| async {
        for _ in 0..5 {
            number(&fixture.reader(), "SELECT 1").await.expect("waited out");
        }
    }))
    .await;
    assert!(fixture.limiter.counts().peak <= 2);
    fixture.limiter.set_release_delay(Duration::ZERO);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_fails_at_once_and_is_retried_a_few_times_only() {
    let server = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(15));
    let url = limiter.url().replace(server.password(), "wrong");
    let database = Database::new(settings(&url, 15)).unwrap();
    for _ in 0..20 {
        let callers = (0..20).map(|_| async {
            let session = database.session(berth_database::SessionOptions::new("read").autocommit_reads());
            number(&session, "SELECT 1").await.unwrap_err()
        });
        for error in join_all(callers).await {
            assert!(
                matches!(
                    error,
                    Error::Permanent {
                        reason: Reason::Credentials
                    }
                ),
                "{error:?}"
            );
        }
    }
    assert!(limiter.counts().startups <= 2, "{:?}", limiter.counts());
    let error = database.ready(Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, Error::Permanent { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_to_connect_has_its_reason() {
    let server = Cluster::shared().await.database().await;
    let cluster = Cluster::shared().await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(5));
    let strange = Limiter::start(
        &server,
        LimiterOptions::limit(5).certificate(Certificate::Untrusted),
    );
    let closed = berth_testkit::free_port();
    let secure = |limiter: &Limiter| limiter.secure_url();
    limiter.set_tls(berth_testkit::TlsSupport::Refused);
    for (url, root, reason) in [
        (
            server.url().replace(server.name(), "nowhere"),
            None,
            Reason::UnknownDatabase,
        ),
        (server.url_at(closed), None, Reason::NotListening),
        (
            "postgres://me:secret@no-such-host.invalid/db?sslmode=disable".to_owned(),
            None,
            Reason::UnknownHost,
        ),
        (secure(&limiter), None, Reason::Tls),
        (secure(&strange), Some(cluster.authority()), Reason::Tls),
    ] {
        let mut settings = settings(&url, 2);
        settings.unreachable_grace = Duration::from_millis(100);
        settings.root_certificate = root;
        let database = Database::new(settings).unwrap();
        let error = database.ready(Duration::from_millis(500)).await.unwrap_err();
        let found = match error {
            Error::Permanent { reason } | Error::Unreachable { reason } => reason,
            other => panic!("{url}: {other:?}"),
        };
        assert_eq!(found, reason, "{url}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_trusted_certificate_works() {
    let server = Cluster::shared().await.database().await;
    let limiter = Limiter::start(
        &server,
        LimiterOptions::limit(2).certificate(Certificate::Trusted),
    );
    let mut settings = settings(&limiter.secure_url(), 2);
    settings.root_certificate = Some(Cluster::shared().await.authority());
    let database = Database::new(settings).unwrap();
    database.ready(Duration::from_secs(10)).await.unwrap();
    database.close(Duration::from_secs(5)).await.unwrap();
    eventually(async || limiter.counts().concurrent == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_errors_of_a_pooler_fail_no_request() {
    for (code, text) in [
        ("XX000", "(EDBHANDLEREXITED) DbHandler exited"),
        ("XX000", "(EPROXYSTARTFAILED) proxy start failed"),
        ("XX000", "endpoint is in transition, please retry"),
        ("53100", "could not extend file: No space left on device"),
        ("53200", "out of memory"),
        ("53400", "configuration limit exceeded: connection rate"),
        ("ZZ999", "a text that is not on the list"),
    ] {
        let server = Cluster::shared().await.database().await;
        let limiter = Limiter::start(&server, LimiterOptions::limit(3));
        limiter.set_pooler_kind(PoolerKind::Other(
            Refusal::new(code, text),
            Phase::BeforeAuthentication,
        ));
        limiter.set_limit(0);
        let database = Database::new(settings(&limiter.url(), 3)).unwrap();
        let session = database.session(SessionOptions::new("written"));
        let written = number(&session, "SELECT 1");
        let recovers = async {
            eventually(async || limiter.counts().refused > 0).await;
            limiter.set_limit(3);
        };
        let (written, ()) = tokio::join!(written, recovers);
        written.unwrap_or_else(|error| panic!("{code} {text}: {error}"));
        session.end(Outcome::Commit).await.unwrap();
        database.close(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_with_a_code_of_a_lost_connection_is_the_statements_own() {
    let pool = test_pool(2).await;
    for code in ["08006", "08003", "57P01", "57P03", "57P05", "25P03"] {
        let session = pool.session("raises");
        let sql = format!("DO $$ BEGIN RAISE EXCEPTION 'elsewhere' USING ERRCODE = '{code}'; END $$");
        let before = pool.limiter.counts().startups;
        let error = session.execute_unprepared(&sql).await.unwrap_err();
        let error = Error::from(error);
        assert!(matches!(error, Error::Statement(_)), "{code}: {error:?}");
        session.end(Outcome::Rollback).await.unwrap();
        number(&pool.reader(), "SELECT 1").await.unwrap();
        let opened = pool.limiter.counts().startups - before;
        assert!(opened <= 1, "{code}: {opened} connections were opened");
    }
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ended_for_idling_leaves_its_neighbours_alone() {
    let pool = test_pool(2).await;
    let (idles, neighbour) = (pool.session("idles"), pool.session("neighbour"));
    let pid = number(&neighbour, "SELECT pg_backend_pid()").await.unwrap();
    idles
        .execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 100")
        .await
        .unwrap();
    neighbour.end(Outcome::Commit).await.unwrap();
    eventually(async || pool.limiter.counts().concurrent == 1).await;
    let error = idles.end(Outcome::Commit).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost), "{error:?}");
    let after = number(&pool.reader(), "SELECT pg_backend_pid()").await.unwrap();
    assert_eq!(after, pid, "the idle connection is kept");
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_a_setting_of_the_set_up_is_used_without_it() {
    for (words, code) in [
        ("client_connection_check_interval", "22023"),
        ("client_connection_check_interval", "42501"),
    ] {
        let server = Cluster::shared().await.database().await;
        let limiter = Limiter::start(&server, LimiterOptions::limit(3));
        let refusal = Refusal::new(code, "not on this server");
        limiter.arm_times(Trigger::Statement(words), Action::Error(refusal), Times::Always);
        let database = Database::new(settings(&limiter.url(), 3)).unwrap();
        database.ready(Duration::from_secs(5)).await.unwrap();
        for _ in 0..3 {
            let session = database.session(SessionOptions::new("works"));
            session
                .execute_unprepared("SET app.tenant = 'alice'")
                .await
                .unwrap();
            session.end(Outcome::Commit).await.unwrap();
        }
        assert_eq!(limiter.counts().startups, 1, "{code}: the connection is kept");
        database.close(Duration::from_secs(5)).await.unwrap();
    }
}
