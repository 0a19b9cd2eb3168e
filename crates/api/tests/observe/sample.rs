//! The example's requests in traces.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::site::Site;
use crate::traces::{PARENT, TRACE, goes_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_continues_in_the_chat_model() {
    const ANSWER: &str = r#"{"choices":[{"message":{"role":"assistant","content":"Yes."}}]}"#;
    let model = Peer::start(ANSWER).await;
    let site = Site::start_with(|settings| settings.responder.url = Some(model.url.clone())).await;
    let post = async |path: &str, body: Value| {
        let request = site.request(Method::POST, path).json(&body);
        let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    let conversation = post("/api/v1/conversations", json!({ "title": "traced" })).await;
    post(&format!("{conversation}/messages"), json!({ "body": "Well?" })).await;
    goes_on(&model);
}
