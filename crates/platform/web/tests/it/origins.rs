//! Headers for browsers: which pages of other origins may read an answer, and what it may be used for.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use berth_web::settings::Settings;
use berth_web::testing::{Response, Store, TestServer};
use reqwest::{Method, StatusCode};

use crate::service::start;

const APP: &str = "https://app.example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_origin_in_the_settings_no_page_of_another_origin_reads_an_answer() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let answer = from(&server, Method::GET, "/", APP)
        .await
        .assert_status(StatusCode::OK);
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    let preflight = preflight(&server, APP)
        .await
        .assert_status(StatusCode::METHOD_NOT_ALLOWED);
    assert!(!preflight.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_origin_reads_answers_errors_and_panics_and_another_does_not() {
    let server = start(Store::sqlite(), allow, routes).await;
    for (path, status) in [
        ("/", 200),
        ("/nowhere", 404),
        ("/panic", 500),
        ("/late", 503),
        ("/limited", 414),
    ] {
        let path = if status == 414 {
            format!("/?{}", "a".repeat(9000))
        } else {
            path.to_owned()
        };
        let answer = from(&server, Method::GET, &path, APP).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), APP, "{path}");
        assert!(
            answer
                .header("access-control-expose-headers")
                .contains("x-request-id")
        );
        assert!(answer.header("vary").to_lowercase().contains("origin"));
        let other = from(&server, Method::GET, &path, "https://evil.test").await;
        assert_eq!(other.status.as_u16(), status, "{path}");
        assert!(
            !other.headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
    let allowed = preflight(&server, APP).await.assert_status(StatusCode::OK);
    assert!(allowed.header("access-control-allow-methods").contains("PATCH"));
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    assert_eq!(allowed.header("access-control-max-age"), "600");
    preflight(&server, "https://evil.test")
        .await
        .problem(StatusCode::BAD_REQUEST, "about:blank");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_allowed_where_the_setting_says_so() {
    let with = |settings: &mut Settings| {
        allow(settings);
        settings.cors.credentials = true;
    };
    for (server, allowed) in [
        (start(Store::sqlite(), allow, routes).await, false),
        (start(Store::sqlite(), with, routes).await, true),
    ] {
        let answer = from(&server, Method::GET, "/", APP)
            .await
            .assert_status(StatusCode::OK);
        assert_eq!(
            answer.headers.contains_key("access-control-allow-credentials"),
            allowed
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_the_security_headers_and_a_handlers_own_stays() {
    let server = start(
        Store::sqlite(),
        |settings| settings.security_headers.hsts_max_age = std::time::Duration::from_secs(60),
        routes,
    )
    .await;
    for path in [
        "/",
        "/nowhere",
        "/panic",
        "/late",
        "/docs/",
        "/health/live",
        "/own",
        "/page",
    ] {
        let answer = server.client().get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(
            answer.header("strict-transport-security"),
            "max-age=60; includeSubDomains",
            "{path}"
        );
        let policy = answer.header("content-security-policy");
        let expected = match path {
            "/own" => "default-src 'self'",
            "/page" => "frame-ancestors 'none'",
            "/docs/" => "default-src 'none'; script-src 'self'; ",
            _ => "default-src 'none'; frame-ancestors 'none'",
        };
        assert!(policy.starts_with(expected), "{path}: {policy}");
    }
    let bare = start(
        Store::sqlite(),
        |settings| settings.security_headers.enabled = false,
        routes,
    )
    .await;
    let answer = bare.client().get("/").await.assert_status(StatusCode::OK);
    assert!(!answer.headers.contains_key("x-content-type-options"));
}

fn allow(settings: &mut Settings) {
    settings.cors.origins = vec![APP.to_owned()];
    settings.server.request_timeout = std::time::Duration::from_millis(500);
}

async fn from(server: &TestServer, method: Method, path: &str, origin: &str) -> Response {
    Response::to(server.client().request(method, path).header("origin", origin)).await
}

async fn preflight(server: &TestServer, origin: &str) -> Response {
    let request = server
        .client()
        .request(Method::OPTIONS, "/")
        .header("origin", origin);
    let request = request.header("access-control-request-method", "PATCH");
    Response::to(request.header("access-control-request-headers", "authorization, content-type")).await
}

fn routes(table: &mut ServiceConfig) {
    table
        .route("/panic", web::get().to(panic))
        .route("/late", web::get().to(late))
        .route("/page", web::get().to(async || web::Html::new("<p>")))
        .route(
            "/own",
            web::get().to(async || {
                HttpResponse::Ok()
                    .insert_header(("content-security-policy", "default-src 'self'"))
                    .finish()
            }),
        );
}

async fn panic() -> HttpResponse {
    panic!("on purpose")
}

async fn late() -> HttpResponse {
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    HttpResponse::Ok().finish()
}
