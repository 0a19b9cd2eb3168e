//! `Idempotency-Key`: a request that is sent again is done once.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use api::error::ApiResult;
use berth_testkit::{Action, Limiter, LimiterOptions, Trigger};
use berth_web::Error;
use berth_web::extract::{Json, Session};
use berth_web::testing::{Client, Response, Store};
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::server::start_with;

/// Lets go of the requests that `/held` keeps.
static LET_GO: Semaphore = Semaphore::const_new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);

on_each_store! {
    async fn a_request_that_is_sent_again_gets_the_same_answer_and_is_done_once(store: Store) {
        let server = start_with(store, |_| {}, routes).await;
        let client = server.client();
        let first = send(&client, "/notes", "key-1", json!({ "title": "a" })).await;
        let again = send(&client, "/notes", "key-1", json!({ "title": "a" })).await;
        assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED), "{}", first.text);
        assert!(!first.headers.contains_key("idempotency-replayed"));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!((again.header("location"), &again.text), (first.header("location"), &first.text));
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_eq!(notes(&client).await, 1);
        let _ = send(&client, "/notes", "key-2", json!({ "title": "a" })).await.assert_status(StatusCode::CREATED);
        assert_eq!(notes(&client).await, 2, "another key is another request");
        let plain = client.post("/notes", json!({ "title": "a" })).await;
        let _ = plain.assert_status(StatusCode::CREATED);
        assert_eq!(notes(&client).await, 3, "no key");
    }

    async fn a_refusal_is_the_same_again_and_a_failure_is_tried_again(store: Store) {
        let server = start_with(store, |_| {}, routes).await;
        let client = server.client();
        for replayed in [false, true] {
            let refused = send(&client, "/notes", "refused", json!({ "title": 1 })).await;
            assert_eq!(refused.headers.contains_key("idempotency-replayed"), replayed);
            let problem = refused.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
            assert_eq!(problem["errors"][0]["path"], "title");
        }
        for path in ["/fails", "/panics"] {
            for _ in 0..2 {
                let failed = send(&client, path, "failed", Value::Null).await;
                assert!(!failed.headers.contains_key("idempotency-replayed"));
                failed.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
            }
            let other = send(&client, "/notes", "failed", json!({ "title": "a" })).await;
            let _ = other.assert_status(StatusCode::CREATED);
            client.delete("/keys").await.no_content();
        }
    }

    async fn another_request_under_the_same_key_is_refused(store: Store) {
        let server = start_with(store, |_| {}, routes).await;
        let client = server.client();
        let _ = send(&client, "/notes", "key", json!({ "title": "a" })).await.assert_status(StatusCode::CREATED);
        for (path, body) in [("/notes", json!({ "title": "b" })), ("/notes?x=1", json!({ "title": "a" })), ("/fails", json!({ "title": "a" }))] {
            let refused = send(&client, path, "key", body).await;
            refused.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/idempotency-key-reused");
        }
        let long = "k".repeat(256);
        for key in ["", "two words", &long] {
            let refused = send(&client, "/notes", key, json!({ "title": "a" })).await;
            refused.problem(StatusCode::BAD_REQUEST, "about:blank");
        }
        assert_eq!(notes(&client).await, 1);
    }

    async fn concurrent_requests_of_one_key_are_done_once_and_the_others_are_answered_at_once(store: Store) {
        let server = start_with(store, |_| {}, routes).await;
        let client = server.client();
        let sent = (0..10).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { send(&client, "/notes", "same", json!({ "title": "a" })).await.status })
        });
        let (sent, mut statuses): (Vec<_>, Vec<_>) = (sent.collect(), Vec::new());
        for answer in sent {
            statuses.push(answer.await.unwrap());
        }
        assert!(statuses.contains(&StatusCode::CREATED), "{statuses:?}");
        let expected = |status: &StatusCode| [StatusCode::CREATED, StatusCode::CONFLICT].contains(status);
        assert!(statuses.iter().all(expected), "{statuses:?}");
        assert_eq!(notes(&client).await, 1);
    }

    async fn an_answer_that_must_not_be_stored_is_not(store: Store) {
        let server = start_with(store, |_| {}, routes).await;
        for _ in 0..2 {
            let answer = send(&server.client(), "/secret", "key", Value::Null).await.assert_status(StatusCode::OK);
            assert!(!answer.headers.contains_key("idempotency-replayed"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_first_request_runs_the_key_is_in_use_and_no_connection_is_held() {
    let server = start_with(crate::server::postgres().await, |_| {}, routes).await;
    let client = server.client();
    let first = tokio::spawn({
        let client = client.clone();
        async move { send(&client, "/held", "held", Value::Null).await }
    });
    berth_testkit::eventually(async || HELD.load(Ordering::Relaxed) == 1).await;
    let second = send(&client, "/held", "held", Value::Null).await;
    assert_eq!(second.header("retry-after"), "1");
    second.problem(StatusCode::CONFLICT, "/problems/idempotency-key-in-use");
    server.is_idle().await;
    LET_GO.add_permits(1);
    let first = first.await.unwrap().assert_status(StatusCode::OK);
    let again = send(&client, "/held", "held", Value::Null)
        .await
        .assert_status(StatusCode::OK);
    assert_eq!(again.text, first.text);
    assert_eq!(HELD.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_its_users_own_and_without_a_user_none_counts() {
    let server = start_with(Store::sqlite(), |_| {}, routes).await;
    let client = server.client();
    let _ = send(&client, "/notes", "key", json!({ "title": "a" }))
        .await
        .assert_status(StatusCode::CREATED);
    for _ in 0..2 {
        let anonymous = send(&client.anonymous(), "/notes", "key", json!({ "title": "a" })).await;
        assert!(
            !anonymous
                .assert_status(StatusCode::CREATED)
                .headers
                .contains_key("idempotency-replayed")
        );
    }
    assert_eq!(notes(&client).await, 3);
}

/// A body may contain a password, which a reader of the table could otherwise guess from the fingerprint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fingerprint_depends_on_the_secret_and_survives_its_rotation() {
    let store = Store::sqlite();
    let url = store.url();
    let server = start_with(store, |_| {}, routes).await;
    let _ = send(&server.client(), "/notes", "key", json!({ "title": "a" }))
        .await
        .assert_status(StatusCode::CREATED);
    let after_rotation = async |keeps_previous: bool| {
        let rotate = |settings: &mut api::settings::Settings| {
            settings.database.url = url.parse().unwrap();
            let previous = std::mem::replace(&mut settings.app.secret, "n".repeat(32).into());
            settings.app.previous_secret = keeps_previous.then_some(previous);
        };
        let rotated = start_with(Store::sqlite(), rotate, routes).await;
        send(&rotated.client(), "/notes", "key", json!({ "title": "a" })).await
    };
    let replayed = after_rotation(true).await.assert_status(StatusCode::CREATED);
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    let refused = after_rotation(false).await;
    refused.problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "/problems/idempotency-key-reused",
    );
    assert_eq!(notes(&server.client()).await, 1);
}

async fn send(client: &Client, path: &str, key: &str, body: Value) -> Response {
    let request = client.request(Method::POST, path).header("idempotency-key", key);
    Response::to(request.json(&body)).await
}

async fn notes(client: &Client) -> i64 {
    client.get("/notes").await.ok()["count"].as_i64().unwrap()
}

fn routes(table: &mut ServiceConfig) {
    table
        .route("/notes", web::post().to(add))
        .route("/notes", web::get().to(count))
        .route("/keys", web::delete().to(forget))
        .route("/fails", web::post().to(fails))
        .route("/panics", web::post().to(panics))
        .route("/held", web::post().to(held))
        .route("/secret", web::post().to(secret))
        .route("/held-note", web::post().to(held_note));
}

#[derive(serde::Deserialize)]
struct Note {
    title: String,
}

async fn add(session: Session, Json(note): Json<Note>) -> ApiResult<HttpResponse> {
    run(&session, "create table if not exists notes (title text)").await?;
    run(&session, "insert into notes values ('a')").await?;
    let count = HELD.fetch_add(0, Ordering::Relaxed);
    Ok(berth_web::response::created(
        &format!("/notes/{count}"),
        &json!({ "title": note.title }),
    ))
}

async fn count(session: Session) -> ApiResult<web::Json<Value>> {
    let statement =
        sea_orm::Statement::from_string(session.get_database_backend(), "select count(*) from notes");
    let row = session
        .query_one_raw(statement)
        .await
        .map_err(berth_database::Error::from)?;
    let count: i64 = row.map_or(0, |row| row.try_get_by_index(0).unwrap());
    Ok(web::Json(json!({ "count": count })))
}

async fn forget(session: Session) -> ApiResult<HttpResponse> {
    run(&session, "delete from idempotency_keys").await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn fails(session: Session) -> ApiResult<HttpResponse> {
    run(&session, "select * from not_there").await?;
    Ok(HttpResponse::Ok().finish())
}

async fn panics() -> HttpResponse {
    panic!("on purpose")
}

async fn held() -> HttpResponse {
    let number = HELD.fetch_add(1, Ordering::Relaxed);
    LET_GO.acquire().await.unwrap().forget();
    HttpResponse::Ok().json(json!({ "number": number }))
}

async fn secret() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(json!({ "token": "x" }))
}

async fn run(session: &Session, statement: &str) -> ApiResult<()> {
    let done = session.execute_unprepared(statement).await;
    done.map_err(berth_database::Error::from).map_err(Error::from)?;
    Ok(())
}

/// Lets go of the request that `/held-note` keeps.
static STORE: Semaphore = Semaphore::const_new(0);
static HELD_NOTES: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_outcome_is_unknown_is_sent_again_and_gets_the_answer_that_was_stored() {
    let store = crate::server::postgres().await;
    let Store::Postgres(database) = &store else {
        panic!("another store");
    };
    let limiter = Limiter::start(database, LimiterOptions::limit(5));
    let url = limiter.url();
    let through = move |settings: &mut api::settings::Settings| settings.database.url = url.parse().unwrap();
    let server = start_with(store, through, routes).await;
    let client = server.client();
    let first = tokio::spawn({
        let client = client.clone();
        async move { send(&client, "/held-note", "lost", Value::Null).await }
    });
    berth_testkit::eventually(async || HELD_NOTES.load(Ordering::Relaxed) == 1).await;
    let fault = limiter.arm(Trigger::CommandComplete("COMMIT"), Action::Cut);
    STORE.add_permits(1);
    let first = first.await.unwrap();
    first.problem(StatusCode::INTERNAL_SERVER_ERROR, "/problems/outcome-unknown");
    assert!(fault.has_fired());
    let again = send(&client, "/held-note", "lost", Value::Null)
        .await
        .assert_status(StatusCode::CREATED);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(notes(&client).await, 1);
}

async fn held_note(session: Session) -> ApiResult<HttpResponse> {
    HELD_NOTES.fetch_add(1, Ordering::Relaxed);
    STORE.acquire().await.map_err(|_| Error::Panic)?.forget();
    add(
        session,
        Json(Note {
            title: "a".to_owned(),
        }),
    )
    .await
}
