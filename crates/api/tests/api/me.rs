//! The user who sends the request.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

on_each_database! {
    async fn the_user_of_the_token_is_read_renamed_and_deleted(server: Server) {
        let client = server.client();
        let user = client.get("/api/v1/me").await.ok();
        assert_eq!(user["email"], "developer@localhost");
        assert!(user["id"].as_str().unwrap().parse::<Uuid>().is_ok(), "{user}");
        let renamed = client.patch("/api/v1/me", json!({ "name": " New name " })).await.ok();
        assert_eq!((&renamed["name"], &renamed["id"]), (&json!("New name"), &user["id"]));
        let problem = client.patch("/api/v1/me", json!({ "name": " " })).await;
        let problem = problem.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
        assert_eq!(problem["errors"][0]["path"], "name");
        client.delete("/api/v1/me").await.no_content();
        client.get("/api/v1/me").await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        let gone = client.patch("/api/v1/me", json!({ "name": "Nobody" })).await;
        gone.problem(StatusCode::NOT_FOUND, "/problems/not-found");
    }

    async fn without_a_token_there_is_no_user(server: Server) {
        let refused = server.client().anonymous().get("/api/v1/me").await;
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        refused.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_quota_is_counted_by_the_token_and_not_by_the_address() {
    let strict = |settings: &mut api::settings::Settings| {
        settings.rate_limit.enabled = true;
        settings.rate_limit.per_user = 2;
    };
    let server = crate::server::start_with(berth_web::testing::Store::sqlite(), strict, |_| {}).await;
    for left in [1, 0] {
        let answer = server.client().get("/api/v1/me").await;
        let header = answer.header("ratelimit");
        assert!(header.starts_with(&format!("\"user\";r={left};")), "{header}");
        answer.ok();
    }
    let refused = server.client().get("/api/v1/me").await;
    refused.problem(reqwest::StatusCode::TOO_MANY_REQUESTS, "/problems/rate-limited");
    let invented = server.client().with_token("invented").get("/").await;
    assert!(
        invented.header("ratelimit").starts_with("\"address\";"),
        "{invented:?}"
    );
    invented.ok();
}
