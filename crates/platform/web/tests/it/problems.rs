//! Every kind of error, in the one form that all of them have.

use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, error};
use berth_database::SessionOptions;
use berth_testkit::{Cluster, Cut, Limiter, LimiterOptions, eventually};
use berth_web::Error;
use berth_web::extract::{Json, Path, Session};
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use berth_web::testing::Response;
use berth_web::testing::Store;

use crate::service::{self, start};

const SHIPS: &str = "/ships";

on_each_store! {
    async fn an_address_that_is_not_there(store: Store) {
        let server = start(store, |_| {}, |_| {}).await;
        let problem = server.client().get("/api/v2/nothing").await.problem(StatusCode::NOT_FOUND, "about:blank");
        assert_eq!(problem["instance"], "/api/v2/nothing");
    }

    async fn a_method_that_an_address_does_not_take(store: Store) {
        let server = start(store, |_| {}, |_| {}).await;
        let answer = Response::to(server.client().request(Method::PUT, "/health")).await;
        assert_eq!(answer.header("allow"), "GET, HEAD");
        answer.problem(StatusCode::METHOD_NOT_ALLOWED, "about:blank");
    }

    async fn the_clients_request_id_comes_back(store: Store) {
        let server = start(store, |_| {}, |_| {}).await;
        let request = server.client().request(Method::GET, "/nothing").header("x-request-id", "deploy-42");
        let problem = Response::to(request).await.problem(StatusCode::NOT_FOUND, "about:blank");
        assert_eq!(problem["request_id"], "deploy-42");
        let request = server.client().request(Method::GET, "/").header("x-request-id", "a \"forged\" id");
        let answer = Response::to(request).await.assert_status(StatusCode::OK);
        assert_eq!(answer.header("x-request-id").len(), 32);
    }

    async fn head_is_answered_like_get_without_a_body(store: Store) {
        let server = start(store, |_| {}, |_| {}).await;
        let answer = Response::to(server.client().request(Method::HEAD, "/health")).await;
        let answer = answer.assert_status(StatusCode::OK);
        assert_eq!((answer.header("content-type").as_str(), answer.text.as_str()), ("application/json", ""));
        let nothing = Response::to(server.client().request(Method::HEAD, "/nothing")).await;
        assert_eq!(nothing.assert_status(StatusCode::NOT_FOUND).text, "");
    }
}

mod own_routes {
    use super::*;

