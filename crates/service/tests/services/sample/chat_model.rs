use std::time::Duration;

use entity::sample::message::Role;
use service::{HttpResponder, OfflineResponder, Responder, ResponderError, Turn};

use super::chat_api::{ChatApi, Reply, answer};

#[tokio::test]
async fn a_question_is_asked_in_the_form_that_such_apis_speak() {
    let api = ChatApi::start([Reply::Says("Aye.")]).await;
    let responder = api
        .responder()
        .with_headers(|| vec![("traceparent".to_owned(), "00-1-2-01".to_owned())]);
    let history = [
        turn(Role::System, "Be brief."),
        turn(Role::User, "Hoist!"),
        turn(Role::Assistant, "Hoisted."),
        turn(Role::User, "Well?"),
    ];
    assert_eq!(responder.answer(&history).await.unwrap(), "Aye.");

    let asked = &api.requests()[0];
    assert_eq!(asked.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(
        asked.header("authorization"),
        Some("Bearer key-that-nobody-may-see")
    );
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
async fn without_a_key_none_is_sent() {
    let api = ChatApi::start([Reply::Says("Aye.")]).await;
    let mut settings = api.settings();
    settings.key = None;
    HttpResponder::new(settings)
        .unwrap()
        .answer(&[turn(Role::User, "Well?")])
        .await
        .unwrap();
    assert_eq!(api.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn an_error_status_is_told_and_a_redirect_is_not_followed() {
    for status in [307, 401, 429, 500] {
        let api = ChatApi::start([Reply::Raw(status, answer("not to be believed"))]).await;
        match ask(&api).await {
            Err(ResponderError::Refused { status: told }) => assert_eq!(told, status),
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_without_repeating_it() {
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
            Err(error @ ResponderError::Malformed(_)) => {
                assert!(!error.to_string().contains("works"), "{error}")
            }
            other => panic!("{body:.60}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn silence_ends_after_the_time_of_the_settings() {
    let api = ChatApi::start([Reply::SaysLater("too late")]).await;
    let mut settings = api.settings();
    settings.timeout = Duration::from_millis(200);
    let responder = HttpResponder::new(settings).unwrap();
    let error = responder.answer(&[turn(Role::User, "Well?")]).await.unwrap_err();
    assert!(
        matches!(error, ResponderError::TimedOut(limit) if limit == Duration::from_millis(200)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_cut_line_a_closed_port_and_a_server_without_tls_are_unreachable() {
    let api = ChatApi::start([Reply::Cut]).await;
    assert!(matches!(ask(&api).await, Err(ResponderError::Unreachable(_))));

    let mut settings = api.settings();
    settings.url = settings.url.replace("http://", "https://");
    assert_unreachable(settings).await;

    let mut settings = api.settings();
    settings.url = format!("http://127.0.0.1:{}", berth_testkit::free_port());
    assert_unreachable(settings).await;
}

async fn assert_unreachable(settings: service::ResponderSettings) {
    let address = settings.url.clone();
    let error = HttpResponder::new(settings)
        .unwrap()
        .answer(&[turn(Role::User, "Well?")])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ResponderError::Unreachable(_)),
        "{address}: {error:?}"
    );
    assert!(
        !format!("{error:?}").contains("/v1"),
        "the address stays out of errors: {error:?}"
    );
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_anybody_asks() {
    let api = ChatApi::start([Reply::Says("Aye.")]).await;
    for url in ["", "api.example.com/v1", "ftp://api.example.com", "http://"] {
        let mut settings = api.settings();
        settings.url = url.to_owned();
        assert!(
            matches!(HttpResponder::new(settings), Err(ResponderError::Settings(_))),
            "{url}"
        );
    }
    for key in ["", "two words", "line\nbreak", "schl\u{fc}ssel"] {
        let mut settings = api.settings();
        settings.key = Some(key.to_owned());
        assert!(
            matches!(HttpResponder::new(settings), Err(ResponderError::Settings(_))),
            "{key}"
        );
    }
}

#[tokio::test]
async fn the_key_shows_nowhere() {
    let api = ChatApi::start([Reply::Cut]).await;
    let shown = format!("{:?} {:?} {:?}", api.settings(), api.responder(), ask(&api).await);
    assert!(!shown.contains("nobody-may-see"), "{shown}");
}

#[tokio::test]
async fn the_offline_responder_answers_the_same_to_the_same() {
    let history = [
        turn(Role::User, "Hoist!"),
        turn(Role::Assistant, "Hoisted."),
        turn(Role::User, "Well?"),
    ];
    let answer = OfflineResponder.answer(&history).await.unwrap();
    assert!(
        answer.contains("Well?") && answer.contains("message 2"),
        "{answer}"
    );
    assert_eq!(answer, OfflineResponder.answer(&history).await.unwrap());
    let long = [turn(Role::User, &"sail ".repeat(1000))];
    assert!(
        OfflineResponder.answer(&long).await.unwrap().len() < 400,
        "it does not repeat a book"
    );
}

async fn ask(api: &ChatApi) -> Result<String, ResponderError> {
    api.responder().answer(&[turn(Role::User, "Well?")]).await
}

fn turn(role: Role, body: &str) -> Turn {
    Turn {
        role,
        body: body.to_owned(),
    }
}
