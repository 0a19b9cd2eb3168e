//! Row-level security from the token to the row, on PostgreSQL.

use std::time::Duration;

use api::settings::Settings;
use berth_testkit::{Limiter, LimiterOptions};
use berth_web::testing::{Client, Response, Store, TestServer};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection, raw_sql};

use super::conversations::CreateConversation;
use crate::auth::sign_up;
use crate::server::{postgres, start_with};

const ALL: &str = "/api/v1/conversations";

/// A server that runs each request as the role of its token, and a role of the test's own.
struct Site {
    server: TestServer,
    admin: PgConnection,
    role: String,
}

impl Site {
    async fn start() -> Self {
        Self::start_on(postgres().await, |_| {}).await
    }

    async fn start_on(store: Store, adjust: impl FnOnce(&mut Settings)) -> Self {
        let Store::Postgres(database) = &store else {
            unreachable!("the store is on PostgreSQL")
        };
        let role = format!("users_of_{}", database.name());
        let mut admin = database.admin().await;
        let made = format!(
            "CREATE ROLE {role} NOLOGIN; GRANT {role} TO {}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON conversations, messages TO {role}",
            database.role()
        );
        raw_sql(AssertSqlSafe(made)).execute(&mut admin).await.unwrap();
        let secured = |settings: &mut Settings| {
            settings.platform.auth.row_level_security = true;
            adjust(settings);
        };
        let server = start_with(store, secured, |_| {}).await;
        Self { server, admin, role }
    }

    /// A user with the role of the test.
    async fn user(&mut self, email: &str) -> Client {
        let role = self.role.clone();
        self.user_with(email, &role).await
    }

    async fn user_with(&mut self, email: &str, role: &str) -> Client {
        let (client, _) = sign_up(&self.server, email).await;
        self.run(&format!(
            "UPDATE users SET role = '{role}' WHERE email = '{email}'"
        ))
        .await;
        let login = json!({ "email": email, "password": "correct horse battery staple" });
        let tokens = client.anonymous().post("/api/v1/auth/login", login).await.ok();
        client.with_token(tokens["access_token"].as_str().unwrap())
    }

