//! The edges of HTTP: compressed bodies, HEAD, 101, `accept-encoding`, HTTP/2, malformed requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, ServiceConfig, resource};
use berth_database::SessionOptions;
use berth_web::Error;
use berth_web::extract::Session;
use berth_web::routing::get;
use berth_web::testing::{Response, Store};
use futures_util::stream;
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::start;

/// Chunks of `/stream` that were read.
static READ: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_with_a_content_encoding_is_refused_before_it_is_decoded() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    for encoding in [
        "br", "gzip", "deflate", "zstd", "identity", "gzip, br", "nonsense",
    ] {
        for kind in ["application/json", "text/plain"] {
            let request = server.client().request(Method::POST, "/echo");
            let request = request
                .header("content-encoding", encoding)
                .header("content-type", kind)
                .body(vec![0_u8; 1400]);
            let problem = Response::to(request).await;
            problem.problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "about:blank");
        }
    }
    let request = server.client().request(Method::POST, "/echo").body("plain");
    assert_eq!(
        Response::to(request).await.assert_status(StatusCode::OK).text,
        "plain"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unacceptable_accept_encoding_gets_a_problem_with_its_id() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let request = server.client().without_decompression().request(Method::GET, "/");
    let response = Response::to(request.header("accept-encoding", "*;q=0")).await;
    response.problem(StatusCode::NOT_ACCEPTABLE, "about:blank");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_for_a_client_that_accepts_compression_is_a_readable_problem() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    for path in ["/nowhere", "/bare"] {
        let request = server.client().without_decompression().request(Method::GET, path);
        let response = Response::to(request.header("accept-encoding", "gzip, br")).await;
        assert!(!response.headers.contains_key("content-encoding"), "{path}");
        let status = response.status;
        response.problem(status, "about:blank");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_equals_get_without_the_body() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    for path in [
        "/",
        "/docs/",
        "/docs/swagger-ui.css",
        "/docs",
        "/api/openapi.json",
        "/problems/timeout",
        "/nowhere",
    ] {
        let no_redirect = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder()
            .redirect(no_redirect)
            .no_gzip()
            .no_brotli()
            .build()
            .unwrap();
        let ask = async |method: Method| {
            let sent = http
                .request(method, format!("http://{}{path}", server.address()))
                .send();
            let response = sent.await.unwrap();
            let header = |name: &str| response.headers().get(name).cloned();
            (
                response.status(),
                header("content-type"),
                header("content-length"),
                header("location"),
            )
        };
        assert_eq!(ask(Method::HEAD).await, ask(Method::GET).await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_reads_nothing_of_a_stream() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    for encoding in ["identity", "gzip"] {
        let request = server.client().request(Method::HEAD, "/stream");
        let response = Response::to(request.header("accept-encoding", encoding)).await;
        assert_eq!(response.assert_status(StatusCode::OK).text, "");
    }
    assert_eq!(READ.load(Ordering::Relaxed), 0);
    let body = server
        .client()
        .get("/stream")
        .await
        .assert_status(StatusCode::OK)
        .text;
    assert_eq!((body.len(), READ.load(Ordering::Relaxed)), (300, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_protocols_commits() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let request = "POST /switch HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    server.is_idle().await;
    let session = server
        .database()
        .session(SessionOptions::new("look").autocommit_reads());
    let count = Statement::from_string(session.get_database_backend(), "select count(*) from switched");
    let row = session.query_one_raw(count).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_not_spoken_and_refused_in_good_order() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    for garbage in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}garbage\r\n\r\n",
    ] {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(garbage.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The server closes, with a 400 or without an answer.
        let _ = socket.read_to_end(&mut answer).await;
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{answer:?}"
        );
    }
    server.client().get("/health/live").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_problems_type_is_an_address_that_explains_it() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let problem = server.client().post("/missing", Value::Null).await;
    let problem = problem.problem(StatusCode::NOT_FOUND, "/problems/not-found");
    let page = server
        .client()
        .get(problem["type"].as_str().unwrap())
        .await
        .assert_status(StatusCode::OK);
    assert!(page.text.contains("<h1>Not found</h1>"), "{}", page.text);
    server
        .client()
        .get("/problems/nothing")
        .await
        .problem(StatusCode::NOT_FOUND, "about:blank");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streaming_session_ends_the_requests_own_and_is_made_once() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let text = server
        .client()
        .get("/two-sessions")
        .await
        .assert_status(StatusCode::OK)
        .text;
    assert_eq!(text, "ended, refused");
}

fn routes(routes: &mut ServiceConfig) {
    routes
        .route("/echo", web::post().to(async |body: Bytes| body))
        .route("/bare", web::get().to(HttpResponse::BadRequest))
        .service(resource("/stream").route(get(stream)))
        .route("/switch", web::post().to(switch))
        .route("/two-sessions", web::get().to(two_sessions))
        .route("/missing", web::post().to(missing));
}

async fn stream() -> HttpResponse {
    let chunks = (0..100).map(|_| {
        READ.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>(Bytes::from_static(b"ab\n"))
    });
    HttpResponse::Ok()
        .content_type("text/plain")
        .streaming(stream::iter(chunks))
}

async fn switch(session: Session) -> Result<HttpResponse, Error> {
    for statement in [
        "create table switched (a integer)",
        "insert into switched values (1)",
    ] {
        let done = session.execute_unprepared(statement).await;
        done.map_err(berth_database::Error::from)?;
    }
    Ok(HttpResponse::SwitchingProtocols().finish())
}

async fn two_sessions(session: Session) -> Result<&'static str, Error> {
    let (again, own) = (session.clone(), session.clone());
    let body = session.into_streaming().await?;
    body.execute_unprepared("select 1")
        .await
        .map_err(berth_database::Error::from)?;
    let ended = own.execute_unprepared("select 1").await.is_err();
    Ok(match (ended, again.into_streaming().await.is_err()) {
        (true, true) => "ended, refused",
        _ => "two sessions",
    })
}

async fn missing() -> Result<HttpResponse, Error> {
    Err(berth_database::Error::NotFound.into())
}
