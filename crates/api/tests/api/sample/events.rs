//! Clients that follow a conversation.

use std::time::Duration;

use berth_testkit::eventually;
use berth_web::testing::{Client, EventReader, Store, TestServer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::chat_model::ChatModel;
use super::conversations::CreateConversation;
use crate::auth::sign_up;
use crate::lifecycle::ANY_PORT;
use crate::server::{process, start_with};

async fn follow(client: &Client, place: &str) -> EventReader {
    EventReader::open(client.request(Method::GET, &format!("{place}/events"))).await
}

async fn follow_after(client: &Client, place: &str, id: &Value) -> EventReader {
    let request = client.request(Method::GET, &format!("{place}/events"));
    EventReader::open(request.header("last-event-id", id.as_str().unwrap())).await
}

/// Asks a question; returns it with its answer, as they were stored.
async fn ask(client: &Client, place: &str, body: &str) -> [Value; 2] {
    let asked = client
        .post(&format!("{place}/messages"), json!({ "body": body }))
        .await;
    let (mut asked, _) = asked.created();
    [asked["question"].take(), asked["answer"].take()]
}

async fn expect(reader: &mut EventReader, messages: &[Value]) {
    for message in messages {
        let event = reader.next_event().await.expect("an event");
        assert_eq!(event.kind, "message");
        assert_eq!(&event.data, message);
        assert_eq!(event.id.as_deref(), message["id"].as_str());
    }
}

async fn ask_in_parts(client: &Client, place: &str) -> EventReader {
    let request = client.request(Method::POST, &format!("{place}/messages"));
    EventReader::open(
        request
            .header("accept", "text/event-stream")
            .json(&json!({ "body": "Hello?" })),
    )
    .await
}

on_each_store! {
    async fn an_answer_is_streamed_in_words_and_stored_at_its_end(store: Store) {
        let server = start_with(store, |_| {}, |_| {}).await;
        let client = server.client();
        let place = client.conversation("words").await;
        let mut answer = ask_in_parts(&client, &place).await;
        let (mut words, mut number) = (String::new(), 0);
        let stored = loop {
            let event = answer.next_event().await.expect("an event");
            if event.kind == "answer" {
                break event.data;
            }
            assert_eq!(event.kind, "part");
            words += event.data.as_str().unwrap();
            number += 1;
        };
        assert!(answer.next_event().await.is_none());
        assert!(number > 5, "{number}");
        assert_eq!(stored["body"], words.as_str());
        let listed = client.get(&format!("{place}/messages")).await.ok();
        assert_eq!(listed["items"][1], stored);
    }

    async fn an_answer_whose_client_left_is_stored_and_holds_no_connection_before(store: Store) {
        let model = ChatModel::start().await;
        let server = start_with(store, |settings| model.set(settings), |_| {}).await;
        let client = server.client();
        let place = client.conversation("left").await;
        let answer = ask_in_parts(&client, &place).await;
        model.asked().await;
        server.is_idle().await;
        drop(answer);
        model.answer("At last.").await;
        eventually(async || {
            let listed = client.get(&format!("{place}/messages")).await.ok();
            listed["items"][1]["body"] == "At last."
        })
        .await;
    }

    async fn an_answer_that_fails_ends_with_a_problem(store: Store) {
        let model = ChatModel::start().await;
        let server = start_with(store, |settings| model.set(settings), |_| {}).await;
        let client = server.client();
        let place = client.conversation("fails").await;
        let mut answer = ask_in_parts(&client, &place).await;
        model.asked().await;
        model.fail().await;
        let problem = answer.next_event().await.expect("an event");
        assert_eq!((problem.kind.as_str(), &problem.data["type"]), ("problem", &json!("/problems/upstream-failed")));
        assert!(answer.next_event().await.is_none());
    }

    async fn a_posted_message_is_sent_to_every_follower_of_its_conversation(store: Store) {
        let server = start_with(store, |_| {}, |_| {}).await;
        let client = server.client();
        let (place, other) = (client.conversation("followed").await, client.conversation("other").await);
        let (mut first, mut second) = (follow(&client, &place).await, follow(&client, &place).await);
        let mut elsewhere = follow(&client, &other).await;
        let messages = ask(&client, &place, "Hello?").await;
        expect(&mut first, &messages).await;
        expect(&mut second, &messages).await;
        let others = ask(&client, &other, "And here?").await;
        expect(&mut elsewhere, &others).await;
        server.is_idle().await;
    }

    async fn a_client_resumes_after_the_last_event_that_it_has(store: Store) {
        let server = start_with(store, |_| {}, |_| {}).await;
        let client = server.client();
        let place = client.conversation("resumed").await;
        let [question, answer] = ask(&client, &place, "One?").await;
        let missed = ask(&client, &place, "Two?").await;
        let mut resumed = follow_after(&client, &place, &question["id"]).await;
        expect(&mut resumed, std::slice::from_ref(&answer)).await;
        expect(&mut resumed, &missed).await;
        let address = format!("{place}/events?after={}", answer["id"].as_str().unwrap());
        let mut listed = EventReader::open(client.request(Method::GET, &address)).await;
        expect(&mut listed, &missed).await;
        let new = ask(&client, &place, "Three?").await;
        expect(&mut resumed, &new).await;
        expect(&mut listed, &new).await;
    }

    async fn only_who_may_read_a_conversation_follows_it(store: Store) {
        let server = start_with(store, |_| {}, |_| {}).await;
        let (ada, _) = sign_up(&server, "ada@example.com").await;
        let (ben, _) = sign_up(&server, "ben@example.com").await;
        let place = ada.conversation("private").await;
        let events = format!("{place}/events");
        ben.get(&events).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        ada.anonymous().get(&events).await.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
        ada.patch(&place, json!({ "is_public": true })).await.ok();
        let mut reader = follow(&ben, &place).await;
        let public = ask(&ada, &place, "For all?").await;
        expect(&mut reader, &public).await;
        ada.patch(&place, json!({ "is_public": false })).await.ok();
        let _ = ask(&ada, &place, "For me?").await;
        assert!(reader.next_event().await.is_none(), "the stream ends with the permission");
    }

    async fn a_malformed_event_id_is_refused_and_head_is_answered_at_once(store: Store) {
        let server = start_with(store, |_| {}, |_| {}).await;
        let client = server.client();
        let events = format!("{}/events", client.conversation("head").await);
        let malformed = client.request(Method::GET, &events).header("last-event-id", "yesterday");
        let refused = berth_web::testing::Response::to(malformed).await;
        let _ = refused.assert_status(StatusCode::BAD_REQUEST);
        client.get(&format!("{events}?after=x")).await.problem(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-input");
        let head = berth_web::testing::Response::to(client.request(Method::HEAD, &events)).await;
        assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""));
        assert_eq!(head.header("content-type"), "text/event-stream");
    }

    async fn the_stream_ends_with_the_token_and_outlives_the_limits_of_requests(store: Store) {
        let adjust = |settings: &mut api::settings::Settings| {
            settings.platform.auth.access_token_lifetime = Duration::from_secs(3);
            settings.platform.server.request_timeout = Duration::from_millis(500);
            settings.platform.server.max_requests = 2;
            settings.platform.events.heartbeat = Duration::from_secs(1);
        };
        let server = start_with(store, adjust, |_| {}).await;
        let (ada, _) = sign_up(&server, "ada@example.com").await;
        let place = ada.conversation("short").await;
        let mut readers = Vec::new();
        for _ in 0..3 {
            readers.push(follow(&ada, &place).await);
        }
        let begun = std::time::Instant::now();
        for reader in &mut readers {
            assert!(reader.next_event().await.is_none());
        }
        assert!(begun.elapsed() > Duration::from_secs(1), "longer than a request may take");
        ada.get(&format!("{place}/events")).await.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
    }

    async fn more_streams_than_the_limit_are_refused_and_all_end_when_the_server_stops(store: Store) {
        let adjust = |settings: &mut api::settings::Settings| settings.platform.events.max_streams = 2;
        let mut server = start_with(store, adjust, |_| {}).await;
        let client = server.client();
        let place = client.conversation("full").await;
        let (mut first, second) = (follow(&client, &place).await, follow(&client, &place).await);
        let events = format!("{place}/events");
        client.get(&events).await.problem(StatusCode::SERVICE_UNAVAILABLE, "/problems/overloaded");
        drop(second);
        eventually(async || client.request(Method::GET, &events).send().await.unwrap().status() == StatusCode::OK).await;
        server.stop();
        assert!(first.next_event().await.is_none());
        server.stopped().await;
    }
}

