//! Faults of the field over HTTP: clients that hang up, state that a request leaves behind, statements that take
//! their backend down, servers that take no writes, and stale plans.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use berth_testkit::{
    Action, BackendSampler, Cluster, Limiter, LimiterOptions, PgBouncer, PgBouncerOptions, Refusal,
    TestDatabase, Times, Trigger, eventually,
};
use berth_web::extract::Session;
use berth_web::testing::{Response, TestServer};
use berth_web::{Error, Settings};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait, Statement};
use sqlx::Executor;

use crate::service;
use crate::site::{migrated, settings};

const SHARE: u32 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_during_a_locked_read_do_not_multiply_backends() {
    let database = prepared().await;
    hang_up(&database, &database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_behind_a_limiter_with_tls_do_not_multiply_backends() {
    let database = prepared().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(15));
    hang_up(&database, &limiter.secure_url()).await;
    assert!(limiter.counts().peak <= SHARE as usize, "{:?}", limiter.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_behind_pgbouncer_do_not_multiply_backends() {
    let database = prepared().await;
    let pgbouncer =
        PgBouncer::start(Cluster::shared().await, PgBouncerOptions::default().pool_size(15)).await;
    hang_up(&database, &pgbouncer.url(&database)).await;
}

/// Lets 40 clients hang up after 30 ms during a locked read, then during a locked write, while the backends are
/// counted; then the next request is served within a second.
async fn hang_up(database: &TestDatabase, url: &str) {
    let server = start(url, |_| {}).await;
    let sampler = BackendSampler::start(database).await;
    let mut admin = database.admin().await;
    for method in [Method::GET, Method::POST] {
        admin
            .execute("begin; lock table locked in access exclusive mode")
            .await
            .unwrap();
        let clients = (0..40).map(async |_| {
            for _ in 0..10 {
                let request = server.client().request(method.clone(), "/locked").send();
                let _ = tokio::time::timeout(Duration::from_millis(30), request).await;
            }
        });
        join_all(clients).await;
        // The lock stays: the backends of those that left have to be ended all the same.
        let begun = Instant::now();
        ok(&server, "/one").await;
        let waited = begun.elapsed();
        assert!(
            waited < Duration::from_secs(1),
            "{method}: the next request waited {waited:?}"
        );
        admin.execute("rollback").await.unwrap();
    }
    assert!(
        sampler.most() <= i64::from(SHARE),
        "{} backends at once",
        sampler.most()
    );
    assert!(sampler.most() > 1, "the clients kept backends busy");
    server.is_idle().await;
    eventually(async || database.backends().await <= i64::from(SHARE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_past_their_deadline_do_not_multiply_backends() {
    let database = prepared().await;
    let server = start(&database.url(), |settings| {
        settings.server.request_timeout = Duration::from_millis(100);
    })
    .await;
    let sampler = BackendSampler::start(&database).await;
    let mut admin = database.admin().await;
    admin
        .execute("begin; lock table locked in access exclusive mode")
        .await
        .unwrap();
    for _ in 0..5 {
        let answers = join_all((0..20).map(async |_| server.client().get("/locked").await.status)).await;
        assert!(
            answers
                .iter()
                .all(|status| *status == StatusCode::SERVICE_UNAVAILABLE),
            "{answers:?}"
        );
    }
    assert!(
        sampler.most() <= i64::from(SHARE),
        "{} backends at once",
        sampler.most()
    );
    admin.execute("rollback").await.unwrap();
    eventually(async || server.client().get("/locked").await.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_request_do_not_reach_the_next() {
    let database = prepared().await;
    let server = start(&database.url(), |settings| settings.database.pool_size = 1).await;
    let mut admin = database.admin().await;
    admin
        .execute(
            "create function sets_tenant() returns trigger language plpgsql as
                 $$ begin perform set_config('app.tenant', 'alice', false); return new; end $$;
             create trigger sets_tenant before insert on locked for each row execute function sets_tenant();
             create function plain() returns void language plpgsql as
                 $$ begin perform set_config('app.tenant', 'alice', false); end $$;
             create procedure called() language plpgsql as
                 $$ begin perform set_config('app.tenant', 'alice', false); end $$",
        )
        .await
        .unwrap();
    let leftovers = [
        "insert into locked values (1)",
        "do $$ begin perform set_config('app.tenant', 'alice', false); end $$",
        "call called()",
        "select plain()",
        "select \"set_config\"('app.tenant', 'alice', false)",
        "create table pg_temp.locked (id int); insert into pg_temp.locked values (7)",
        "do $$ begin create temporary table locked (id int); insert into locked values (7); end $$",
        "select \"pg_advisory_lock\"(42)",
        "do $$ begin perform pg_advisory_lock(42); end $$",
        "set session characteristics as transaction read only",
    ];
    for statement in leftovers {
        sql(&server, statement).await;
        let tenant = ok(&server, "/tenant").await;
        assert_eq!(tenant, "", "{statement}: the next request sees the tenant");
        let count = "select count(*) from locked where id = 7";
        assert_eq!(
            sql(&server, count).await,
            "0",
            "{statement}: a temporary table shadows"
        );
        let locks =
            "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database
                     where datname = current_database())";
        assert_eq!(sql(&server, locks).await, "0", "{statement}: a lock is held");
        sql(&server, "insert into plan values (1)").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_its_backend_down_is_sent_again_at_most_once() {
    let database = prepared().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(15));
    let server = start(&limiter.url(), |_| {}).await;
    database
        .admin()
        .await
        .execute("grant pg_signal_backend to app")
        .await
        .unwrap();
    for method in [Method::GET, Method::POST] {
        ok(&server, "/one").await;
        let sent = limiter.arm_times(
            Trigger::Statement("pg_terminate_backend"),
            Action::Delay(Duration::ZERO),
            Times::Always,
        );
        let answer = Response::to(server.client().request(method.clone(), "/terminate")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{method}");
        assert!(
            (1..=2).contains(&sent.firings()),
            "{method}: sent {} times",
            sent.firings()
        );
        limiter.disarm();
        eventually(async || server.client().get("/one").await.status == StatusCode::OK).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_server_takes_no_writes_is_replaced() {
    let database = prepared().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(15));
    let server = start(&limiter.url(), |_| {}).await;
    ok(&server, "/one").await;
    let read_only = Refusal::new("25006", "cannot execute INSERT in a read-only transaction");
    limiter.arm(Trigger::Statement("insert into locked"), Action::Error(read_only));
    let before = limiter.counts();
    let refused = Response::to(server.client().request(Method::POST, "/locked")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    eventually(async || limiter.counts().closed > before.closed).await;
    let next = Response::to(server.client().request(Method::POST, "/locked")).await;
    assert_eq!(next.status, StatusCode::OK);
    assert!(
        limiter.counts().admitted > before.admitted,
        "it has a connection of its own"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_plan_of_a_server_in_another_language_is_not_an_error() {
    let database = prepared().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(15));
    let server = start(&limiter.url(), |_| {}).await;
    limiter.translate_errors(
        "cached plan must not change result type",
        "der zwischengespeicherte Plan darf den Ergebnistyp nicht ändern",
    );
    for path in ["/plan", "/plan-after-another"] {
        for _ in 0..8 {
            ok(&server, path).await;
        }
        let change = format!(
            "alter table plan add column {} text",
            path.trim_matches('/').replace('-', "_")
        );
        database
            .admin()
            .await
            .execute(sqlx::AssertSqlSafe(change))
            .await
            .unwrap();
        for _ in 0..8 {
            ok(&server, path).await;
        }
    }
}

fn routes(table: &mut ServiceConfig) {
    table
        .route(
            "/one",
            web::get().to(async |session: Session| value(&session, "select 1").await),
        )
        .route(
            "/locked",
            web::get().to(async |session: Session| value(&session, "select count(*) from locked").await),
        )
        .route(
            "/locked",
            web::post().to(async |session: Session| run(&session, "insert into locked values (1)").await),
        )
        .route(
            "/tenant",
            web::get().to(async |session: Session| value(&session, TENANT).await),
        )
        .route(
            "/terminate",
            web::get().to(async |session: Session| value(&session, TERMINATE).await),
        )
        .route(
            "/terminate",
            web::post().to(async |session: Session| value(&session, TERMINATE).await),
        )
        .route(
            "/plan",
            web::get().to(async |session: Session| value(&session, PLAN).await),
        )
        .route("/plan-after-another", web::get().to(plan_after_another))
        .route("/sql", web::post().to(any));
}

const TENANT: &str = "select coalesce(current_setting('app.tenant', true), '')";
const TERMINATE: &str = "select pg_terminate_backend(pg_backend_pid())";
const PLAN: &str = "select * from plan";

type Answer = Result<HttpResponse, Error>;

async fn plan_after_another(session: Session) -> Answer {
    value(&session, "select 1").await?;
    value(&session, PLAN).await
}

/// Executes the statements of the body; answers with the value of a SELECT.
async fn any(session: Session, body: String) -> Answer {
    if body.starts_with("select count") {
        value(&session, &body).await
    } else {
        run(&session, &body).await
    }
}

async fn run(session: &Session, statement: &str) -> Answer {
    session
        .execute_unprepared(statement)
        .await
        .map_err(berth_database::Error::from)?;
    Ok(HttpResponse::Ok().finish())
}

/// Answers with the first column of the first row as text.
async fn value(session: &Session, statement: &str) -> Answer {
    let statement = Statement::from_string(session.get_database_backend(), statement);
    let row = session
        .query_one_raw(statement)
        .await
        .map_err(berth_database::Error::from)?;
    let text = row.and_then(|row| {
        let number = row.try_get_by_index::<i64>(0).map(|number| number.to_string());
        number.or_else(|_| row.try_get_by_index::<String>(0)).ok()
    });
    Ok(HttpResponse::Ok().body(text.unwrap_or_default()))
}

/// Requests a path and returns the body of its 200.
async fn ok(server: &TestServer, path: &str) -> String {
    server.client().get(path).await.assert_status(StatusCode::OK).text
}

/// Executes statements in one request and returns the body of its 200.
async fn sql(server: &TestServer, statement: &str) -> String {
    let request = server.client().request(Method::POST, "/sql");
    let request = request
        .header("content-type", "text/plain")
        .body(statement.to_owned());
    Response::to(request).await.assert_status(StatusCode::OK).text
}

/// Makes a database with the tables `locked` and `plan`.
async fn prepared() -> TestDatabase {
    let database = migrated().await;
    let tables = "create table locked (id int); create table plan (id int); grant all on locked, plan to app";
    database.admin().await.execute(tables).await.unwrap();
    database
}

async fn start(url: &str, adjust: impl FnOnce(&mut Settings)) -> TestServer {
    let mut settings = settings(url);
    settings.database.limit = 15;
    settings.database.pool_size = SHARE;
    settings.database.max_overflow = 0;
    adjust(&mut settings);
    service::serve(settings, (), routes).await
}
