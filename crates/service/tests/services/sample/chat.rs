//! Helpers for tests of the example: conversations and the chat model that answers in them.

use std::sync::Arc;

use berth_database::{Session, SessionOptions};
use chrono::Utc;
use entity::user;
use service::Error;
use service::sample::{ChatModel, CreateConversation, WriteMessage};
use uuid::Uuid;

use crate::fixture::Fixture;

impl Fixture {
    pub(crate) fn answered_by(mut self, chat_model: Arc<dyn ChatModel>) -> Self {
        self.services = self.services.with_chat_model(chat_model);
        self
    }

    /// Returns a session as a request that only reads gets it.
    pub(crate) fn reading(&self) -> Session {
        self.database
            .session(SessionOptions::new("test").autocommit_reads())
    }

    pub(crate) async fn conversation(&self, title: &str) -> Uuid {
        let new = CreateConversation {
            title: title.into(),
            is_public: false,
        };
        let made = self
            .work(async |services, session| services.conversations(session).create(self.owner, new).await);
        made.await.expect("a conversation can be made").id
    }

    /// Makes another user, who owns nothing yet.
    pub(crate) async fn stranger(&self) -> Uuid {
        use sea_orm::{ActiveModelTrait, ActiveValue::Set};
        let id = Uuid::now_v7();
        let user = user::ActiveModel {
            id: Set(id),
            name: Set("Stranger".to_owned()),
            email: Set(Some(format!("{id}@example.com"))),
            role: Set("authenticated".to_owned()),
            created_at: Set(Utc::now()),
            updated_at: Set(Utc::now()),
            ..Default::default()
        };
        self.work(async |_, session| Ok(user.insert(session).await?))
            .await
            .expect("a user can be made");
        id
    }

    /// Returns all messages of a conversation with their authors, oldest first.
    pub(crate) async fn said(&self, conversation: Uuid) -> Vec<(entity::sample::message::Role, String)> {
        let page = service::PageRequest {
            limit: Some(100),
            cursor: None,
        };
        let session = self.reading();
        let page = self
            .services
            .conversations(&session)
            .messages(self.owner, conversation, page)
            .await;
        page.expect("it can be read")
            .items
            .into_iter()
            .map(|row| (row.role, row.body))
            .collect()
    }
}

pub(crate) fn message(body: &str) -> WriteMessage {
    WriteMessage {
        body: body.to_owned(),
    }
}

/// Returns the fields that the validation error names.
#[track_caller]
pub(crate) fn invalid_fields<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
    match result {
        Err(Error::Validation(fields)) => fields.into_iter().map(|field| field.path).collect(),
        other => panic!("not a validation error: {other:?}"),
    }
}
