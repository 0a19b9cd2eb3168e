//! The example's requests in traces.

use berth_testkit::eventually;
use berth_web::testing::{Peer, Response, Store};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::start_with;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_continues_in_the_chat_model_and_in_the_job_that_asks_it() {
    const ANSWER: &str = r#"{"choices":[{"message":{"role":"assistant","content":"Yes."}}]}"#;
    let model = Peer::start(ANSWER).await;
    let url = model.url.clone();
    let server = start_with(
        Store::sqlite(),
        |settings| {
            settings.chat_model.url = Some(url);
            settings.platform.jobs.workers = 1;
        },
        |_| {},
    )
    .await;
    let post = async |path: &str, body: Value| {
        let request = server.client().request(Method::POST, path).json(&body);
        let request = request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
        Response::to(request).await.created().1
    };
    let conversation = post("/api/v1/conversations", json!({ "title": "New conversation" })).await;
    post(&format!("{conversation}/messages"), json!({ "body": "Well?" })).await;
    eventually(async || model.requests().len() == 2).await;
    let requests = model.requests();
    for request in &requests {
        assert!(
            request.contains(&format!("traceparent: 00-{TRACE}-")),
            "{requests:?}"
        );
    }
}
