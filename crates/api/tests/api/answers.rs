//! Asking somebody who takes long to answer, or never does.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::lifecycle::ANY_PORT;
use crate::process::Process;
use crate::responder::Responder;
use crate::server::Server;

on_each_store! {
    async fn a_slow_responder_delays_nobody_else(store: Store) {
        let responder = Responder::start().await;
        let server = Server::start_with(store, |settings| responder.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("slow").await);
        let (client, address) = (server.client(), all.clone());
        let posting = tokio::spawn(async move { client.post(&address, json!({ "body": "Hello?" })).await });
        responder.asked().await;
        berth_testkit::eventually(async || server.database().status().slots.leased == 0).await;
        let meanwhile = server.client().get(&all).await.ok();
        assert_eq!(meanwhile["items"].as_array().unwrap().len(), 1, "the question is stored");
        responder.answer("At last.").await;
        let (said, _) = posting.await.unwrap().created();
        assert_eq!(said["answer"]["body"], "At last.");
    }

    async fn a_client_that_leaves_an_answer_unheard_leaves_the_question(store: Store) {
        let responder = Responder::start().await;
        let server = Server::start_with(store, |settings| responder.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("left").await);
        let posting = server.client().request(Method::POST, &all).json(&json!({ "body": "Hello?" })).send();
        let posting = tokio::spawn(posting);
        responder.asked().await;
        posting.abort();
        responder.left_alone().await;
        let listed = server.client().get(&all).await.ok();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    }

    async fn a_responder_that_fails_leaves_the_question(store: Store) {
        let responder = Responder::start().await;
        let server = Server::start_with(store, |settings| responder.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("broken").await);
        let (client, address) = (server.client(), all.clone());
        let posting = tokio::spawn(async move { client.post(&address, json!({ "body": "Hello?" })).await });
        responder.asked().await;
        responder.fail().await;
        let problem = posting.await.unwrap().problem(StatusCode::BAD_GATEWAY, "/problems/upstream-failed");
        let listed = server.client().get(&all).await.ok();
        let question = listed["items"][0]["id"].as_str().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(question), "{problem}");
    }
}

#[tokio::test]
async fn on_sigterm_a_request_under_way_is_finished_and_no_new_one_begins() {
    let responder = Responder::start().await;
    let mut process = Process::start(&[], &[ANY_PORT, ("APP__RESPONDER__URL", responder.url())]);
    let client = process.listening().await;
    let all = format!("{}/messages", client.conversation("slow").await);
    let (poster, address) = (client.clone(), all.clone());
    let posting = tokio::spawn(async move { poster.post(&address, json!({ "body": "Hello?" })).await });
    responder.asked().await;
    process.signal("TERM").await;
    process.logs("stopping").await;
    berth_testkit::eventually(async || !client.is_answered().await).await;
    responder.answer("At last.").await;
    let _ = posting.await.unwrap().created();
    let (status, said, log) = process.ended().await;
    assert!(status.success(), "{said}");
    assert!(log.last().unwrap().contains("stopped"), "{log:#?}");
}
