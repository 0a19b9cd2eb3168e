//! Statuses of the example that do not follow from the document.

use berth_web::testing::{Statuses, Store};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::conversations::CreateConversation;
use crate::server::start_with;

/// A chat model that does not answer.
pub(crate) async fn provoke(statuses: &mut Statuses) {
    let nobody = |settings: &mut api::settings::Settings| {
        settings.chat_model.url = Some("http://127.0.0.1:9/v1".to_owned());
    };
    let server = start_with(Store::sqlite(), nobody, |_| {}).await;
    let client = server.client();
    let all = format!("{}/messages", client.conversation("unanswered").await);
    let request = client
        .request(Method::POST, &all)
        .json(&json!({ "body": "Hello?" }));
    let answer = statuses
        .send("POST /api/v1/conversations/{conversation_id}/messages", request)
        .await;
    let _ = answer.assert_status(StatusCode::BAD_GATEWAY);
    let request = client
        .request(Method::POST, &all)
        .header("accept", "text/event-stream")
        .json(&json!({ "body": "Hello?" }));
    let answer = statuses
        .send("POST /api/v1/conversations/{conversation_id}/messages", request)
        .await;
    let _ = answer.assert_status(StatusCode::OK);
}
