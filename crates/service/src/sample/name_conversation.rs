//! Names a conversation after its first question: a job, since the chat model may take minutes.

use berth_jobs::{Job, JobError, JobOptions, OnConflict, Work};
use berth_service::next_version;
use entity::sample::conversation;
use entity::sample::message::Role;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ChatMessage;
use crate::Services;

/// The title that means that the conversation has no name yet.
pub(super) const UNNAMED: &str = "New conversation";

/// Names a conversation, unless its owner has named it meanwhile.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NameConversation {
    /// The conversation's id.
    pub conversation: Uuid,
}

impl Job for NameConversation {
    const NAME: &'static str = "name_conversation";
    type State = Services;

    fn options(&self) -> JobOptions {
        JobOptions::default().unique(self.conversation, OnConflict::Keep)
    }

    async fn run(self, services: &Services, work: &Work) -> Result<(), JobError> {
        let conversations = services.conversations(work.session());
        let mut history = conversations.history(self.conversation).await?;
        // No connection is held while the chat model works.
        work.session().commit().await?;
        let body = "Reply with a title of at most six words for this conversation.".to_owned();
        history.push(ChatMessage {
            role: Role::User,
            body,
        });
        let reply = services.chat_model.reply(&history).await?;
        let title: String = reply.chars().filter(|c| *c != '\0').take(200).collect();
        conversation::Entity::update_many()
            .col_expr(conversation::Column::Title, Expr::value(title))
            .col_expr(
                conversation::Column::Version,
                next_version(conversation::Column::Version),
            )
            .filter(conversation::Column::Id.eq(self.conversation))
            .filter(conversation::Column::Title.eq(UNNAMED))
            .exec(work.session())
            .await?;
        Ok(())
    }
}
