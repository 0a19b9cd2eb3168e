//! Conversations: create, read, change, delete and list.

use crate::server::process;
use berth_web::testing::Client;
use std::panic::Location;

use reqwest::StatusCode;
use serde_json::json;

const ALL: &str = "/api/v1/conversations";

on_each_database! {
    async fn a_conversation_is_created_read_changed_and_deleted(server: Server) {
        let client = server.client();
        let (made, place) = client.post(ALL, json!({ "title": " First " })).await.created();
        assert_eq!(place, format!("{ALL}/{}", made["id"].as_str().unwrap()));
        assert_eq!((&made["title"], &made["is_public"]), (&json!("First"), &json!(false)));
        assert_eq!(client.get(&place).await.ok(), made);

        let changed = client.patch(&place, json!({ "is_public": true })).await.ok();
        assert_eq!((&changed["title"], &changed["is_public"]), (&json!("First"), &json!(true)));
        assert_eq!(client.get(&place).await.ok(), changed);

        client.delete(&place).await.no_content();
        client.get(&place).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        client.delete(&place).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
    }

    async fn pages_are_linked_by_next_and_end(server: Server) {
        let client = server.client();
        for title in ["one", "two", "three", "four", "five"] {
            client.conversation(title).await;
        }
        let (mut next, mut titles, mut pages) = (Some(format!("{ALL}?limit=2")), Vec::new(), 0);
        while let Some(address) = next {
            let page = client.get(&address).await.ok();
            titles.extend(page["items"].as_array().unwrap().iter().map(|item| item["title"].clone()));
            next = page["next"].as_str().map(str::to_owned);
            pages += 1;
        }
        assert_eq!((titles, pages), (vec![json!("five"), json!("four"), json!("three"), json!("two"), json!("one")], 3));
    }

    async fn pages_stay_stable_while_rows_come_and_go(server: Server) {
        let client = server.client();
        let old = client.conversation("old").await;
        for title in ["a", "b", "c"] {
            client.conversation(title).await;
        }
        let first = client.get(&format!("{ALL}?limit=2")).await.ok();
        client.conversation("new").await;
        client.delete(&old).await.no_content();
        let second = client.get(first["next"].as_str().unwrap()).await.ok();
        assert_eq!(second["items"].as_array().unwrap().len(), 1);
        assert_eq!(second["items"][0]["title"], "a");
    }

    async fn an_invalid_title_is_reported_by_its_path(server: Server) {
        let client = server.client();
        for title in [json!(""), json!("   "), json!("x".repeat(201)), json!("nul\u{0}")] {
            let problem = client.post(ALL, json!({ "title": title })).await;
            let problem = problem.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
            assert_eq!(problem["errors"][0]["path"], "title", "{problem}");
        }
        let place = client.conversation("kept").await;
        let problem = client.patch(&place, json!({ "title": "" })).await;
        let problem = problem.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
        assert_eq!(problem["errors"][0]["path"], "title");
        assert_eq!(client.get(&place).await.ok()["title"], "kept");
    }

    async fn a_change_of_nothing_leaves_the_conversation_as_it_is(server: Server) {
        let client = server.client();
        let place = client.conversation("kept").await;
        let before = client.get(&place).await.ok();
        for change in [json!({}), json!({ "title": null }), json!(["title", true])] {
            let refused = client.patch(&place, change).await;
            refused.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
        }
        assert_eq!(client.get(&place).await.ok(), before);
    }

    async fn an_invalid_page_is_reported_by_its_parameter(server: Server) {
        let client = server.client();
        for (query, path) in [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor")] {
            let problem = client.get(&format!("{ALL}?{query}")).await;
            let problem = problem.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
            assert_eq!(problem["errors"][0]["path"], path, "{problem}");
        }
    }
}

#[tokio::test]
async fn stored_conversations_survive_a_restart() {
    let mut first = process(&["serve", "--port", "0"], &[]);
    let place = first.listening().await.conversation("kept").await;
    first.signal("INT").await;
    let url = format!(
        "sqlite://{}?mode=rwc",
        first.folder.path().join("data/berth.sqlite").display()
    );
    let mut second = process(&["--port", "0"], &[("DATABASE_URL", &url)]);
    assert_eq!(second.listening().await.get(&place).await.ok()["title"], "kept");
    assert!(first.ended().await.0.success());
}

pub(crate) trait CreateConversation {
    /// Creates a conversation and returns its path.
    fn conversation(&self, title: &str) -> impl Future<Output = String>;
}

impl CreateConversation for Client {
    #[track_caller]
    fn conversation(&self, title: &str) -> impl Future<Output = String> {
        let (place, client, title) = (Location::caller(), self.clone(), title.to_owned());
        async move {
            let answer = client
                .post("/api/v1/conversations", json!({ "title": title }))
                .await;
            assert_eq!(answer.status, StatusCode::CREATED, "at {place}: {}", answer.text);
            answer.header("location")
        }
    }
}
