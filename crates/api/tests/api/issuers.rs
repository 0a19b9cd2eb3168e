//! Users of an identity provider (`auth.mode = "jwks"`).

use berth_auth::{Application, Auth, Mode};
use berth_settings::Secret;
use berth_web::testing::{Client, Store, TestServer};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::statements;
use crate::server::start_with;

/// An issuer that signs with a secret, as Supabase's legacy keys: what it publishes is tested in `berth-auth`.
const ISSUER: &str = "http://127.0.0.1:9/auth/v1";
const SECRET: &str = "the-legacy-secret-of-thirty-two-characters";

async fn start(store: Store) -> TestServer {
    let jwks = |settings: &mut api::settings::Settings| {
        let auth = &mut settings.platform.auth;
        auth.mode = Mode::Jwks;
        auth.issuers = Some(ISSUER.to_owned());
        auth.audience = Some(ISSUER.to_owned());
        auth.secret = Some(Secret::from(SECRET.to_owned()));
    };
    start_with(store, jwks, |_| {}).await
}

/// A client of a user whom the issuer knows.
fn user(server: &TestServer, subject: Uuid) -> Client {
    let application = Application {
        name: ISSUER.to_owned(),
        secret: Secret::from(SECRET.to_owned()),
        previous_secret: None,
    };
    let issuer = Auth::new(&berth_auth::Settings::default(), &application).unwrap();
    let token = issuer
        .local()
        .unwrap()
        .access_tokens()
        .issue(subject, "authenticated")
        .unwrap();
    server.client().with_token(&token)
}

on_each_store! {
    async fn the_first_sight_of_a_subject_makes_its_user_and_later_reads_cost_one_statement(store: Store) {
        let server = start(store).await;
        let subject = Uuid::new_v4();
        let client = user(&server, subject);
        let me = client.get("/api/v1/me").await.ok();
        assert_eq!((&me["id"], &me["email"]), (&json!(subject), &Value::Null));
        let before = statements(&server);
        for reads in 1..=3 {
            assert_eq!(client.get("/api/v1/me").await.ok(), me);
            assert_eq!(statements(&server), before + reads);
        }
        let another = user(&server, Uuid::new_v4()).get("/api/v1/me").await.ok();
        assert_ne!(another["id"], me["id"]);
    }

    async fn a_user_who_is_deleted_is_made_anew(store: Store) {
        let server = start(store).await;
        let client = user(&server, Uuid::new_v4());
        client.patch("/api/v1/me", json!({ "name": "Named" })).await.ok();
        client.delete("/api/v1/me").await.no_content();
        assert_eq!(client.get("/api/v1/me").await.ok()["name"], "User");
    }

    async fn concurrent_first_requests_make_one_user(store: Store) {
        let server = start(store).await;
        let client = user(&server, Uuid::new_v4());
        let both = tokio::join!(client.get("/api/v1/me"), client.get("/api/v1/me"));
        assert_eq!(both.0.ok(), both.1.ok());
    }

    async fn the_service_keeps_no_passwords_itself(store: Store) {
        let server = start(store).await;
        let login = json!({ "email": "ada@example.com", "password": "correct horse" });
        let refused = server.client().post("/api/v1/auth/login", login).await;
        refused.problem(StatusCode::NOT_FOUND, "/problems/not-found");
    }
}
