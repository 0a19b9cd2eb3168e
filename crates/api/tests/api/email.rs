//! Links from mails: an address is verified, and a password is reset.

use std::collections::BTreeMap;

use berth_auth::Purpose;
use berth_testkit::{SmtpOptions, SmtpServer};
use berth_web::testing::{Client, Response, Store, TestServer};
use chrono::{TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::{PASSWORD, credentials, email_token, email_token_of, sign_up, statements};
use crate::lifecycle::ANY_PORT;
use crate::server::{process, start_with};

const ADA: &str = "ada@example.com";

async fn login(client: &Client, password: &str) -> Response {
    client
        .anonymous()
        .post("/api/v1/auth/login", credentials(ADA, password))
        .await
}

async fn verify(client: &Client, token: &str) -> Response {
    client
        .anonymous()
        .post("/api/v1/auth/verify", json!({ "token": token }))
        .await
}

async fn reset(client: &Client, token: &str, password: &str) -> Response {
    let body = json!({ "token": token, "new_password": password });
    client.anonymous().post("/api/v1/auth/reset", body).await
}

#[track_caller]
fn refused_for(response: Response, field: &str) {
    let problem = response.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
    assert_eq!(problem["errors"][0]["path"], field, "{problem}");
}

/// An answer without what differs from request to request.
fn comparable(response: Response) -> (StatusCode, BTreeMap<String, String>, String) {
    let own = ["date", "x-request-id", "server-timing"];
    let headers = response
        .headers
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (response.status, headers.collect(), response.text)
}

on_each_database! {
    async fn an_address_is_verified_once_by_the_newest_token(server: Server) {
        let (client, _) = sign_up(&server, ADA).await;
        assert_eq!(client.get("/api/v1/me").await.ok()["email_verified_at"], Value::Null);
        let older = email_token(&server, Purpose::VerifyEmail).await;
        let newer = email_token(&server, Purpose::VerifyEmail).await;
        refused_for(verify(&client, &older).await, "token");
        refused_for(reset(&client, &newer, "another password").await, "token");
        verify(&client, &newer).await.no_content();
        assert!(client.get("/api/v1/me").await.ok()["email_verified_at"].is_string());
        for token in [&*newer, "", "unknown"] {
            refused_for(verify(&client, token).await, "token");
        }
    }

    async fn a_reset_changes_the_password_once_ends_all_logins_and_verifies_the_address(server: Server) {
        let (client, tokens) = sign_up(&server, ADA).await;
        let token = email_token(&server, Purpose::ResetPassword).await;
        // A password that is refused uses nothing up.
        refused_for(reset(&client, &token, "short").await, "new_password");
        refused_for(verify(&client, &token).await, "token");
        let (first, second) = tokio::join!(reset(&client, &token, "another password"), reset(&client, &token, "another password"));
        let mut answers = [first.status.as_u16(), second.status.as_u16()];
        answers.sort_unstable();
        assert_eq!(answers, [204, 422], "{} {}", first.text, second.text);
        let refresh = json!({ "refresh_token": tokens["refresh_token"] });
        let ended = client.anonymous().post("/api/v1/auth/refresh", refresh).await;
        ended.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
        login(&client, PASSWORD).await.problem(StatusCode::UNAUTHORIZED, "/problems/invalid-credentials");
        let _tokens = login(&client, "another password").await.ok();
        assert!(client.get("/api/v1/me").await.ok()["email_verified_at"].is_string());
    }

    async fn a_token_expires_and_is_of_no_use_for_another_address(server: Server) {
        let (client, _) = sign_up(&server, ADA).await;
        let long_ago = Utc::now() - TimeDelta::days(2);
        for purpose in [Purpose::VerifyEmail, Purpose::ResetPassword] {
            let expired = email_token_of(&server, purpose, Uuid::now_v7(), long_ago).await.unwrap();
            refused_for(verify(&client, &expired).await, "token");
            refused_for(reset(&client, &expired, "another password").await, "token");
        }
        let (to_verify, to_reset) = (email_token(&server, Purpose::VerifyEmail).await, email_token(&server, Purpose::ResetPassword).await);
        execute(&server, "UPDATE users SET email = 'lovelace@example.com' WHERE email = 'ada@example.com'").await;
        refused_for(verify(&client, &to_verify).await, "token");
        refused_for(reset(&client, &to_reset, "another password").await, "token");
        assert_eq!(client.get("/api/v1/me").await.ok()["email_verified_at"], Value::Null);
    }

    async fn a_mail_that_is_sent_again_has_the_same_token_until_it_is_used_or_replaced(server: Server) {
        let (client, _) = sign_up(&server, ADA).await;
        let (mail, newer) = (Uuid::now_v7(), Uuid::now_v7());
        let token = async |mail| email_token_of(&server, Purpose::ResetPassword, mail, Utc::now()).await;
        let first = token(mail).await;
        assert!(first.is_some() && token(mail).await == first);
        let second = token(newer).await.unwrap();
        assert_eq!(token(mail).await, None, "a newer one replaced it");
        reset(&client, &second, "another password").await.no_content();
        assert_eq!(token(newer).await, None, "it was used");
        let verified = email_token_of(&server, Purpose::VerifyEmail, Uuid::now_v7(), Utc::now()).await;
        assert_eq!(verified, None, "the address is verified already");
    }

    async fn a_response_and_its_cost_do_not_reveal_whether_the_account_exists(server: Server) {
        let (client, _) = sign_up(&server, ADA).await;
        let client = client.anonymous();
        for address in ["/api/v1/auth/forgot", "/api/v1/auth/verify/request"] {
            let mut answers = Vec::new();
            for email in [" Ada@Example.com", "nobody@example.com"] {
                let before = statements(&server);
                let answer = comparable(client.post(address, json!({ "email": email })).await);
                assert_eq!(answer.0, StatusCode::ACCEPTED, "{answer:?}");
                answers.push((answer, statements(&server) - before));
            }
            assert_eq!(answers[0], answers[1], "{address}");
            refused_for(client.post(address, json!({ "email": "ada" })).await, "email");
        }
    }
}

async fn execute(server: &TestServer, sql: &str) {
    use sea_orm::ConnectionTrait;
    let session = server.database().background("test");
    session.execute_unprepared(sql).await.unwrap();
    session.end(berth_database::Outcome::Commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_are_limited_by_address_and_lock_no_account() {
    let strict = |settings: &mut api::settings::Settings| settings.platform.auth.attempts_per_account = 3;
    let server = start_with(Store::sqlite(), strict, |_| {}).await;
    // The registration asks for the first mail.
    let (client, _) = sign_up(&server, ADA).await;
    let client = client.anonymous();
    for address in ["/api/v1/auth/forgot", "/api/v1/auth/verify/request"] {
        let sent = client.post(address, json!({ "email": ADA })).await;
        let _sent = sent.assert_status(StatusCode::ACCEPTED);
    }
    let refused = client
        .post("/api/v1/auth/forgot", json!({ "email": "ADA@example.com" }))
        .await;
    refused.problem(StatusCode::TOO_MANY_REQUESTS, "/problems/too-many-attempts");
    let _tokens = login(&client, PASSWORD).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_must_verify_the_address_logs_in_afterwards() {
    let strict =
        |settings: &mut api::settings::Settings| settings.platform.auth.require_verified_email = true;
    let server = start_with(Store::sqlite(), strict, |_| {}).await;
    let client = server.client().anonymous();
    let new = json!({ "email": ADA, "password": PASSWORD, "name": "Ada" });
    client.post("/api/v1/auth/register", new).await.created();
    login(&client, PASSWORD)
        .await
        .problem(StatusCode::FORBIDDEN, "/problems/email-not-verified");
    // A stranger learns nothing.
    login(&client, "wrong")
        .await
        .problem(StatusCode::UNAUTHORIZED, "/problems/invalid-credentials");
    verify(&client, &email_token(&server, Purpose::VerifyEmail).await)
        .await
        .no_content();
    let _tokens = login(&client, PASSWORD).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_opens_a_page_that_runs_nothing_from_elsewhere() {
    let server = start_with(Store::sqlite(), |_| {}, |_| {}).await;
    for address in ["/verify-email", "/reset-password"] {
        let page = server
            .client()
            .anonymous()
            .get(address)
            .await
            .assert_status(StatusCode::OK);
        assert!(
            page.header("content-security-policy")
                .contains("default-src 'none'")
        );
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert!(page.text.contains("/api/v1/auth/"), "{}", page.text);
    }
}

/// The token behind the link of a mail.
fn token_in(text: &str) -> String {
    let (_, rest) = text.split_once("#token=").expect("a link");
    rest.split(['"', '<', '\n', '\r', ' ']).next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_and_a_forgotten_password_by_mail() {
    let smtp = SmtpServer::start(SmtpOptions::default()).await;
    let port = smtp.port().to_string();
    let set = [
        ANY_PORT,
        ("APP__MAIL__TRANSPORT", "smtp"),
        ("APP__MAIL__HOST", "localhost"),
        ("APP__MAIL__PORT", &port),
        ("APP__MAIL__TLS", "none"),
        ("APP__APP__PUBLIC_URL", "https://app.example.com/"),
        ("APP__AUTH__REQUIRE_VERIFIED_EMAIL", "true"),
    ];
    let mut process = process(&["serve"], &set);
    let client = process.listening().await.anonymous();
    let new = json!({ "email": "Ada@example.com", "password": PASSWORD, "name": "Ada" });
    client.post("/api/v1/auth/register", new).await.created();
    let mail = smtp.mail(1).await;
    assert_eq!(mail.to, [ADA]);
    let (text, html) = (mail.text().unwrap(), mail.html().unwrap());
    assert!(
        text.contains("https://app.example.com/verify-email#token="),
        "{text}"
    );
    assert_eq!(token_in(&text), token_in(&html));
    login(&client, PASSWORD)
        .await
        .problem(StatusCode::FORBIDDEN, "/problems/email-not-verified");
    verify(&client, &token_in(&text)).await.no_content();
    let _tokens = login(&client, PASSWORD).await.ok();

    for email in ["nobody@example.com", ADA] {
        let asked = client
            .post("/api/v1/auth/forgot", json!({ "email": email }))
            .await;
        let _asked = asked.assert_status(StatusCode::ACCEPTED);
    }
    let mail = smtp.mail(2).await;
    assert_eq!(mail.to, [ADA], "an address without an account gets no mail");
    let text = mail.text().unwrap();
    assert!(
        text.contains("https://app.example.com/reset-password#token="),
        "{text}"
    );
    reset(&client, &token_in(&text), "another password")
        .await
        .no_content();
    let _tokens = login(&client, "another password").await.ok();
    process.signal("TERM").await;
    let (status, said, log) = process.ended().await;
    assert!(status.success(), "{said}");
    assert!(
        !log.iter().any(|line| line.contains(&token_in(&text))),
        "a token is in the log"
    );
    assert_eq!(smtp.mails().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_finds_the_link_in_the_log() {
    let mut process = process(&["serve"], &[ANY_PORT]);
    let client = process.listening().await.anonymous();
    let new = json!({ "email": ADA, "password": PASSWORD, "name": "Ada" });
    client.post("/api/v1/auth/register", new).await.created();
    let line = process.logs("/verify-email#token=").await;
    verify(&client, &token_in(&line)).await.no_content();
}
