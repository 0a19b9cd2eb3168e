//! Each status that the document names is answered, and no other.

use berth_auth::Purpose;
use berth_web::testing::{Callers, Situation, Statuses, Store, TestServer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::auth::{PASSWORD, credentials, email_token, set_role, sign_up};
use crate::server::start_with;

/// What follows from the document is requested by [`Statuses::provoke`], the rest by the functions below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_status_of_the_document_is_answered_and_no_other() {
    let document = serde_json::to_value(api::openapi::api()).unwrap();
    let (mut statuses, mut known) = (Statuses::of(&document), None);
    for situation in Situation::ALL {
        let adjust = |settings: &mut api::settings::Settings| situation.adjust(settings);
        let server = start_with(Store::sqlite(), adjust, |_| {}).await;
        if known.is_none() {
            let callers = callers(&server).await;
            let privileged = server.client().with_authorization(Some(&callers.privileged));
            let user = privileged.get("/api/v1/me").await.ok();
            statuses.know("/api/v1/users", user["id"].as_str().unwrap());
            known = Some(callers);
        }
        statuses
            .provoke(situation, &server, known.as_ref().unwrap())
            .await;
    }
    logins(&mut statuses).await;
    links(&mut statuses).await;
    crate::sample::statuses::provoke(&mut statuses).await; // sample
    statuses.assert_complete();
}

async fn callers(server: &TestServer) -> Callers {
    let (ordinary, _) = sign_up(server, "ordinary@example.com").await;
    sign_up(server, "ada@example.com").await;
    set_role(server, "admin").await;
    let login = ordinary
        .post("/api/v1/auth/login", credentials("ada@example.com", PASSWORD))
        .await
        .ok();
    Callers {
        privileged: format!("Bearer {}", login["access_token"].as_str().unwrap()),
        ordinary: ordinary.authorization().unwrap().to_owned(),
    }
}

/// What is exchanged for the tokens of a login.
async fn logins(statuses: &mut Statuses) {
    let server = start_with(Store::sqlite(), |_| {}, |_| {}).await;
    let (client, _) = sign_up(&server, "ada@example.com").await;
    let mut post = async |name: &str, body: Value| {
        let address = format!("/api/v1/auth/{name}");
        let request = client.request(Method::POST, &address).json(&body);
        statuses.send(&format!("POST {address}"), request).await
    };
    let tokens = post("login", credentials("ada@example.com", PASSWORD)).await.ok();
    let _ = post("refresh", json!({ "refresh_token": tokens["refresh_token"] }))
        .await
        .ok();
    let change = json!({ "old_password": PASSWORD, "new_password": "another password" });
    let _ = post("password", change).await.ok();
}

/// What a link from a mail is for.
async fn links(statuses: &mut Statuses) {
    let server = start_with(Store::sqlite(), |_| {}, |_| {}).await;
    let (client, _) = sign_up(&server, "ada@example.com").await;
    let mut post = async |name: &str, body: Value| {
        let address = format!("/api/v1/auth/{name}");
        let request = client.request(Method::POST, &address).json(&body);
        let _sent = statuses.send(&format!("POST {address}"), request).await;
    };
    for name in ["verify/request", "forgot"] {
        post(name, json!({ "email": "ada@example.com" })).await;
    }
    let token = email_token(&server, Purpose::VerifyEmail).await;
    post("verify", json!({ "token": token })).await;
    let token = email_token(&server, Purpose::ResetPassword).await;
    post(
        "reset",
        json!({ "token": token, "new_password": "another password" }),
    )
    .await;

    let strict =
        |settings: &mut api::settings::Settings| settings.platform.auth.require_verified_email = true;
    let server = start_with(Store::sqlite(), strict, |_| {}).await;
    let client = server.client().anonymous();
    let new = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    client.post("/api/v1/auth/register", new).await.created();
    let login = client.request(Method::POST, "/api/v1/auth/login");
    let login = login.json(&credentials("ada@example.com", PASSWORD));
    let refused = statuses.send("POST /api/v1/auth/login", login).await;
    refused.problem(StatusCode::FORBIDDEN, "/problems/email-not-verified");
}
