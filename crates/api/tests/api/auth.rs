//! Logins, tokens and roles.

use berth_auth::{Accounts, Purpose};
use berth_settings::Secret;
use berth_web::testing::{Client, Store, TestServer};
use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::server::{process, start_with};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Registers a user and logs the user in.
pub(crate) async fn sign_up(server: &TestServer, email: &str) -> (Client, Value) {
    let client = server.client().anonymous();
    let new = json!({ "email": email, "password": PASSWORD, "name": "Somebody" });
    client.post("/api/v1/auth/register", new).await.created();
    let tokens = client
        .post("/api/v1/auth/login", credentials(email, PASSWORD))
        .await
        .ok();
    (
        client.with_token(tokens["access_token"].as_str().unwrap()),
        tokens,
    )
}

pub(crate) fn credentials(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

/// Makes the token that a mail to ada@example.com would carry.
pub(crate) async fn email_token(server: &TestServer, purpose: Purpose) -> String {
    let token = email_token_of(server, purpose, Uuid::now_v7(), Utc::now()).await;
    token.expect("an account that takes such mails")
}

/// Makes the token that this mail to ada@example.com would carry, if it would be sent.
pub(crate) async fn email_token_of(
    server: &TestServer,
    purpose: Purpose,
    mail: Uuid,
    now: DateTime<Utc>,
) -> Option<String> {
    let application = berth_auth::Application {
        name: "berth".to_owned(),
        secret: Secret::from("development-only-secret-never-deploy-me".to_owned()),
        previous_secret: None,
    };
    let auth = berth_auth::Auth::new(&berth_auth::Settings::default(), &application).unwrap();
    let (services, session) = (service::Services::new(), server.database().background("test"));
    let mail = (purpose, "ada@example.com", mail);
    let users = services.users(&session);
    let local = auth.local().unwrap();
    let account = users.by_email("ada@example.com").await.unwrap().unwrap();
    let token = local.email_token(&session, &account, mail, now).await.unwrap();
    session.end(berth_database::Outcome::Commit).await.unwrap();
    token
}

/// How many statements the server has sent so far.
pub(crate) fn statements(server: &TestServer) -> u64 {
    let statements = server.database().statements();
    statements.iter().map(|of_one| of_one.timings.count()).sum()
}

on_each_database! {
    async fn a_user_registers_logs_in_refreshes_and_logs_out(server: Server) {
        let (client, tokens) = sign_up(&server, "Ada@Example.com").await;
        assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
        let me = client.get("/api/v1/me").await.ok();
        assert_eq!((&me["email"], &me["name"]), (&json!("ada@example.com"), &json!("Somebody")));

        let anyone = client.anonymous();
        // The case of the address does not matter.
        let again = anyone.post("/api/v1/auth/login", credentials("ADA@example.com", PASSWORD)).await;
        assert_eq!(again.header("cache-control"), "no-store");
        let _ = again.ok();
        let refresh = json!({ "refresh_token": tokens["refresh_token"] });
        let next = anyone.post("/api/v1/auth/refresh", refresh.clone()).await.ok();
        let renewed = anyone.clone().with_token(next["access_token"].as_str().unwrap());
        assert_eq!(renewed.get("/api/v1/me").await.ok(), me);

        let refresh = json!({ "refresh_token": next["refresh_token"] });
        anyone.post("/api/v1/auth/logout", refresh.clone()).await.no_content();
        anyone.post("/api/v1/auth/logout", refresh.clone()).await.no_content();
        let refused = anyone.post("/api/v1/auth/refresh", refresh).await;
        refused.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
    }

    async fn a_spent_refresh_token_ends_the_login_though_the_answer_is_an_error(server: Server) {
        let (client, tokens) = sign_up(&server, "ada@example.com").await;
        let anyone = client.anonymous();
        let spent = json!({ "refresh_token": tokens["refresh_token"] });
        let next = anyone.post("/api/v1/auth/refresh", spent.clone()).await.ok();
        for token in [spent, json!({ "refresh_token": next["refresh_token"] })] {
            let refused = anyone.post("/api/v1/auth/refresh", token).await;
            refused.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
        }
    }

    async fn a_new_password_needs_the_old_one_and_ends_other_logins(server: Server) {
        let (client, tokens) = sign_up(&server, "ada@example.com").await;
        let change = |old: &str, new: &str| json!({ "old_password": old, "new_password": new });
        let wrong = client.post("/api/v1/auth/password", change("wrong", "another password")).await;
        wrong.problem(StatusCode::UNAUTHORIZED, "/problems/invalid-credentials");
        let short = client.post("/api/v1/auth/password", change(PASSWORD, "short")).await;
        let short = short.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
        assert_eq!(short["errors"][0]["path"], "new_password");
        let fresh = client.post("/api/v1/auth/password", change(PASSWORD, "another password")).await.ok();

        let anyone = client.anonymous();
        let old = anyone.post("/api/v1/auth/refresh", json!({ "refresh_token": tokens["refresh_token"] })).await;
        old.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
        let _ = anyone.post("/api/v1/auth/refresh", json!({ "refresh_token": fresh["refresh_token"] })).await.ok();
        let old = anyone.post("/api/v1/auth/login", credentials("ada@example.com", PASSWORD)).await;
        old.problem(StatusCode::UNAUTHORIZED, "/problems/invalid-credentials");
        let _ = anyone.post("/api/v1/auth/login", credentials("ada@example.com", "another password")).await.ok();
    }

    async fn responses_do_not_reveal_whether_an_account_exists(server: Server) {
        let (client, _) = sign_up(&server, "ada@example.com").await;
        let anyone = client.anonymous();
        let mut answers = Vec::new();
        for email in ["ada@example.com", "nobody@example.com"] {
            let refused = anyone.post("/api/v1/auth/login", credentials(email, "wrong")).await;
            let mut problem = refused.problem(StatusCode::UNAUTHORIZED, "/problems/invalid-credentials");
            problem["request_id"].take();
            answers.push(problem);
        }
        assert_eq!(answers[0], answers[1]);
        // Registering a known address changes nothing and looks the same.
        let again = json!({ "email": "ada@example.com", "password": "a stranger's password", "name": "Stranger" });
        let (body, place) = anyone.post("/api/v1/auth/register", again).await.created();
        assert_eq!((body, &*place), (json!({ "email": "ada@example.com" }), "/api/v1/me"));
        let _ = anyone.post("/api/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.ok();
    }

    async fn an_address_is_one_account_however_it_is_typed(server: Server) {
        let (client, _) = sign_up(&server, "A\u{308}da@EX\u{c4}MPLE.com").await;
        let me = client.get("/api/v1/me").await.ok();
        assert_eq!(me["email"], "\u{e4}da@xn--exmple-cua.com");
        let other_form = credentials(" \u{c4}da@xn--exmple-cua.com", PASSWORD);
        let _ = client.anonymous().post("/api/v1/auth/login", other_form).await.ok();
    }

    async fn invalid_fields_of_a_new_user_are_named(server: Server) {
        let client = server.client().anonymous();
        for (field, value) in [("email", ""), ("email", "ada"), ("email", "a da@example.com"), ("email", "<ada@example.com>"), ("password", "short"), ("name", " ")] {
            let mut new = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
            new[field] = json!(value);
            let refused = client.post("/api/v1/auth/register", new).await;
            let refused = refused.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
            assert_eq!(refused["errors"][0]["path"], field, "{refused}");
        }
    }

    async fn a_role_opens_what_is_for_that_role(server: Server) {
        let (client, _) = sign_up(&server, "ada@example.com").await;
        let refused = client.get("/api/v1/users").await;
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"insufficient_scope\"");
        refused.problem(StatusCode::FORBIDDEN, "/problems/insufficient-role");
        let anyone = client.anonymous().get("/api/v1/users").await;
        anyone.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
        set_role(&server, "admin").await;
        let login = client.anonymous().post("/api/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.ok();
        let admin = client.anonymous().with_token(login["access_token"].as_str().unwrap());
        let users = admin.get("/api/v1/users").await.ok();
        assert_eq!(users["items"][0]["role"], "admin", "{users}");
    }

    async fn a_token_that_is_refused_says_why_in_the_head_and_nothing_in_the_body(server: Server) {
        let client = server.client().anonymous();
        let none = client.get("/api/v1/me").await.text;
        for (token, why) in [("not-a-token", "is malformed"), (FORGED, "has an invalid signature")] {
            let refused = client.clone().with_token(token).get("/api/v1/me").await;
            let challenge = refused.header("www-authenticate");
            let expected = format!("Bearer error=\"invalid_token\", error_description=\"The access token {why}\"");
            assert_eq!(challenge, expected);
            assert_eq!(refused.text.len(), none.len(), "{}", refused.text);
            refused.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
        }
        // Other schemes, and a scheme in another case.
        let basic = client.request(Method::GET, "/api/v1/me").header("authorization", "Basic YTpi");
        assert_eq!(basic.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        // Two headers, of which the first is valid.
        let two = server.client().request(Method::GET, "/api/v1/me").header("authorization", "Bearer another");
        assert_eq!(two.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }

    async fn an_authenticated_read_costs_one_statement(server: Server) {
        let (client, _) = sign_up(&server, "ada@example.com").await;
        let before = statements(&server);
        for reads in 1..=3 {
            client.get("/api/v1/me").await.ok();
            assert_eq!(statements(&server), before + reads);
        }
        client.anonymous().get("/api/v1/me").await.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
        assert_eq!(statements(&server), before + 3, "a refused token costs none");
    }
}

/// The environment of a service in production.
pub(crate) fn production(url: &str) -> [(&str, &str); 4] {
    [
        ("APP_ENV", "production"),
        ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef"),
        ("AUTH_MODE", "local"),
        ("DATABASE_URL", url),
    ]
}

/// Signed with HS256 and another secret.
const FORGED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmVkLWJ5LXNvbWVib2R5LWVsc2UtYWx0b2dldGhlci0";

pub(crate) async fn set_role(server: &TestServer, role: &str) {
    let session = server.database().background("test");
    let sql = format!("UPDATE users SET role = '{role}' WHERE email = 'ada@example.com'");
    session.execute_unprepared(&sql).await.unwrap();
    session.end(berth_database::Outcome::Commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_failed_logins_are_answered_with_429_and_the_time_to_wait() {
    let strict = |settings: &mut api::settings::Settings| settings.platform.auth.attempts_per_account = 2;
    let server = start_with(Store::sqlite(), strict, |_| {}).await;
    let (client, _) = sign_up(&server, "ada@example.com").await;
    let client = client.anonymous();
    for _ in 0..2 {
        let refused = client
            .post("/api/v1/auth/login", credentials("ada@example.com", "wrong"))
            .await;
        refused.problem(StatusCode::UNAUTHORIZED, "/problems/invalid-credentials");
    }
    let refused = client
        .post("/api/v1/auth/login", credentials("Ada@example.com", PASSWORD))
        .await;
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&seconds), "{seconds}");
    refused.problem(StatusCode::TOO_MANY_REQUESTS, "/problems/too-many-attempts");
}

/// Passwords that take long, and one thread for them.
fn slow(settings: &mut api::settings::Settings) {
    let auth = &mut settings.platform.auth;
    (auth.hashing_threads, auth.hashing_queue) = (1, 1);
    (auth.password_memory, auth.password_iterations) = (131_072, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_hashing_queue_answers_503_while_other_requests_go_on_with_the_only_connection() {
    let server = start_with(Store::sqlite(), slow, |_| {}).await;
    let client = server.client();
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.anonymous();
        logins.spawn(async move {
            client
                .post("/api/v1/auth/login", credentials("a@example.com", "x"))
                .await
        });
    }
    let mut answers = vec![logins.join_next().await.unwrap().unwrap()];
    // The queue is full, so passwords are being hashed; no login holds the only connection meanwhile.
    server.is_idle().await;
    client.get("/api/v1/me").await.ok();
    while let Some(answer) = logins.try_join_next() {
        answers.push(answer.unwrap());
    }
    assert!(!logins.is_empty(), "a password is still being hashed");
    answers.extend(logins.join_all().await);
    let (mut wrong, mut busy) = (0, 0);
    for answer in answers {
        match answer.status {
            StatusCode::UNAUTHORIZED => wrong += 1,
            _ => {
                assert_eq!(answer.header("retry-after"), "2");
                answer.problem(StatusCode::SERVICE_UNAVAILABLE, "/problems/logins-busy");
                busy += 1;
            }
        }
    }
    assert!(wrong >= 2 && busy >= 1, "{wrong} wrong, {busy} busy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_began_with_the_old_password_does_not_outlive_its_change() {
    let server = start_with(Store::sqlite(), slow, |_| {}).await;
    let (client, _) = sign_up(&server, "ada@example.com").await;
    let mut logins = tokio::task::JoinSet::new();
    for email in ["nobody@example.com", "ada@example.com"] {
        let (client, before) = (client.anonymous(), statements(&server));
        let body = credentials(email, PASSWORD);
        logins.spawn(async move { client.post("/api/v1/auth/login", body).await });
        // It has looked for the account, and hashes or waits for the one thread.
        berth_testkit::eventually(async || statements(&server) > before).await;
        server.is_idle().await;
    }
    let session = server.database().background("test");
    session
        .execute_unprepared("UPDATE users SET password_hash = 'another'")
        .await
        .unwrap();
    session.end(berth_database::Outcome::Commit).await.unwrap();
    for refused in logins.join_all().await {
        refused.problem(StatusCode::UNAUTHORIZED, "/problems/invalid-credentials");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_hashes_anew_where_the_parameters_were_raised() {
    let store = Store::sqlite();
    let url = store.url();
    let server = start_with(store, |_| {}, |_| {}).await;
    let (client, _) = sign_up(&server, "ada@example.com").await;
    let stronger = |settings: &mut api::settings::Settings| {
        settings.platform.auth.password_iterations = 3;
        settings.platform.database.url = url.parse().unwrap();
    };
    let second = start_with(Store::sqlite(), stronger, |_| {}).await;
    let hash = async || {
        use sea_orm::{EntityTrait, QueryFilter};
        let session = second.database().background("test");
        let found = entity::user::Entity::find().filter(entity::user::COLUMN.email.eq("ada@example.com"));
        found.one(&session).await.unwrap().unwrap().password_hash.unwrap()
    };
    assert!(hash().await.contains("t=1,"));
    let anyone = second.client().anonymous();
    let login = anyone.post("/api/v1/auth/login", credentials("ada@example.com", PASSWORD));
    let _ = login.await.ok();
    assert!(hash().await.contains("t=3,"));
    let _ = client
        .anonymous()
        .post("/api/v1/auth/login", credentials("ada@example.com", PASSWORD))
        .await
        .ok();
}

#[tokio::test]
async fn the_command_prints_a_header_that_opens_the_service_and_not_in_production() {
    let mut running = process(&["serve", "--port", "0"], &[]);
    let client = running.listening().await;
    let url = format!(
        "sqlite://{}?mode=rwc",
        running.folder.path().join("data/berth.sqlite").display()
    );
    let (status, said, printed) = process(&["token"], &[("DATABASE_URL", &url), ("LOG_LEVEL", "off")])
        .ended()
        .await;
    assert!(status.success(), "{said}");
    let header = printed
        .iter()
        .find(|line| line.starts_with("Authorization: Bearer "))
        .unwrap();
    let client = client.anonymous().with_authorization(Some(header));
    assert_eq!(
        client.get("/api/v1/me").await.ok()["email"],
        "developer@localhost"
    );

    let (status, said, _) = process(&["token"], &production(&url)).ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("users log in"), "{said}");
    let unknown = [("DATABASE_URL", &*url)];
    let (status, said, _) = process(&["token", "--email", "nobody@example.com"], &unknown)
        .ended()
        .await;
    assert!(!status.success() && said.contains("not found"), "{said}");
}
