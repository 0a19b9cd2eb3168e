//! What reaches the service from outside is bounded: the head, the body, the connections, the requests of one client.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use berth_web::Error;
use berth_web::extract::{Json, Session};
use berth_web::testing::{Client, Response, Store, TestServer};
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::service::start;

/// Lets go of the requests that `/wait` keeps.
static LET_GO: Semaphore = Semaphore::const_new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused_with_its_limit() {
    let small = |settings: &mut berth_web::Settings| {
        settings.server.url_limit = 300;
        settings.server.header_limit = 2000;
    };
    let server = start(Store::sqlite(), small, routes).await;
    let fits = server
        .client()
        .request(Method::GET, &format!("/?{}", "a".repeat(290)));
    let _ = Response::to(fits.header("x-filler", "a".repeat(1500)))
        .await
        .assert_status(StatusCode::OK);
    let long = server.client().get(&format!("/?{}", "a".repeat(300))).await;
    long.problem(StatusCode::URI_TOO_LONG, "about:blank");
    let wide = server
        .client()
        .request(Method::GET, "/")
        .header("x-filler", "a".repeat(2000));
    Response::to(wide)
        .await
        .problem(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "about:blank");
    let many = server.client().request(Method::GET, "/");
    let many = (0..70).fold(many, |request, at| {
        request.header(format!("x-filler-{at}"), "a".repeat(20))
    });
    Response::to(many)
        .await
        .problem(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "about:blank");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_trickles_is_ended_with_408() {
    let impatient =
        |settings: &mut berth_web::Settings| settings.server.header_timeout = Duration::from_millis(300);
    let server = start(Store::sqlite(), impatient, routes).await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let answer = trickle(&mut socket, b"a").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_trickles_holds_no_connection_and_is_ended_with_408() {
    let impatient =
        |settings: &mut berth_web::Settings| settings.server.body_timeout = Duration::from_millis(600);
    let server = start(Store::sqlite(), impatient, routes).await;
    for head in ["content-length: 100000", "transfer-encoding: chunked"] {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        let request =
            format!("POST /store HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let slow = tokio::spawn(async move { trickle(&mut socket, b"1\r\n \r\n").await });
        // The share is one connection: this waits for ever if the slow request holds it.
        let _ = server
            .client()
            .post("/store", Value::Null)
            .await
            .assert_status(StatusCode::NO_CONTENT);
        assert!(!slow.is_finished());
        let answer = slow.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(
            answer.contains("connection: close") && answer.contains("did not arrive in time"),
            "{answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_no_handler_reads_ends_the_connection_after_the_answer() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let cases = [("/nowhere", "404"), ("/panic", "500"), ("/health", "405")];
    let heads = ["content-length: 100000", "transfer-encoding: chunked"];
    let cases = cases.into_iter().flat_map(|case| heads.map(|head| (case, head)));
    let asked = cases.map(async |((path, status), head)| {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let answer = trickle(&mut socket, b"1\r\n \r\n").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_kept_as_long_as_the_setting_says() {
    for (keep_alive, is_kept) in [(1, false), (75, true)] {
        let adjust = move |settings: &mut berth_web::Settings| {
            settings.server.keep_alive = Duration::from_secs(keep_alive)
        };
        let server = start(Store::sqlite(), adjust, routes).await;
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket
            .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut part = [0; 4096];
        assert!(socket.read(&mut part).await.unwrap() > 0);
        let closed = tokio::time::timeout(Duration::from_secs(4), socket.read(&mut part)).await;
        assert_eq!(closed.is_err(), is_kept, "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_requests_than_admitted_are_answered_at_once_and_probes_always() {
    let two = |settings: &mut berth_web::Settings| settings.server.max_requests = 2;
    let server = start(Store::sqlite(), two, routes).await;
    let waiting: Vec<_> = (0..2).map(|_| in_background(server.client(), "/wait")).collect();
    berth_testkit::eventually(async || {
        server.client().get("/").await.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let before = Instant::now();
    let refused = server.client().get("/").await;
    assert_eq!(refused.header("retry-after"), "1");
    refused.problem(StatusCode::SERVICE_UNAVAILABLE, "/problems/overloaded");
    assert!(before.elapsed() < Duration::from_secs(2));
    server.client().get("/health/live").await.ok();
    LET_GO.add_permits(2);
    for request in waiting {
        let _ = request.await.unwrap().assert_status(StatusCode::OK);
    }
    server.client().get("/").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_used_its_quota_is_answered_with_429_until_it_comes_back() {
    let server = limited(3, Duration::from_secs(60), &[]).await;
    for left in [2, 1, 0] {
        let answer = server.client().get("/").await.assert_status(StatusCode::OK);
        assert_eq!(
            answer.header("ratelimit-policy"),
            "\"user\";q=600;w=60, \"address\";q=3;w=60"
        );
        assert!(
            answer
                .header("ratelimit")
                .starts_with(&format!("\"address\";r={left};t="))
        );
    }
    let refused = server.client().get("/nowhere").await;
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&after), "{after}");
    assert_eq!(refused.header("ratelimit").split(';').nth(1), Some("r=0"));
    refused.problem(StatusCode::TOO_MANY_REQUESTS, "/problems/rate-limited");
    let probe = server
        .client()
        .get("/health/live")
        .await
        .assert_status(StatusCode::OK);
    assert!(!probe.headers.contains_key("ratelimit"));
    let server = limited(1, Duration::from_secs(1), &[]).await;
    server.client().get("/").await.ok();
    berth_testkit::eventually(async || server.client().get("/").await.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_in_x_forwarded_for_counts_only_from_a_trusted_proxy() {
    let ask = async |server: &TestServer, forwarded: &str| {
        let request = server
            .client()
            .request(Method::GET, "/")
            .header("x-forwarded-for", forwarded);
        Response::to(request).await.status
    };
    let open = limited(1, Duration::from_secs(60), &[]).await;
    assert_eq!(ask(&open, "198.51.100.1").await, StatusCode::OK);
    assert_eq!(
        ask(&open, "198.51.100.2").await,
        StatusCode::TOO_MANY_REQUESTS,
        "the client invents an address"
    );
    let behind = limited(1, Duration::from_secs(60), &["127.0.0.0/8"]).await;
    assert_eq!(ask(&behind, "198.51.100.1").await, StatusCode::OK);
    assert_eq!(ask(&behind, "198.51.100.2").await, StatusCode::OK);
    assert_eq!(
        ask(&behind, "203.0.113.7, 198.51.100.2").await,
        StatusCode::TOO_MANY_REQUESTS
    );
}

async fn limited(per_address: u32, window: Duration, proxies: &'static [&'static str]) -> TestServer {
    let adjust = move |settings: &mut berth_web::Settings| {
        settings.rate_limit.enabled = true;
        settings.rate_limit.per_address = per_address;
        settings.rate_limit.window = window;
        settings.server.trusted_proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
    };
    start(Store::sqlite(), adjust, routes).await
}

fn in_background(client: Client, path: &'static str) -> tokio::task::JoinHandle<Response> {
    tokio::spawn(async move { client.get(path).await })
}

/// Sends a part again and again until the server ends the connection, and returns what it answered.
async fn trickle(socket: &mut TcpStream, part: &[u8]) -> String {
    let mut answer = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let mut read = [0; 4096];
        tokio::select! {
            length = socket.read(&mut read) => match length {
                Ok(length) if length > 0 => answer.extend_from_slice(&read[..length]),
                _ => break,
            },
            _ = tick.tick() => if socket.write_all(part).await.is_err() { break },
        }
    }
    let said = String::from_utf8_lossy(&answer);
    assert!(
        Instant::now() < deadline,
        "the server does not end the connection: {said}"
    );
    said.into_owned()
}

fn routes(table: &mut ServiceConfig) {
    table
        .route("/wait", web::get().to(wait))
        .route("/store", web::post().to(store))
        .route("/panic", web::post().to(panic));
}

async fn wait() -> HttpResponse {
    LET_GO.acquire().await.unwrap().forget();
    HttpResponse::Ok().finish()
}

async fn panic() -> HttpResponse {
    panic!("on purpose")
}

async fn store(session: Session, _: Json<Value>) -> Result<HttpResponse, Error> {
    let done = session.execute_unprepared("select 1").await;
    done.map_err(berth_database::Error::from)?;
    Ok(HttpResponse::NoContent().finish())
}
