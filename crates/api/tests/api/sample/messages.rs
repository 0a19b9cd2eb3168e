//! Messages, the answers to them, and their export.

use crate::sample::conversations::CreateConversation;
use berth_database::{Outcome, SessionOptions};
use berth_web::testing::{Response, TestServer};
use chrono::Utc;
use entity::sample::message;
use reqwest::{Method, StatusCode};
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value, json};
use uuid::Uuid;

on_each_database! {
    async fn a_question_is_stored_with_its_answer(server: Server) {
        let client = server.client();
        let all = format!("{}/messages", client.conversation("talk").await);
        let (said, place) = client.post(&all, json!({ "body": "Hello?" })).await.created();
        assert_eq!(place, format!("{all}/{}", said["id"].as_str().unwrap()));
        assert_eq!((&said["question"]["role"], &said["question"]["body"]), (&json!("user"), &json!("Hello?")));
        assert_eq!(said["answer"]["role"], "assistant");
        let listed = client.get(&all).await.ok();
        assert_eq!(listed["items"], json!([said["question"], said["answer"]]));
        assert_eq!(listed["next"], Value::Null);
    }

    async fn a_message_is_read_changed_and_deleted(server: Server) {
        let client = server.client();
        let all = format!("{}/messages", client.conversation("talk").await);
        let (_, place) = client.post(&all, json!({ "body": "Helo" })).await.created();
        assert_eq!(client.get(&place).await.ok()["body"], "Helo");
        assert_eq!(client.patch(&place, json!({ "body": "Hello" })).await.ok()["body"], "Hello");
        client.delete(&place).await.no_content();
        client.get(&place).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
    }

    async fn messages_are_deleted_with_their_conversation(server: Server) {
        let client = server.client();
        let conversation = client.conversation("talk").await;
        let (_, place) = client.post(&format!("{conversation}/messages"), json!({ "body": "Hi" })).await.created();
        client.delete(&conversation).await.no_content();
        client.get(&place).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
    }

    async fn a_message_to_an_unknown_conversation_is_not_found(server: Server) {
        let nowhere = "/api/v1/conversations/0198f2f1-b1c2-7c2a-9d0f-3f6f4f1f2a3b/messages";
        let answer = server.client().post(nowhere, json!({ "body": "Hi" })).await;
        answer.problem(StatusCode::NOT_FOUND, "/problems/not-found");
    }

    async fn an_export_has_one_line_for_each_message_in_order(server: Server) {
        let client = server.client();
        let conversation = client.conversation("long").await;
        // More than one page of what an export reads at once.
        let bodies: Vec<String> = (0..250).map(|number| format!("line\n{number}")).collect();
        say(&server, &conversation, &bodies).await;
        let export = client.get(&format!("{conversation}/messages/export")).await.assert_status(StatusCode::OK);
        assert_eq!(export.header("content-type"), "application/x-ndjson");
        let lines = export.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let exported: Vec<String> = lines.map(|line| line["body"].as_str().unwrap().to_owned()).collect();
        assert_eq!(exported, bodies);
    }

    async fn an_export_that_no_client_reads_holds_no_connection(server: Server) {
        let client = server.client();
        let conversation = client.conversation("long").await;
        let bodies = vec!["x".repeat(32_000); 900];
        say(&server, &conversation, &bodies).await;
        let request = client.request(Method::GET, &format!("{conversation}/messages/export"));
        let mut export = request.header("accept-encoding", "identity").send().await.unwrap();
        assert!(export.chunk().await.unwrap().is_some());
        // Many megabytes are still to come, more than sockets buffer, and the only connection serves others.
        for _ in 0..5 {
            client.get(&conversation).await.ok();
        }
        let mut rest = 0;
        while let Some(chunk) = export.chunk().await.unwrap() {
            rest += chunk.len();
        }
        assert!(rest > 20_000_000, "{rest}");
    }

    async fn an_export_of_an_unknown_conversation_is_a_problem(server: Server) {
        let nowhere = "/api/v1/conversations/0198f2f1-b1c2-7c2a-9d0f-3f6f4f1f2a3b/messages/export";
        server.client().get(nowhere).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
    }

    async fn an_export_is_compressed_on_request(server: Server) {
        let conversation = server.client().conversation("small").await;
        say(&server, &conversation, &["Hi".to_owned()]).await;
        let request = server.client().without_decompression().request(Method::GET, &format!("{conversation}/messages/export"));
        let answer = Response::to(request.header("accept-encoding", "gzip")).await.assert_status(StatusCode::OK);
        assert_eq!(answer.header("content-encoding"), "gzip");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_cannot_be_decoded_is_an_error_and_ends_the_export_with_a_record() {
    let server = crate::server::start(crate::server::postgres().await).await;
    let client = server.client();
    let conversation = client.conversation("endless").await;
    say(&server, &conversation, &["first".to_owned(), "second".to_owned()]).await;
    for time in ["infinity", "-infinity", "294276-12-31"] {
        let session = server.database().session(SessionOptions::new("endless"));
        let update = format!("update messages set created_at = '{time}' where body = 'second'");
        sea_orm::ConnectionTrait::execute_unprepared(&session, &update)
            .await
            .unwrap();
        session.end(Outcome::Commit).await.unwrap();
        let list = client.get(&format!("{conversation}/messages")).await;
        list.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
        let export = client
            .get(&format!("{conversation}/messages/export"))
            .await
            .assert_status(StatusCode::OK);
        let last: Value = serde_json::from_str(export.text.lines().last().unwrap()).unwrap();
        assert_eq!(last["problem"]["status"], 500, "{time}: {}", export.text);
        client.get(&conversation).await.ok();
    }
}

/// Stores messages without the API, which would answer each.
async fn say(server: &TestServer, conversation: &str, bodies: &[String]) {
    let conversation: Uuid = conversation.rsplit('/').next().unwrap().parse().unwrap();
    let session = server
        .database()
        .session(SessionOptions::new("a test's messages"));
    for some in bodies.chunks(50) {
        let rows = some.iter().map(|body| message::ActiveModel {
            id: Set(Uuid::now_v7()),
            conversation_id: Set(conversation),
            role: Set(message::Role::User),
            body: Set(body.clone()),
            created_at: Set(Utc::now()),
        });
        message::Entity::insert_many(rows)
            .exec_without_returning(&session)
            .await
            .unwrap();
    }
    session.end(Outcome::Commit).await.unwrap();
}
