//! The description of the API, and the page that shows it.

use crate::server::start;
use berth_web::testing::{Response, Store, breaking_changes};
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == api::openapi::text().unwrap(),
        "run `make openapi` and commit docs/openapi.json"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_described_exists() {
    let server = start(Store::sqlite()).await;
    let document = server.client().get("/api/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let address = with_ids(path);
            let answer = Response::to(server.client().request(method.clone(), &address)).await;
            let missing = answer.status == StatusCode::METHOD_NOT_ALLOWED
                || (answer.status == StatusCode::NOT_FOUND && answer.json()["type"] == "about:blank");
            assert!(!missing, "{method} {path}: {}", answer.text);
            tried += 1;
        }
    }
    assert!(tried >= 5, "{tried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_need_a_token_unless_they_say_otherwise() {
    let server = start(Store::sqlite()).await;
    let document = server.client().get("/api/openapi.json").await.ok();
    let scheme = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    assert_eq!(document["security"], json!([{ "bearer": [] }]));
    let client = server.client().anonymous();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = Response::to(client.request(method.clone(), &with_ids(path)).json(&json!({}))).await;
            let needs_token = operation.get("security").is_none();
            let refused = answer.status == StatusCode::UNAUTHORIZED;
            assert_eq!(refused, needs_token, "{method} {path}: {}", answer.text);
        }
    }
}

/// `docs/openapi.released.json` is what clients were made from: a copy of `docs/openapi.json` from the last release.
#[test]
fn a_breaking_change_of_the_document_is_named_in_the_changelog() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let released = std::fs::read_to_string(root.join("docs/openapi.released.json")).unwrap();
    let present = serde_json::to_value(api::openapi::api()).unwrap();
    let changelog = std::fs::read_to_string(root.join("CHANGELOG.md")).unwrap();
    let unreleased = changelog.split("\n## ").nth(1).unwrap_or_default();
    let unreleased = unreleased.split_whitespace().collect::<Vec<_>>().join(" ");
    let unnamed: Vec<_> = breaking_changes(&serde_json::from_str(&released).unwrap(), &present)
        .into_iter()
        .filter(|change| !unreleased.contains(change))
        .collect();
    assert!(
        unnamed.is_empty(),
        "CHANGELOG.md does not name, in its first section: {unnamed:#?}"
    );
}

/// What a generated client relies on.
#[test]
fn each_operation_has_an_id_of_its_own_and_plain_words() {
    let document = serde_json::to_value(api::openapi::api()).unwrap();
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|path| path.as_object().unwrap().values());
    let mut ids = std::collections::BTreeSet::new();
    for operation in operations {
        let id = operation["operationId"].as_str().unwrap().to_owned();
        assert!(ids.insert(id.clone()), "{id} twice");
    }
    let text = document.to_string();
    assert!(!text.contains("[`"), "a rustdoc link in a description");
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let place = reference.split('"').next().unwrap();
        assert!(
            document.pointer(place).is_some(),
            "{place} is not in the document"
        );
    }
    assert_eq!(document["servers"], json!([{ "url": "/" }]));
}

/// The path with a key where it wants one.
fn with_ids(path: &str) -> String {
    let id = |part: &str| {
        part.starts_with('{')
            .then_some("0198f2f1-b1c2-7c2a-9d0f-3f6f4f1f2a3b")
    };
    let parts: Vec<&str> = path.split('/').map(|part| id(part).unwrap_or(part)).collect();
    parts.join("/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_of_the_page_comes_from_here() {
    let server = start(Store::sqlite()).await;
    let page = server
        .client()
        .get("/docs")
        .await
        .assert_status(StatusCode::OK)
        .text;
    let links = page
        .split('"')
        .filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    let links: Vec<&str> = links.collect();
    assert!(links.len() >= 4, "{page}");
    for link in links {
        assert!(!link.contains("//"), "{link} comes from elsewhere");
        let file = server
            .client()
            .get(&format!("/docs/{link}"))
            .await
            .assert_status(StatusCode::OK);
        assert!(!file.text.is_empty(), "{link}");
    }
    let initializer = server.client().get("/docs/swagger-initializer.js").await;
    assert!(
        initializer
            .assert_status(StatusCode::OK)
            .text
            .contains("/api/openapi.json")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_lists_the_addresses_of_the_service() {
    let server = start(Store::sqlite()).await;
    let home = server.client().get("/").await.ok();
    for key in ["docs", "openapi"] {
        let Value::String(address) = &home[key] else {
            panic!("{home}")
        };
        let _ = server.client().get(address).await.assert_status(StatusCode::OK);
    }
}
