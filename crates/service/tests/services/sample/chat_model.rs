//! The chat model behind an API, and the offline one.

use std::time::Duration;

use entity::sample::message::Role;
use futures_util::TryStreamExt;
use service::sample::{ChatMessage, ChatModel, ChatModelError, HttpChatModel, OfflineChatModel};

use super::chat_api::{ChatApi, Reply, answer};

#[tokio::test]
async fn a_question_is_sent_in_the_chat_completions_form() {
    let api = ChatApi::start([Reply::Says("Aye.")]).await;
    let chat_model = api
        .chat_model()
        .with_headers(|| vec![("traceparent".to_owned(), "00-1-2-01".to_owned())]);
    let history = [
        chat_message(Role::System, "Be brief."),
        chat_message(Role::User, "Hoist!"),
        chat_message(Role::Assistant, "Hoisted."),
        chat_message(Role::User, "Well?"),
    ];
    assert_eq!(chat_model.reply(&history).await.unwrap(), "Aye.");

    let asked = &api.requests()[0];
    assert_eq!(asked.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(asked.header("authorization"), Some("Bearer key-to-be-hidden"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.header("traceparent"), Some("00-1-2-01"));
    let expected = serde_json::json!({ "model": "parrot-1", "messages": [
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": "Hoist!" },
        { "role": "assistant", "content": "Hoisted." },
        { "role": "user", "content": "Well?" },
    ] });
    assert_eq!(asked.body, expected);
}

#[tokio::test]
async fn without_a_key_no_authorization_is_sent() {
    let api = ChatApi::start([Reply::Says("Aye.")]).await;
    let mut settings = api.settings();
    settings.key = None;
    HttpChatModel::new(settings)
        .unwrap()
        .reply(&[chat_message(Role::User, "Well?")])
        .await
        .unwrap();
    assert_eq!(api.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn an_error_status_is_reported_and_a_redirect_is_not_followed() {
    for status in [307, 401, 429, 500] {
        let api = ChatApi::start([Reply::Raw(status, answer("not to be believed"))]).await;
        match ask(&api).await {
            Err(ChatModelError::Status { status: reported }) => assert_eq!(reported, status),
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_malformed_response_is_reported_without_quoting_it() {
    let bodies = [
        String::new(),
        "<html>it works</html>".to_owned(),
        r#"{"choices":[]}"#.to_owned(),
        r#"{"choices":[{"message":{"content":null}}]}"#.to_owned(),
        r#"{"choices":[{"message":{"content":""}}]}"#.to_owned(),
        r#"{"choices":["works"]}"#.to_owned(),
        answer(&"works ".repeat(200_000)),
    ];
    for body in bodies {
        let api = ChatApi::start([Reply::Raw(200, body.clone())]).await;
        match ask(&api).await {
            Err(error @ ChatModelError::Malformed(_)) => {
                assert!(!error.to_string().contains("works"), "{error}")
            }
            other => panic!("{body:.60}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_slow_response_ends_with_the_timeout_of_the_settings() {
    let api = ChatApi::start([Reply::SaysLater("too late")]).await;
    let mut settings = api.settings();
    settings.timeout = Duration::from_millis(200);
    let chat_model = HttpChatModel::new(settings).unwrap();
    let error = chat_model
        .reply(&[chat_message(Role::User, "Well?")])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChatModelError::Timeout(limit) if limit == Duration::from_millis(200)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_broken_connection_a_closed_port_and_a_server_without_tls_are_unreachable() {
    let api = ChatApi::start([Reply::Closed]).await;
    assert!(matches!(ask(&api).await, Err(ChatModelError::Unreachable(_))));

    let mut settings = api.settings();
    settings.url = settings.url.replace("http://", "https://");
    assert_unreachable(settings).await;

    let mut settings = api.settings();
    settings.url = format!("http://127.0.0.1:{}", berth_testkit::free_port());
    assert_unreachable(settings).await;
}

async fn assert_unreachable(settings: service::sample::ChatModelSettings) {
    let address = settings.url.clone();
    let error = HttpChatModel::new(settings)
        .unwrap()
        .reply(&[chat_message(Role::User, "Well?")])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChatModelError::Unreachable(_)),
        "{address}: {error:?}"
    );
    assert!(
        !format!("{error:?}").contains("/v1"),
        "the address stays out of errors: {error:?}"
    );
}

#[tokio::test]
async fn unusable_settings_are_rejected_at_the_start() {
    let api = ChatApi::start([Reply::Says("Aye.")]).await;
    for url in ["", "api.example.com/v1", "ftp://api.example.com", "http://"] {
        let mut settings = api.settings();
        settings.url = url.to_owned();
        assert!(
            matches!(HttpChatModel::new(settings), Err(ChatModelError::Settings(_))),
            "{url}"
        );
    }
    for key in ["", "two words", "line\nbreak", "schl\u{fc}ssel"] {
        let mut settings = api.settings();
        settings.key = Some(key.to_owned());
        assert!(
            matches!(HttpChatModel::new(settings), Err(ChatModelError::Settings(_))),
            "{key}"
        );
    }
}

#[tokio::test]
async fn the_key_appears_in_no_debug_output() {
    let api = ChatApi::start([Reply::Closed]).await;
    let shown = format!(
        "{:?} {:?} {:?}",
        api.settings(),
        api.chat_model(),
        ask(&api).await
    );
    assert!(!shown.contains("to-be-hidden"), "{shown}");
}

#[tokio::test]
async fn the_offline_model_gives_the_same_reply_to_the_same_history() {
    let history = [
        chat_message(Role::User, "Hoist!"),
        chat_message(Role::Assistant, "Hoisted."),
        chat_message(Role::User, "Well?"),
    ];
    let answer = OfflineChatModel.reply(&history).await.unwrap();
    assert!(
        answer.contains("Well?") && answer.contains("message 2"),
        "{answer}"
    );
    assert_eq!(answer, OfflineChatModel.reply(&history).await.unwrap());
    let long = [chat_message(Role::User, &"sail ".repeat(1000))];
    assert!(
        OfflineChatModel.reply(&long).await.unwrap().len() < 400,
        "a long question is shortened"
    );
}

async fn ask(api: &ChatApi) -> Result<String, ChatModelError> {
    api.chat_model().reply(&[chat_message(Role::User, "Well?")]).await
}

fn chat_message(role: Role, body: &str) -> ChatMessage {
    ChatMessage {
        role,
        body: body.to_owned(),
    }
}

/// The parts of a reply.
async fn parts(model: &impl ChatModel) -> Result<Vec<String>, ChatModelError> {
    let history = [chat_message(Role::User, "Well?")];
    model.reply_in_parts(&history).try_collect().await
}

#[tokio::test]
async fn a_reply_in_parts_is_asked_for_and_read_to_its_end() {
    let lines = &[
        r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"delta":{"content":"Aye, "}}]}"#,
        r#"{"choices":[{"delta":{"content":"aye."}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    let api = ChatApi::start([Reply::Streams(lines)]).await;
    assert_eq!(parts(&api.chat_model()).await.unwrap(), ["Aye, ", "aye."]);
    assert_eq!(api.requests()[0].body["stream"], true);
    let whole = ChatApi::start([Reply::Says("All at once.")]).await;
    assert_eq!(parts(&whole.chat_model()).await.unwrap(), ["All at once."]);
    assert!(parts(&OfflineChatModel).await.unwrap().len() > 5);
}

#[tokio::test]
async fn a_reply_in_parts_that_is_cut_off_or_malformed_is_an_error() {
    for lines in [
        &[r#"{"choices":[{"delta":{"content":"Aye"}}]}"#][..],
        &["<html>it works</html>"],
        &[],
    ] {
        let api = ChatApi::start([Reply::Streams(lines)]).await;
        let error = parts(&api.chat_model()).await.unwrap_err();
        assert!(matches!(error, ChatModelError::Malformed(_)), "{error:?}");
        assert!(!error.to_string().contains("works"), "{error}");
    }
    let api = ChatApi::start([Reply::Raw(429, String::new())]).await;
    assert!(matches!(
        parts(&api.chat_model()).await,
        Err(ChatModelError::Status { status: 429 })
    ));
}
