//! Each status that the document names is answered, and no other.

use berth_web::testing::{Callers, Situation, Statuses, Store, TestServer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::auth::{PASSWORD, credentials, set_role, sign_up};
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
            known = Some(callers(&server).await);
        }
        statuses
            .provoke(situation, &server, known.as_ref().unwrap())
            .await;
    }
    logins(&mut statuses).await;
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
