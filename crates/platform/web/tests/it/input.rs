//! Input as clients send it: what does not fit is refused with its path, in words for a client.

use actix_web::web::{self, ServiceConfig};
use berth_web::extract::{Json, Patch, Query, nullable};
use berth_web::testing::{Client, Response, Store};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::service::start;

const INVALID: &str = "/problems/invalid-input";

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Order {
    title: String,
    #[serde(default)]
    express: bool,
    #[serde(default)]
    lines: Vec<Line>,
    kind: Option<Kind>,
    product: Option<Uuid>,
    at: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    count: u16,
    price: Option<f64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Gift,
    Bulk(Line),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Change {
    title: Option<String>,
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Option::is_none"
    )]
    note: Option<Option<String>>,
    line: Option<Line>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Search {
    word: String,
    most: Option<u8>,
    exact: Option<bool>,
}

fn routes(table: &mut ServiceConfig) {
    table
        .route(
            "/orders",
            web::post().to(async |Json(order): Json<Order>| web::Json(order)),
        )
        .route(
            "/orders",
            web::patch().to(async |Patch(change): Patch<Change>| web::Json(change)),
        )
        .route(
            "/orders",
            web::get().to(async |Query(search): Query<Search>| web::Json(search)),
        );
}

async fn error(answer: Response) -> (String, String) {
    let problem = answer.problem(StatusCode::UNPROCESSABLE_ENTITY, INVALID);
    let field = |name: &str| problem["errors"][0][name].as_str().unwrap_or_default().to_owned();
    (field("path"), field("message"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_does_not_fit_is_reported_with_its_path_and_without_rust_types() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let cases = [
        (json!(["title", true]), "", "must be an object"),
        (json!("title"), "", "must be an object"),
        (json!(null), "", "must be an object"),
        (json!({}), "title", "is required"),
        (json!({ "title": 1 }), "title", "must be a string"),
        (json!({ "title": null }), "title", "must be a string"),
        (
            json!({ "title": "a", "express": "yes" }),
            "express",
            "must be true or false",
        ),
        (
            json!({ "title": "a", "more": 1 }),
            "more",
            "is not known here; known are `title`",
        ),
        (json!({ "title": "a", "lines": {} }), "lines", "must be an array"),
        (
            json!({ "title": "a", "lines": [[1, 2.0]] }),
            "lines[0]",
            "must be an object",
        ),
        (
            json!({ "title": "a", "lines": [{ "count": 1 }, {}] }),
            "lines[1].count",
            "is required",
        ),
        (
            json!({ "title": "a", "lines": [{ "count": 70_000 }] }),
            "lines[0].count",
            "must be a whole number from 0 to 65535",
        ),
        (
            json!({ "title": "a", "lines": [{ "count": -1 }] }),
            "lines[0].count",
            "must be a whole number from 0 to 65535",
        ),
        (
            json!({ "title": "a", "lines": [{ "count": 1, "price": "x" }] }),
            "lines[0].price",
            "must be a number",
        ),
        (
            json!({ "title": "a", "kind": "other" }),
            "kind",
            "must be one of `gift`, `bulk`",
        ),
        (
            json!({ "title": "a", "kind": 3 }),
            "kind",
            "must be one of the documented values",
        ),
        (
            json!({ "title": "a", "kind": { "bulk": [1, 2.0] } }),
            "kind.bulk",
            "must be an object",
        ),
        (json!({ "title": "a", "product": "x" }), "product", "UUID"),
        (json!({ "title": "a", "at": "yesterday" }), "at", "input"),
    ];
    for (body, path, message) in cases {
        let (found, says) = error(server.client().post("/orders", body.clone()).await).await;
        assert_eq!(found, path, "{body}: {says}");
        assert!(says.contains(message), "{body}: {says}");
        for word in ["Order", "Line", "Kind", "struct", "u16", "column", "line "] {
            assert!(!says.contains(word), "{body}: {says}");
        }
    }
    let whole = json!({ "title": "a", "express": true, "lines": [{ "count": 1, "price": 2.5 }], "kind": { "bulk": { "count": 2, "price": null } },
        "product": "0198f2f1-b1c2-7c2a-9d0f-3f6f4f1f2a3b", "at": "2026-01-01T00:00:00Z" });
    assert_eq!(server.client().post("/orders", whole.clone()).await.ok(), whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_occurs_twice_is_refused() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let request = server.client().request(Method::POST, "/orders");
    let request = request
        .header("content-type", "application/json")
        .body(r#"{"title":"a","title":"b"}"#);
    let refused = error(Response::to(request).await).await;
    assert_eq!(refused, ("title".to_owned(), "must occur once".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_nothing_and_a_null_are_refused() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let client = server.client();
    let cases = [
        (json!({}), ""),
        (json!([]), ""),
        (json!({ "title": null }), "title"),
        (json!({ "line": null }), "line"),
    ];
    for (body, path) in cases {
        assert_eq!(
            error(client.patch("/orders", body.clone()).await).await.0,
            path,
            "{body}"
        );
    }
    let changed = client
        .patch(
            "/orders",
            json!({ "note": null, "line": { "count": 1, "price": null } }),
        )
        .await
        .ok();
    assert_eq!(
        changed,
        json!({ "title": null, "note": null, "line": { "count": 1, "price": null } })
    );
    let text = client.patch("/orders", json!({ "note": "a" })).await.ok();
    assert_eq!(text, json!({ "title": null, "note": "a", "line": null }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_read_like_a_body() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let cases = [
        ("", "word", "is required"),
        ("word=a&most=x", "most", "must be a whole number from 0 to 255"),
        ("word=a&most=", "most", "must be a whole number from 0 to 255"),
        ("word=a&exact=yes", "exact", "must be true or false"),
        ("word=a&word=b", "word", "must occur once"),
        ("word=a&x=1", "x", "is not known here"),
    ];
    for (query, path, message) in cases {
        let (found, says) = error(server.client().get(&format!("/orders?{query}")).await).await;
        assert_eq!(found, path, "{query}");
        assert!(says.contains(message), "{query}: {says}");
    }
    let found = server
        .client()
        .get("/orders?word=a+b%26&most=7&exact=true")
        .await
        .ok();
    assert_eq!(found, json!({ "word": "a b&", "most": 7, "exact": true }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_may_have_as_many_levels_as_the_setting_says() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let server = start(Store::sqlite(), |settings| settings.server.json_depth = 3, routes).await;
    let send = async |client: Client, body: String| {
        let request = client
            .request(Method::POST, "/orders")
            .header("content-type", "application/json");
        Response::to(request.body(body))
            .await
            .problem(StatusCode::UNPROCESSABLE_ENTITY, INVALID)
    };
    let fits = send(server.client(), nested(3)).await;
    assert_eq!(fits["errors"][0]["message"], "must be an object");
    for levels in [4, 100] {
        let refused = send(server.client(), nested(levels)).await;
        assert!(
            refused["detail"].as_str().unwrap().contains("at most 3 levels"),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trailing_slash_leads_to_the_address_without_it() {
    let server = start(Store::sqlite(), |_| {}, routes).await;
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let ask = async |method: Method, path: &str| {
        let sent = http
            .request(method, format!("http://{}{path}", server.address()))
            .send()
            .await
            .unwrap();
        let place = sent
            .headers()
            .get("location")
            .map(|place| place.to_str().unwrap().to_owned());
        (sent.status().as_u16(), place)
    };
    assert_eq!(
        ask(Method::POST, "/orders/").await,
        (308, Some("/orders".to_owned()))
    );
    assert_eq!(
        ask(Method::GET, "/orders//?word=a").await,
        (308, Some("/orders?word=a".to_owned()))
    );
    for elsewhere in ["/nowhere/", "//example.org/", "//orders/", "/%2Fexample.org/"] {
        assert_eq!(ask(Method::GET, elsewhere).await, (404, None), "{elsewhere}");
    }
}
