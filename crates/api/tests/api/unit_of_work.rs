//! What is stored when a request ends, however it ends.

use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use api::error::ApiError;
use api::extract::{CurrentUser, Session};
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use service::{NewConversation, Services};

use crate::responder::Responder;
use crate::server::Server;

const ALL: &str = "/api/v1/conversations";

on_each_store! {
    async fn an_error_status_rolls_back(store: Store) {
        let server = Server::start_with(store, |_| {}, routes).await;
        let answer = server.client().post("/status", Value::Null).await;
        answer.problem(StatusCode::BAD_REQUEST, "about:blank");
        assert_eq!(stored(&server).await, 0);
    }

    async fn an_error_rolls_back(store: Store) {
        let server = Server::start_with(store, |_| {}, routes).await;
        let answer = server.client().post("/error", Value::Null).await;
        answer.problem(StatusCode::NOT_FOUND, "about:blank");
        assert_eq!(stored(&server).await, 0);
    }

    async fn a_panic_rolls_back(store: Store) {
        let server = Server::start_with(store, |_| {}, routes).await;
        let answer = server.client().post("/panic", Value::Null).await;
        answer.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
        assert_eq!(stored(&server).await, 0);
    }

    async fn what_was_committed_survives_an_error(store: Store) {
        let server = Server::start_with(store, |_| {}, routes).await;
        let answer = server.client().post("/committed", Value::Null).await;
        answer.problem(StatusCode::NOT_FOUND, "about:blank");
        assert_eq!(stored(&server).await, 1);
    }

    async fn a_redirect_commits(store: Store) {
        let server = Server::start_with(store, |_| {}, routes).await;
        let _ = server.client().post("/redirect", Value::Null).await;
        assert_eq!(stored(&server).await, 1);
    }

    async fn a_commit_that_fails_becomes_the_answer(store: Store) {
        let server = Server::start_with(store, |_| {}, routes).await;
        let answer = server.client().post("/deferred", Value::Null).await;
        answer.problem(StatusCode::CONFLICT, "urn:problem:conflict");
        assert_eq!(stored(&server).await, 0);
    }

    async fn an_error_that_a_handler_swallows_is_no_success(store: Store) {
        let server = Server::start_with(store, |_| {}, routes).await;
        let answer = server.client().post("/swallowed", Value::Null).await;
        answer.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
        assert_eq!(stored(&server).await, 0);
    }

    async fn a_request_that_takes_too_long_is_stopped_and_rolled_back(store: Store) {
        let hasty = |settings: &mut api::settings::Settings| {
            settings.server.request_timeout = Duration::from_millis(300);
        };
        let server = Server::start_with(store, hasty, routes).await;
        let answer = server.client().post("/forever", Value::Null).await;
        assert_eq!(answer.header("retry-after"), "1");
        answer.problem(StatusCode::SERVICE_UNAVAILABLE, "urn:problem:took-too-long");
        assert_eq!(stored(&server).await, 0);
    }

    async fn a_client_that_leaves_rolls_back_and_gives_the_connection_back(store: Store) {
        let server = Server::start_with(store, |_| {}, routes).await;
        let request = server.client().request(Method::POST, "/forever").send();
        let client = tokio::spawn(request);
        testkit::eventually(async || server.database().status().slots.leased == 1).await;
        client.abort();
        testkit::eventually(async || server.database().status().slots.leased == 0).await;
        assert_eq!(stored(&server).await, 0);
    }

    async fn a_slow_responder_delays_nobody_else(store: Store) {
        let responder = Responder::start().await;
        let server = Server::start_with(store, |settings| responder.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("slow").await);
        let (client, address) = (server.client(), all.clone());
        let posting = tokio::spawn(async move { client.post(&address, json!({ "body": "Hello?" })).await });
        responder.asked().await;
        testkit::eventually(async || server.database().status().slots.leased == 0).await;
        let meanwhile = server.client().get(&all).await.ok();
        assert_eq!(meanwhile["items"].as_array().unwrap().len(), 1, "the question is stored");
        responder.answer("At last.").await;
        let (said, _) = posting.await.unwrap().created();
        assert_eq!(said["answer"]["body"], "At last.");
    }

    async fn a_client_that_leaves_an_answer_unheard_leaves_the_question(store: Store) {
        let responder = Responder::start().await;
        let server = Server::start_with(store, |settings| responder.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("left").await);
        let posting = server.client().request(Method::POST, &all).json(&json!({ "body": "Hello?" })).send();
        let posting = tokio::spawn(posting);
        responder.asked().await;
        posting.abort();
        responder.left_alone().await;
        let listed = server.client().get(&all).await.ok();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    }

    async fn a_responder_that_fails_leaves_the_question(store: Store) {
        let responder = Responder::start().await;
        let server = Server::start_with(store, |settings| responder.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("broken").await);
        let (client, address) = (server.client(), all.clone());
        let posting = tokio::spawn(async move { client.post(&address, json!({ "body": "Hello?" })).await });
        responder.asked().await;
        responder.fail().await;
        let problem = posting.await.unwrap().problem(StatusCode::BAD_GATEWAY, "urn:problem:responder-failed");
        let listed = server.client().get(&all).await.ok();
        let question = listed["items"][0]["id"].as_str().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(question), "{problem}");
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

type Answer = Result<HttpResponse, ApiError>;

async fn status(request: HttpRequest, session: Session, user: CurrentUser) -> Answer {
    store(&request, &session, &user).await?;
    Ok(HttpResponse::BadRequest().finish())
}

async fn error(request: HttpRequest, session: Session, user: CurrentUser) -> Answer {
    store(&request, &session, &user).await?;
    Err(ApiError::NoSuchAddress)
}

async fn panic(request: HttpRequest, session: Session, user: CurrentUser) -> Answer {
    store(&request, &session, &user).await?;
    panic!("after a write")
}

async fn committed(request: HttpRequest, session: Session, user: CurrentUser) -> Answer {
    store(&request, &session, &user).await?;
    session.commit().await?;
    store(&request, &session, &user).await?;
    Err(ApiError::NoSuchAddress)
}

async fn redirect(request: HttpRequest, session: Session, user: CurrentUser) -> Answer {
    store(&request, &session, &user).await?;
    Ok(HttpResponse::SeeOther().insert_header(("location", "/")).finish())
}

/// Nothing is wrong before COMMIT checks what refers to what.
async fn deferred(request: HttpRequest, session: Session, user: CurrentUser) -> Answer {
    store(&request, &session, &user).await?;
    run(&session, "create table parent (id integer primary key)").await?;
    let child = "create table child (parent integer references parent (id) deferrable initially deferred)";
    run(&session, child).await?;
    run(&session, "insert into child values (1)").await?;
    Ok(HttpResponse::Ok().finish())
}

async fn swallowed(request: HttpRequest, session: Session, user: CurrentUser) -> Answer {
    store(&request, &session, &user).await?;
    let _ = run(&session, "insert into users select * from users").await;
    Ok(HttpResponse::Ok().finish())
}

async fn forever(request: HttpRequest, session: Session, user: CurrentUser) -> Answer {
    store(&request, &session, &user).await?;
    std::future::pending().await
}

async fn store(request: &HttpRequest, session: &Session, user: &CurrentUser) -> Result<(), ApiError> {
    let services = request.app_data::<web::Data<Services>>().unwrap();
    let new = NewConversation {
        title: "half-done".to_owned(),
        is_public: false,
    };
    services
        .conversations(session)
        .create(user.id().await?, new)
        .await?;
    Ok(())
}

async fn run(session: &Session, statement: &str) -> Result<(), ApiError> {
    session
        .execute_unprepared(statement)
        .await
        .map_err(database::Error::from)?;
    Ok(())
}

/// How many conversations are stored: the only connection answers this, so it has come back.
async fn stored(server: &Server) -> usize {
    server.client().get(ALL).await.ok()["items"]
        .as_array()
        .unwrap()
        .len()
}
