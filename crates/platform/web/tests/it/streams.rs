//! Bodies that are streamed from a session of their own, and clients that leave in the middle of one.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, ServiceConfig};
use berth_testkit::{BackendSampler, Limiter, LimiterOptions, TestDatabase, eventually};
use berth_web::Error;
use berth_web::extract::Session;
use berth_web::testing::TestServer;
use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, StreamTrait};

use crate::service;
use crate::site::{migrated, settings};

const SHARE: u32 = 5;
/// Megabytes of rows: more than the buffers on the way hold, so that a client that stops reading stops the statement.
const ROWS: &str = "select repeat('x', 10000) as value from generate_series(1, 2000)";
/// A few rows now, more than the server buffers, and the next one after a minute.
const SLOW: &str = "select repeat('x', 10000) as value, pg_sleep(case n when 5 then 60 else 0 end) from generate_series(1, 5) n";
/// A page of an export that reads its rows in pages.
const PAGE: &str = "select 'page' as value from pg_sleep(0.03)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_in_the_middle_of_a_body_do_not_multiply_backends() {
    let database = migrated().await;
    leave_in_the_middle(&database, &database.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_in_the_middle_of_a_body_behind_a_limiter_with_tls_do_not_multiply_backends() {
    let database = migrated().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(15));
    leave_in_the_middle(&database, &limiter.secure_url()).await;
    assert!(limiter.counts().peak <= SHARE as usize, "{:?}", limiter.counts());
}

/// Lets clients read the begin of a body and leave, while the backends are counted; then the share is whole.
async fn leave_in_the_middle(database: &TestDatabase, url: &str) {
    let server = start(url).await;
    let sampler = BackendSampler::start(database).await;
    for path in ["/rows", "/slow", "/pages"] {
        let clients = (0..20).map(async |client| {
            for round in 0..3 {
                let body = begin(&server, path).await;
                tokio::time::sleep(Duration::from_millis((client * 7 + round * 13) % 40)).await;
                drop(body);
            }
        });
        join_all(clients).await;
        assert!(
            sampler.most() <= i64::from(SHARE),
            "{path}: {} backends at once",
            sampler.most()
        );
        server.is_idle().await;
        eventually(async || database.count_backends("state <> 'idle'").await == 0).await;
    }
    assert!(sampler.most() > 1, "the bodies kept backends busy");
    let answer = server
        .client()
        .without_decompression()
        .get("/rows")
        .await
        .assert_status(StatusCode::OK);
    assert_eq!(answer.text.len(), 20_000_000, "a whole body");
}

/// Requests a body and reads its first bytes.
async fn begin(server: &TestServer, path: &str) -> reqwest::Response {
    let request = server.client().without_decompression().request(Method::GET, path);
    let mut answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let first = answer.chunk().await.expect("a body");
    assert!(first.is_some_and(|bytes| !bytes.is_empty()));
    answer
}

async fn start(url: &str) -> TestServer {
    let mut settings = settings(url);
    settings.database.limit = 15;
    settings.database.pool_size = SHARE;
    settings.database.max_overflow = 0;
    service::serve(settings, (), routes).await
}

fn routes(table: &mut ServiceConfig) {
    table
        .route(
            "/rows",
            web::get().to(async |session: Session| rows(session, ROWS).await),
        )
        .route(
            "/slow",
            web::get().to(async |session: Session| rows(session, SLOW).await),
        )
        .route("/pages", web::get().to(pages));
}

/// The rows of one statement while they arrive.
async fn rows(session: Session, sql: &'static str) -> Result<HttpResponse, Error> {
    let body = session.into_streaming().await?;
    Ok(HttpResponse::Ok().streaming(
        async_stream::try_stream! {
            let statement = Statement::from_string(DbBackend::Postgres, sql);
            let mut rows = body.stream_raw(statement).await.map_err(failed)?;
            while let Some(row) = rows.next().await {
                let value: String = row.and_then(|row| row.try_get("", "value")).map_err(failed)?;
                yield Bytes::from(value);
            }
        }
        .map(|part: Result<Bytes, actix_web::Error>| part),
    ))
}

/// Pages that are read one by one, each by a statement of its own.
async fn pages(session: Session) -> Result<HttpResponse, Error> {
    let body = session.into_streaming().await?;
    Ok(HttpResponse::Ok().streaming(async_stream::try_stream! {
        for _ in 0..1000 {
            let statement = Statement::from_string(DbBackend::Postgres, PAGE);
            let row = body.query_one_raw(statement).await.map_err(failed)?;
            let value: Option<String> = row.map(|row| row.try_get("", "value")).transpose().map_err(failed)?;
            yield Bytes::from(value.unwrap_or_default());
        }
    }
    .map(|part: Result<Bytes, actix_web::Error>| part)))
}

fn failed(error: DbErr) -> actix_web::Error {
    Error::from(berth_database::Error::from(error)).into()
}
