//! Questions to a chat model that is slow or fails.

use crate::sample::conversations::CreateConversation;
use crate::server::{process, start_with};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::lifecycle::ANY_PORT;

use super::chat_model::ChatModel;

on_each_store! {
    async fn a_slow_chat_model_delays_no_other_request(store: Store) {
        let model = ChatModel::start().await;
        let server = start_with(store, |settings| model.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("slow").await);
        let (client, address) = (server.client(), all.clone());
        let asking = tokio::spawn(async move { client.post(&address, json!({ "body": "Hello?" })).await });
        model.asked().await;
        server.is_idle().await;
        let meanwhile = server.client().get(&all).await.ok();
        assert_eq!(meanwhile["items"].as_array().unwrap().len(), 1, "the question is stored");
        model.answer("At last.").await;
        let (answered, _) = asking.await.unwrap().created();
        assert_eq!(answered["answer"]["body"], "At last.");
    }

    async fn the_question_stays_stored_when_the_client_disconnects(store: Store) {
        let model = ChatModel::start().await;
        let server = start_with(store, |settings| model.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("left").await);
        let asking = server.client().request(Method::POST, &all).json(&json!({ "body": "Hello?" })).send();
        let asking = tokio::spawn(asking);
        model.asked().await;
        asking.abort();
        model.client_disconnected().await;
        let listed = server.client().get(&all).await.ok();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    }

    async fn the_question_stays_stored_when_the_chat_model_fails(store: Store) {
        let model = ChatModel::start().await;
        let server = start_with(store, |settings| model.set(settings), |_| {}).await;
        let all = format!("{}/messages", server.client().conversation("broken").await);
        let (client, address) = (server.client(), all.clone());
        let asking = tokio::spawn(async move { client.post(&address, json!({ "body": "Hello?" })).await });
        model.asked().await;
        model.fail().await;
        let problem = asking.await.unwrap().problem(StatusCode::BAD_GATEWAY, "/problems/upstream-failed");
        let listed = server.client().get(&all).await.ok();
        let question = listed["items"][0]["id"].as_str().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(question), "{problem}");
    }
}

#[tokio::test]
async fn on_sigterm_a_running_request_is_finished_and_no_new_one_is_accepted() {
    let model = ChatModel::start().await;
    let mut process = process(&[], &[ANY_PORT, ("APP__CHAT_MODEL__URL", model.url())]);
    let client = process.listening().await;
    let all = format!("{}/messages", client.conversation("slow").await);
    let (poster, address) = (client.clone(), all.clone());
    let asking = tokio::spawn(async move { poster.post(&address, json!({ "body": "Hello?" })).await });
    model.asked().await;
    process.signal("TERM").await;
    process.logs("stopping").await;
    berth_testkit::eventually(async || !client.is_served().await).await;
    model.answer("At last.").await;
    let _ = asking.await.unwrap().created();
    let (status, said, log) = process.ended().await;
    assert!(status.success(), "{said}");
    assert!(log.last().unwrap().contains("stopped"), "{log:#?}");
}
