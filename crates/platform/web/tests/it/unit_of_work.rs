//! What is stored when a request ends, however it ends.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use berth_database::{Outcome, SessionOptions};
use berth_web::Error;
use berth_web::extract::Session;
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::Value;

use berth_web::Settings;
use berth_web::testing::{Store, TestServer as Server};

use crate::service;

on_each_store! {
    async fn an_error_status_rolls_back(store: Store) {
        let server = start(store, |_| {}).await;
        let answer = server.client().post("/status", Value::Null).await;
        answer.problem(StatusCode::BAD_REQUEST, "about:blank");
        assert_eq!(stored(&server).await, 0);
    }

    async fn an_error_rolls_back(store: Store) {
        let server = start(store, |_| {}).await;
        let answer = server.client().post("/error", Value::Null).await;
        answer.problem(StatusCode::NOT_FOUND, "about:blank");
        assert_eq!(stored(&server).await, 0);
    }

    async fn a_panic_rolls_back(store: Store) {
        let server = start(store, |_| {}).await;
        let answer = server.client().post("/panic", Value::Null).await;
        answer.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
        assert_eq!(stored(&server).await, 0);
    }

    async fn committed_rows_survive_a_later_error(store: Store) {
        let server = start(store, |_| {}).await;
        let answer = server.client().post("/committed", Value::Null).await;
        answer.problem(StatusCode::NOT_FOUND, "about:blank");
        assert_eq!(stored(&server).await, 1);
    }

    async fn a_redirect_commits(store: Store) {
        let server = start(store, |_| {}).await;
        let _ = server.client().post("/redirect", Value::Null).await;
        assert_eq!(stored(&server).await, 1);
    }

    async fn a_commit_that_fails_becomes_the_answer(store: Store) {
        let server = start(store, |_| {}).await;
        let answer = server.client().post("/deferred", Value::Null).await;
        answer.problem(StatusCode::CONFLICT, "/problems/conflict");
        assert_eq!(stored(&server).await, 0);
    }

    async fn a_database_error_that_a_handler_swallows_fails_the_request(store: Store) {
        let server = start(store, |_| {}).await;
        let answer = server.client().post("/swallowed", Value::Null).await;
        answer.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
        assert_eq!(stored(&server).await, 0);
    }

    async fn a_request_that_takes_too_long_is_stopped_and_rolled_back(store: Store) {
        let hasty = |settings: &mut Settings| {
            settings.server.request_timeout = Duration::from_millis(300);
        };
        let server = start(store, hasty).await;
        let answer = server.client().post("/forever", Value::Null).await;
        assert_eq!(answer.header("retry-after"), "1");
        answer.problem(StatusCode::SERVICE_UNAVAILABLE, "/problems/timeout");
        assert_eq!(stored(&server).await, 0);
    }

    async fn a_client_that_leaves_rolls_back_and_releases_the_connection(store: Store) {
        let server = start(store, |_| {}).await;
        let request = server.client().request(Method::POST, "/forever").send();
        let client = tokio::spawn(request);
        server.leases_to("POST /forever").await;
        client.abort();
        server.is_idle().await;
        assert_eq!(stored(&server).await, 0);
    }

}

fn routes(routes: &mut ServiceConfig) {
    routes
        .route("/status", web::post().to(status))
        .route("/error", web::post().to(error))
        .route("/panic", web::post().to(panic))
        .route("/committed", web::post().to(committed))
        .route("/redirect", web::post().to(redirect))
        .route("/deferred", web::post().to(deferred))
        .route("/swallowed", web::post().to(swallowed))
        .route("/forever", web::post().to(forever));
}

type Answer = Result<HttpResponse, Error>;

async fn status(session: Session) -> Answer {
    store(&session).await?;
    Ok(HttpResponse::BadRequest().finish())
}

async fn error(session: Session) -> Answer {
    store(&session).await?;
    Err(Error::NoRoute)
}

async fn panic(session: Session) -> Answer {
    store(&session).await?;
    panic!("after a write")
}

async fn committed(session: Session) -> Answer {
    store(&session).await?;
    session.commit().await?;
    store(&session).await?;
    Err(Error::NoRoute)
}

async fn redirect(session: Session) -> Answer {
    store(&session).await?;
    Ok(HttpResponse::SeeOther().insert_header(("location", "/")).finish())
}

/// Nothing is wrong before COMMIT checks what refers to what.
async fn deferred(session: Session) -> Answer {
    store(&session).await?;
    run(&session, "create table parent (id integer primary key)").await?;
    let child = "create table child (parent integer references parent (id) deferrable initially deferred)";
    run(&session, child).await?;
    run(&session, "insert into child values (1)").await?;
    Ok(HttpResponse::Ok().finish())
}

async fn swallowed(session: Session) -> Answer {
    store(&session).await?;
    let _ = run(&session, "insert into nowhere values (1)").await;
    Ok(HttpResponse::Ok().finish())
}

async fn forever(session: Session) -> Answer {
    store(&session).await?;
    std::future::pending().await
}

async fn store(session: &Session) -> Result<(), Error> {
    run(session, "insert into stored values ('half-done')").await
}

async fn run(session: &Session, statement: &str) -> Result<(), Error> {
    session
        .execute_unprepared(statement)
        .await
        .map_err(berth_database::Error::from)?;
    Ok(())
}

/// A server with the routes below and the table that they write to.
async fn start(store: Store, adjust: impl FnOnce(&mut Settings)) -> Server {
    let server = service::start(store, adjust, routes).await;
    let session = server.database().session(SessionOptions::new("table"));
    session
        .execute_unprepared("create table stored (what text)")
        .await
        .unwrap();
    session.end(Outcome::Commit).await.unwrap();
    server
}

/// How many rows are stored: the only connection answers this, so it has come back.
async fn stored(server: &Server) -> i64 {
    let session = server
        .database()
        .session(SessionOptions::new("look").autocommit_reads());
    let count = Statement::from_string(session.get_database_backend(), "select count(*) from stored");
    let row = session.query_one_raw(count).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}
