//! Conversations: create, read, change, delete and list.

use super::factory;
use crate::server::process;
use berth_web::testing::{Client, Response};
use std::panic::Location;

use reqwest::{Method, StatusCode};
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

    async fn a_page_has_20_items_unless_it_is_asked_for_up_to_100(server: Server) {
        let made = factory::conversations(&server, &["one of many"; 101]).await;
        for (query, expected) in [("", 20), ("?limit=100", 100)] {
            let page = server.client().get(&format!("{ALL}{query}")).await.ok();
            assert_eq!(page["items"].as_array().unwrap().len(), expected);
            assert_eq!(page["items"][0]["id"], json!(made[100].id), "the newest is first");
            assert!(page["next"].is_string());
        }
    }

    async fn a_list_is_filtered_and_sorted_page_by_page(server: Server) {
        let client = server.client();
        let mut places = Vec::new();
        for title in ["one", "two", "three", "four", "five"] {
            places.push(client.conversation(title).await);
        }
        for place in [&places[3], &places[0], &places[2]] {
            client.patch(place, json!({ "is_public": true })).await.ok();
        }
        let titles = async |query: &str| {
            let (mut next, mut titles) = (Some(format!("{ALL}?limit=2&{query}")), Vec::new());
            while let Some(address) = next {
                let page = client.get(&address).await.ok();
                titles.extend(page["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()));
                next = page["next"].as_str().map(str::to_owned);
            }
            titles
        };
        assert_eq!(titles("sort=-updated_at").await, ["three", "one", "four", "five", "two"]);
        assert_eq!(titles("sort=updated_at").await, ["two", "five", "four", "one", "three"]);
        assert_eq!(titles("is_public=true").await, ["four", "three", "one"]);
        assert_eq!(titles("is_public=false&sort=updated_at").await, ["two", "five"]);
        for (query, path) in [("sort=title", "sort"), ("is_public=yes", "is_public"), ("title=one", "title")] {
            let refused = client.get(&format!("{ALL}?{query}")).await;
            let refused = refused.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
            assert_eq!(refused["errors"][0]["path"], path);
        }
        for cursor in ["f".repeat(48), "0".repeat(48), format!("7{}", "f".repeat(47))] {
            for sort in ["", "&sort=updated_at", "&sort=-updated_at"] {
                client.get(&format!("{ALL}?cursor={cursor}{sort}")).await.ok();
            }
        }
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

    async fn a_read_has_an_etag_and_is_not_sent_again(server: Server) {
        let client = server.client();
        let (_, place) = client.post(ALL, json!({ "title": "a" })).await.created();
        let first = client.get(&place).await;
        let tag = first.header("etag");
        assert_eq!((tag.as_str(), first.header("cache-control").as_str()), ("\"1\"", "private, no-cache"));
        for known in [&*tag, "W/\"1\"", "*", "\"7\", \"1\""] {
            let answer = when(&client, Method::GET, &place, "if-none-match", known, None).await;
            let answer = answer.assert_status(StatusCode::NOT_MODIFIED);
            assert_eq!((answer.header("etag"), &*answer.text), (tag.clone(), ""));
        }
        for other in ["\"2\"", "nonsense"] {
            let answer = when(&client, Method::GET, &place, "if-none-match", other, None).await;
            assert_eq!(answer.ok()["title"], "a");
        }
        let changed = client.patch(&place, json!({ "title": "b" })).await;
        assert_eq!(changed.header("etag"), "\"2\"");
        let answer = when(&client, Method::GET, &place, "if-none-match", &tag, None).await;
        assert_eq!(answer.ok()["title"], "b");
    }

    async fn a_change_of_a_version_that_is_over_is_refused(server: Server) {
        let client = server.client();
        let (_, place) = client.post(ALL, json!({ "title": "a" })).await.created();
        let change = |title: &str| Some(json!({ "title": title }));
        let changed = when(&client, Method::PATCH, &place, "if-match", "\"1\"", change("b")).await;
        assert_eq!(changed.header("etag"), "\"2\"");
        changed.ok();
        for over in ["\"1\"", "W/\"2\"", "\"1\", \"3\"", "\"02\"", "\"+2\"", "nonsense", ""] {
            for method in [Method::PATCH, Method::DELETE] {
                let refused = when(&client, method, &place, "if-match", over, change("c")).await;
                refused.problem(StatusCode::PRECONDITION_FAILED, "/problems/precondition-failed");
            }
        }
        let missing = format!("{ALL}/0198f2f1-b1c2-7c2a-9d0f-3f6f4f1f2a3b");
        let missing = when(&client, Method::PATCH, &missing, "if-match", "\"1\"", change("c")).await;
        missing.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        assert_eq!(client.get(&place).await.ok()["title"], "b");
        when(&client, Method::PATCH, &place, "if-match", "*", change("d")).await.ok();
        when(&client, Method::DELETE, &place, "if-match", "\"3\"", None).await.no_content();
    }

    async fn of_concurrent_changes_of_one_version_exactly_one_is_made(server: Server) {
        let client = server.client();
        let (_, place) = client.post(ALL, json!({ "title": "a" })).await.created();
        let sent: Vec<_> = (0..30).map(|number| {
            let (client, place) = (client.clone(), place.clone());
            tokio::spawn(async move {
                let body = Some(json!({ "title": number.to_string() }));
                when(&client, Method::PATCH, &place, "if-match", "\"1\"", body).await.status
            })
        }).collect();
        let mut statuses = Vec::new();
        for answer in sent {
            statuses.push(answer.await.unwrap());
        }
        let count = |status| statuses.iter().filter(|found| **found == status).count();
        assert_eq!((count(StatusCode::OK), count(StatusCode::PRECONDITION_FAILED)), (1, 29), "{statuses:?}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_if_match_is_refused_where_the_setting_demands_it() {
    let strict = |settings: &mut api::settings::Settings| settings.server.require_if_match = true;
    let server = crate::server::start_with(berth_web::testing::Store::sqlite(), strict, |_| {}).await;
    let client = server.client();
    let place = client.conversation("a").await;
    let refused = client.patch(&place, json!({ "title": "b" })).await;
    refused.problem(StatusCode::PRECONDITION_REQUIRED, "about:blank");
    let refused = client.delete(&place).await;
    refused.problem(StatusCode::PRECONDITION_REQUIRED, "about:blank");
    let body = Some(json!({ "title": "b" }));
    when(&client, Method::PATCH, &place, "if-match", "\"1\"", body)
        .await
        .ok();
}

async fn when(
    client: &Client,
    method: Method,
    place: &str,
    header: &str,
    tags: &str,
    body: Option<serde_json::Value>,
) -> Response {
    let request = client.request(method, place).header(header, tags);
    Response::to(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
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
