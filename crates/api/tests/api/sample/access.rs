//! Who reads and changes which conversation.

use reqwest::StatusCode;
use serde_json::json;

use super::conversations::CreateConversation;
use crate::auth::{sign_up, statements};

const ALL: &str = "/api/v1/conversations";

on_each_database! {
    async fn a_private_conversation_is_found_by_its_owner_alone(server: Server) {
        let (ada, _) = sign_up(&server, "ada@example.com").await;
        let (ben, _) = sign_up(&server, "ben@example.com").await;
        let place = ada.conversation("private").await;
        assert_eq!(ada.get(&place).await.ok()["is_yours"], true);
        for other in [&ben, &ben.anonymous()] {
            other.get(&place).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        }
        ben.patch(&place, json!({ "title": "mine" })).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        ben.delete(&place).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        let messages = format!("{place}/messages");
        ben.get(&messages).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        assert_eq!(ben.get(ALL).await.ok()["items"], json!([]));
        assert_eq!(ada.get(&place).await.ok()["title"], "private");
    }

    async fn a_public_conversation_is_read_by_anyone_and_changed_by_its_owner(server: Server) {
        let (ada, _) = sign_up(&server, "ada@example.com").await;
        let (ben, _) = sign_up(&server, "ben@example.com").await;
        let (_, place) = ada.post(ALL, json!({ "title": "public", "is_public": true })).await.created();
        for (reader, yours) in [(&ada, true), (&ben, false), (&ben.anonymous(), false)] {
            let found = reader.get(&place).await.ok();
            assert_eq!((&found["title"], &found["is_yours"]), (&json!("public"), &json!(yours)));
        }
        ben.delete(&place).await.problem(StatusCode::NOT_FOUND, "/problems/not-found");
        ben.anonymous().delete(&place).await.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
        // A token that is not valid is refused also where none is needed.
        let refused = ben.anonymous().with_token("expired").get(&place).await;
        refused.problem(StatusCode::UNAUTHORIZED, "/problems/unauthenticated");
    }

    async fn an_authenticated_read_by_id_costs_one_statement(server: Server) {
        let client = server.client();
        let place = client.conversation("one").await;
        let before = statements(&server);
        client.get(&place).await.ok();
        assert_eq!(statements(&server), before + 1);
    }
}
