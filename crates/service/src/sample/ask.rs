//! Asks the chat model a question and stores its answer, without holding a connection while it thinks.

use berth_service::feed::announce;
use berth_service::rules::not_blank;
use berth_service::{Validated, input, new_id, next_version};
use entity::sample::conversation;
use entity::sample::message::{self, Role};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::name_conversation::{NameConversation, UNNAMED};
use super::{ChatMessage, Conversations, MessageFeed};
use crate::Error;

/// The most messages that the chat model receives: the last ones.
const MAX_HISTORY: u64 = 50;

/// The text of a message.
#[input(message)]
pub struct WriteMessage {
    #[garde(length(chars, min = 1, max = 32_000), custom(not_blank))]
    pub body: String,
}

/// A question and its answer, both stored.
#[derive(Clone, Debug)]
pub struct QuestionAndAnswer {
    /// The owner's message.
    pub question: message::Model,
    /// The chat model's message.
    pub answer: message::Model,
}

impl Conversations<'_> {
    /// Stores a question, waits for the chat model, and stores its answer. A conversation without a name gets one by a
    /// job, [`NameConversation`].
    ///
    /// Commits the session in the middle, with everything the caller did in it before. The question is then stored
    /// whatever follows, and no connection is held while the chat model works, which may take minutes.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the body, [`Error::NotFound`] if the owner has no such conversation (or no longer has
    /// it when the answer arrives), and [`Error::Upstream`] if the chat model does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the commit: nothing is stored. Dropped while the chat model works: the question is stored.
    /// Dropped after that: the answer may be stored.
    pub async fn ask(
        &self,
        owner: Uuid,
        conversation: Uuid,
        new: WriteMessage,
    ) -> Result<QuestionAndAnswer, Error> {
        let new = new.validated()?;
        let found = self.of(owner).find(conversation).await?;
        let question = self.store(conversation, Role::User, new.body).await?;
        if found.title == UNNAMED {
            // In the same transaction: the job exists exactly if the question is stored.
            let job = NameConversation { conversation };
            self.services.jobs.enqueue(self.session, job).await?;
        }
        let history = self.history(conversation).await?;
        self.session.commit().await?;

        let reply = self.services.chat_model.reply(&history).await;
        let body = reply.map_err(|source| Error::Upstream {
            detail: format!(
                "The chat model did not answer. The question is stored as message {}.",
                question.id
            )
            .into(),
            source: Box::new(source),
        })?;

        match self.store(conversation, Role::Assistant, without_nul(body)).await {
            Ok(answer) => Ok(QuestionAndAnswer { question, answer }),
            // The conversation was deleted meanwhile.
            Err(Error::Database(berth_database::Error::ForeignKeyViolation { .. })) => Err(Error::NotFound),
            Err(error) => Err(error),
        }
    }

    /// Locks the conversation before it makes the id, so that ids increase in the order of commit, as a feed needs.
    async fn store(&self, conversation: Uuid, role: Role, body: String) -> Result<message::Model, Error> {
        let now = self.services.clock().now();
        let touched = conversation::ActiveModel {
            updated_at: Set(now),
            ..Default::default()
        };
        conversation::Entity::update_many()
            .set(touched)
            .col_expr(
                conversation::Column::Version,
                next_version(conversation::Column::Version),
            )
            .filter(conversation::Column::Id.eq(conversation))
            .exec(self.session)
            .await?;
        let message = message::ActiveModel {
            id: Set(new_id()),
            conversation_id: Set(conversation),
            role: Set(role),
            body: Set(body),
            created_at: Set(now),
        };
        let stored = message.insert(self.session).await?;
        announce::<MessageFeed>(self.session, conversation, stored.id).await?;
        Ok(stored)
    }

    /// Returns the last messages, oldest first.
    pub(super) async fn history(&self, conversation: Uuid) -> Result<Vec<ChatMessage>, Error> {
        let last = message::Entity::find()
            .filter(message::Column::ConversationId.eq(conversation))
            .order_by_desc(message::Column::Id)
            .limit(MAX_HISTORY)
            .all(self.session)
            .await?;
        let messages = last.into_iter().rev().map(|row| ChatMessage {
            role: row.role,
            body: row.body,
        });
        Ok(messages.collect())
    }
}

/// Removes the one character that PostgreSQL cannot store.
fn without_nul(mut body: String) -> String {
    body.retain(|c| c != '\0');
    body
}