/// A server with a share of three, on a database that another one has too.
async fn instance(store: Store, url: &str) -> TestServer {
    let adjust = |settings: &mut api::settings::Settings| {
        settings.platform.database.url = url.parse().unwrap();
        settings.platform.database.pool_size = 3;
    };
    start_with(store, adjust, |_| {}).await
}

async fn postgres() -> (Store, String) {
    let store = crate::server::postgres().await;
    let url = store.url();
    (store, url)
}

async fn listens(server: &TestServer) {
    eventually(async || server.database().status().slots.listening == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_posted_to_one_instance_reaches_the_followers_of_another() {
    let (store, url) = postgres().await;
    let (here, there) = (instance(store, &url).await, instance(Store::sqlite(), &url).await);
    let client = here.client();
    let place = client.conversation("two instances").await;
    let mut readers = [
        follow(&client, &place).await,
        follow(&there.client(), &place).await,
    ];
    listens(&here).await;
    listens(&there).await;
    for body in ["One?", "Two?"] {
        let messages = ask(&client, &place, body).await;
        for reader in &mut readers {
            expect(reader, &messages).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_sent_twice_while_the_listener_connects_again() {
    let (store, url) = postgres().await;
    let Store::Postgres(database) = &store else {
        unreachable!()
    };
    let (here, there) = (
        instance(Store::sqlite(), &url).await,
        instance(Store::sqlite(), &url).await,
    );
    let client = here.client();
    let place = client.conversation("killed").await;
    let mut reader = follow(&there.client(), &place).await;
    listens(&there).await;
    for round in 0..5 {
        database.terminate_all().await;
        let messages = ask(&client, &place, &format!("Round {round}?")).await;
        expect(&mut reader, &messages).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_followers_hold_no_slot_little_memory_and_do_not_delay_the_end() {
    let environment = [
        ANY_PORT,
        ("APP__RATE_LIMIT__ENABLED", "false"),
        // No test reads the log meanwhile, and a pipe holds little.
        ("LOG_LEVEL", "info,access=off"),
        ("APP__SERVER__WORKERS", "2"),
    ];
    let mut process = process(&[], &environment);
    let client = process.listening().await;
    let place = client.conversation("popular").await;
    let mut readers = vec![follow(&client, &place).await];
    let before = process.resident_memory();
    while readers.len() < 1000 {
        let more = (0..50).map(|_| follow(&client, &place));
        readers.extend(futures_util::future::join_all(more).await);
    }
    let grown = process.resident_memory() - before;
    assert!(grown < 20 << 20, "{} KiB", grown >> 10);
    eventually(async || client.get("/health/db-pool").await.ok()["checked_out"] == 0).await;
    let messages = ask(&client, &place, "All of you?").await;
    futures_util::future::join_all(readers.iter_mut().map(|reader| expect(reader, &messages))).await;
    process.signal("TERM").await;
    let ends = readers
        .iter_mut()
        .map(async |reader| reader.next_event().await.is_none());
    assert!(
        futures_util::future::join_all(ends)
            .await
            .into_iter()
            .all(|ended| ended)
    );
    let (status, said, _) = process.ended().await;
    assert!(status.success(), "{said}");
}