    async fn run(&mut self, sql: &str) {
        raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.admin)
            .await
            .unwrap();
    }

    /// The role is the cluster's, so that it does not go with the database.
    async fn end(mut self) {
        let role = self.role.clone();
        self.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_decide_what_a_user_sees_and_changes() {
    let mut site = Site::start().await;
    let (ada, ben) = (
        site.user("ada@example.com").await,
        site.user("ben@example.com").await,
    );
    let place = ada.conversation("private").await;
    let (_, public) = ada
        .post(ALL, json!({ "title": "public", "is_public": true }))
        .await
        .created();
    ada.post(&format!("{place}/messages"), json!({ "body": "Hi" }))
        .await
        .created();
    assert_eq!(ada.get(&place).await.ok()["title"], "private");
    assert_eq!(ada.get(ALL).await.ok()["items"].as_array().unwrap().len(), 2);
    ben.get(&place)
        .await
        .problem(StatusCode::NOT_FOUND, "/problems/not-found");
    assert_eq!(ben.get(&public).await.ok()["is_yours"], false);
    let exported = ada
        .get(&format!("{place}/messages/export"))
        .await
        .assert_status(StatusCode::OK);
    assert_eq!(
        exported.text.lines().count(),
        2,
        "a streamed body has the role too"
    );

    // The queries name the owner; the policies hold without them.
    site.run("UPDATE conversations SET is_public = true WHERE title = 'private'; DROP POLICY public ON conversations")
        .await;
    assert_eq!(ada.get(&place).await.ok()["title"], "private");
    ben.get(&place)
        .await
        .problem(StatusCode::NOT_FOUND, "/problems/not-found");

    site.run("DROP POLICY own ON conversations").await;
    assert_eq!(
        ada.get(ALL).await.ok()["items"],
        json!([]),
        "without a policy nothing is seen"
    );
    let refused = ada.post(ALL, json!({ "title": "new" })).await;
    refused.problem(StatusCode::FORBIDDEN, "/problems/forbidden");
    // The user's own row and logins are the service's business.
    assert_eq!(ada.get("/api/v1/me").await.ok()["email"], "ada@example.com");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_of_an_idempotency_key_is_stored_beside_the_work_of_a_role_that_cannot_see_it() {
    let mut site = Site::start().await;
    let ada = site.user("ada@example.com").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = ada.request(Method::POST, ALL).header("idempotency-key", "once");
        let (made, _) = Response::to(request.json(&json!({ "title": "one" })))
            .await
            .created();
        ids.push(made["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ada.get(ALL).await.ok()["items"].as_array().unwrap().len(), 1);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_privilege_and_a_refused_role_are_403_and_keep_the_connection() {
    let mut site = Site::start().await;
    let ada = site.user("ada@example.com").await;
    let place = ada.conversation("kept").await;
    let pid = async |site: &mut Site| -> i32 {
        let database = format!(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'berth/%' AND datname = '{}'",
            site.role.trim_start_matches("users_of_")
        );
        sqlx::query_scalar(AssertSqlSafe(database))
            .fetch_one(&mut site.admin)
            .await
            .unwrap()
    };
    let before = pid(&mut site).await;
    for role in ["no_such_role", "pg_monitor", "none", ""] {
        let stranger = site.user_with(&format!("{role}x@example.com"), role).await;
        stranger
            .get(&place)
            .await
            .problem(StatusCode::FORBIDDEN, "/problems/forbidden");
    }
    let revoke = format!("REVOKE SELECT ON conversations FROM {}", site.role);
    site.run(&revoke).await;
    ada.get(&place)
        .await
        .problem(StatusCode::FORBIDDEN, "/problems/forbidden");
    assert_eq!(pid(&mut site).await, before);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_token_runs_as_the_service() {
    let mut site = Site::start().await;
    let ada = site.user("ada@example.com").await;
    let (_, public) = ada
        .post(ALL, json!({ "title": "public", "is_public": true }))
        .await
        .created();
    assert_eq!(ada.anonymous().get(&public).await.ok()["title"], "public");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_of_a_keyed_request_is_stored_by_the_service() {
    let mut site = Site::start().await;
    let ada = site.user("ada@example.com").await;
    let mut places = Vec::new();
    for _ in 0..2 {
        let request = ada.request(Method::POST, ALL).header("idempotency-key", "once");
        let answer = Response::to(request.json(&json!({ "title": "once" }))).await;
        places.push(answer.created().1);
    }
    assert_eq!(places[0], places[1]);
    assert_eq!(ada.get(ALL).await.ok()["items"].as_array().unwrap().len(), 1);
    site.end().await;
}

/// BEGIN with the role, SELECT, and after the answer ROLLBACK; without a role SELECT alone. Counted by a limiter between
/// the service and the server: bytes that take a while are counted exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_a_user_takes_three_round_trips_of_a_connection_and_one_of_the_service_one() {
    let store = postgres().await;
    let Store::Postgres(database) = &store else {
        unreachable!("the store is on PostgreSQL")
    };
    let options = LimiterOptions::limit(5).latency(Duration::from_millis(20));
    let limiter = Limiter::start(database, options);
    let url = limiter.url();
    let mut site = Site::start_on(store, |settings| settings.database.url = url.parse().unwrap()).await;
    let ada = site.user("ada@example.com").await;
    let public = json!({ "title": "public", "is_public": true });
    let (_, place) = ada.post(ALL, public).await.created();
    for (client, of_each) in [(&ada, 3), (&ada.anonymous(), 1)] {
        let mut fewest = u64::MAX;
        // The first read prepares the statement, and the pool may use the connection between two.
        for _ in 0..3 {
            site.server.is_idle().await;
            let before = limiter.counts().round_trips;
            for _ in 0..4 {
                client.get(&place).await.ok();
            }
            site.server.is_idle().await;
            fewest = fewest.min(limiter.counts().round_trips - before);
        }
        assert_eq!(fewest, 4 * of_each);
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_whose_role_may_not_write_jobs_enqueues_one_all_the_same() {
    let mut site = Site::start().await;
    let user = site.user("enqueues@example.com").await;
    let conversation = user.conversation("New conversation").await;
    let question = json!({ "body": "Hello?" });
    let _ = user
        .post(&format!("{conversation}/messages"), question)
        .await
        .created();
    site.run("DO $$ BEGIN ASSERT (SELECT count(*) FROM jobs WHERE name = 'name_conversation') = 1; END $$")
        .await;
    site.end().await;
}