    on_each_store! {
        async fn a_body_that_is_not_json(store: Store) {
            let server = start(store, |_| {}, routes).await;
            for body in ["", "{", "{\"name\": \"x\"} and more", "\u{1}"] {
                let request = server.client().request(Method::POST, SHIPS).header("content-type", "application/json");
                let answer = Response::to(request.body(body)).await;
                answer.problem(StatusCode::BAD_REQUEST, "/problems/malformed-json");
            }
        }

        async fn a_body_that_does_not_fit_is_reported_with_its_path(store: Store) {
            let server = start(store, |_| {}, routes).await;
            let cases = [
                (json!({ "name": 3 }), "name"),
                (json!({ "name": "x", "afloat": "yes" }), "afloat"),
                (json!({}), "name"),
                (json!({ "name": "x", "extra": 1 }), "extra"),
            ];
            for (body, path) in cases {
                let problem = server.client().post(SHIPS, body).await;
                let problem = problem.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
                assert_eq!(problem["errors"][0]["path"], path, "{problem}");
            }
        }

        async fn a_content_type_that_is_not_json(store: Store) {
            let server = start(store, |_| {}, routes).await;
            for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
                let request = server.client().request(Method::POST, SHIPS).header("content-type", kind).body("{}");
                Response::to(request).await.problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "about:blank");
            }
            let request = server.client().request(Method::POST, SHIPS);
            let request = request.header("content-type", "Application/JSON; charset=utf-8").body("{\"name\":\"x\"}");
            let _ = Response::to(request).await.assert_status(StatusCode::OK);
        }

        async fn a_body_that_is_too_large(store: Store) {
            let server = start(store, |_| {}, routes).await;
            let body = json!({ "name": "x".repeat(300_000) });
            let problem = server.client().post(SHIPS, body).await.problem(StatusCode::PAYLOAD_TOO_LARGE, "about:blank");
            assert!(problem["detail"].as_str().unwrap().contains("262144"), "{problem}");
        }

        async fn a_path_that_holds_no_id(store: Store) {
            let server = start(store, |_| {}, routes).await;
            let answer = server.client().get(&format!("{SHIPS}/seventeen")).await;
            answer.problem(StatusCode::BAD_REQUEST, "/problems/invalid-path");
        }

        async fn a_panic_is_answered_without_its_message(store: Store) {
            let server = start(store, |_| {}, routes).await;
            for _ in 0..5 {
                let problem = server.client().get("/panic").await;
                let problem = problem.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
                assert!(!problem.to_string().contains("mother"), "{problem}");
            }
            server.client().get("/read").await.ok();
        }

        async fn framework_errors_do_not_show_their_text(store: Store) {
            let server = start(store, |_| {}, routes).await;
            let problem = server.client().get("/framework").await.problem(StatusCode::IM_A_TEAPOT, "about:blank");
            assert!(!problem.to_string().contains("mother"), "{problem}");
        }

        async fn an_error_with_a_body_of_the_handlers_own_is_left_as_it_is(store: Store) {
            let server = start(store, |_| {}, routes).await;
            let answer = server.client().get("/own").await.assert_status(StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.json(), json!({ "status": "down" }));
            assert_eq!(answer.header("content-type"), "application/json");
        }

        async fn a_failed_statement_shows_neither_sql_nor_names(store: Store) {
            let server = start(store, |_| {}, routes).await;
            let problem = server.client().post("/statement", Value::Null).await;
            let problem = problem.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
            assert!(!problem.to_string().contains("hidden"), "{problem}");
        }

        async fn a_broken_constraint_is_a_conflict(store: Store) {
            let server = start(store, |_| {}, routes).await;
            let problem = server.client().post("/twice", Value::Null).await;
            let problem = problem.problem(StatusCode::CONFLICT, "/problems/conflict");
            assert!(!problem.to_string().contains("hidden"), "{problem}");
        }

        async fn no_connection_in_time_is_503_with_retry_after(store: Store) {
            let impatient = |settings: &mut berth_web::Settings| {
                settings.database.pool_timeout = Duration::from_millis(200);
            };
            let server = start(store, impatient, routes).await;
            let holder = server.database().session(SessionOptions::new("holder"));
            holder.execute_unprepared("select 1").await.unwrap();
            let answer = server.client().get("/read").await;
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            answer.problem(StatusCode::SERVICE_UNAVAILABLE, "/problems/saturated");
            holder.rollback().await.unwrap();
            server.client().get("/read").await.ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_is_503_until_it_is_back() {
    let database = Cluster::shared()
        .await
        .database_from("web", service::migrate)
        .await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(5));
    let through = |settings: &mut berth_web::Settings| {
        settings.database.url = limiter.url().parse().unwrap();
        settings.database.unreachable_grace = Duration::from_millis(100);
    };
    let server = start(Store::Postgres(database), through, routes).await;
    server.client().get("/read").await.ok();
    limiter.stop_listening().await;
    limiter.cut_all(Cut::Reset);
    let answer = server.client().get("/read").await;
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    let problem = answer.problem(StatusCode::SERVICE_UNAVAILABLE, "/problems/database-unavailable");
    assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
    limiter.resume_listening().await;
    eventually(async || server.client().get("/read").await.status == StatusCode::OK).await;
}

/// What a body is read into.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Ship {
    name: String,
    #[serde(default)]
    afloat: bool,
}

fn routes(table: &mut ServiceConfig) {
    table
        .route(SHIPS, web::post().to(async |ship: Json<Ship>| web::Json(ship.0)))
        .route(
            "/ships/{ship_id}",
            web::get().to(async |id: Path<Uuid>| id.0.to_string()),
        )
        .route("/read", web::get().to(read))
        .route("/panic", web::get().to(panic))
        .route(
            "/framework",
            web::get().to(async || Err::<HttpResponse, _>(error::ErrorImATeapot("mother's name"))),
        )
        .route(
            "/own",
            web::get().to(async || HttpResponse::ServiceUnavailable().json(json!({ "status": "down" }))),
        )
        .route("/statement", web::post().to(statement))
        .route("/twice", web::post().to(twice));
}

async fn read(session: Session) -> Result<HttpResponse, Error> {
    run(&session, "select 1").await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

async fn panic() -> HttpResponse {
    panic!("mother's name")
}

async fn statement(session: Session) -> Result<HttpResponse, Error> {
    run(&session, "select * from hidden_table").await?;
    Ok(HttpResponse::Ok().finish())
}

async fn twice(session: Session) -> Result<HttpResponse, Error> {
    run(&session, "create table hidden_table (id integer primary key)").await?;
    run(&session, "insert into hidden_table values (1), (1)").await?;
    Ok(HttpResponse::Ok().finish())
}

async fn run(session: &Session, statement: &str) -> Result<(), Error> {
    session
        .execute_unprepared(statement)
        .await
        .map_err(berth_database::Error::from)?;
    Ok(())
}
