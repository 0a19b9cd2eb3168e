//! Asks the chat model a question and stores its answer, without holding a connection while it thinks.

use async_stream::try_stream;
use berth_service::feed::announce;
use berth_service::rules::not_blank;
use berth_service::{Validated, input, new_id, next_version};
use entity::sample::conversation;
use entity::sample::message::{self, Role};
use futures_util::{Stream, StreamExt};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::name_conversation::{NameConversation, UNNAMED};
use super::{ChatMessage, ChatModelError, Conversations, MessageFeed};
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

/// A stored question, with what the chat model needs for its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The owner's message.
    pub question: message::Model,
    history: Vec<ChatMessage>,
}

/// A part of an answer.
#[derive(Clone, Debug)]
pub enum AnswerPart {
    /// The next words.
    Text(String),
    /// The whole, as it was stored: the last part.
    Stored(message::Model),
}

impl Conversations<'_> {
    /// Stores a question, waits for the chat model, and stores its answer.
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
        let Asked { question, history } = self.store_question(owner, conversation, new).await?;
        let reply = self.services.chat_model.reply(&history).await;
        let body = reply.map_err(|source| unanswered(&question, source))?;
        let answer = self.store_answer(conversation, body).await?;
        Ok(QuestionAndAnswer { question, answer })
    }

    /// Stores a question, and commits the session with it.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the body, [`Error::NotFound`] if the owner has no such conversation.
    pub async fn store_question(
        &self,
        owner: Uuid,
        conversation: Uuid,
        new: WriteMessage,
    ) -> Result<Asked, Error> {
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
        Ok(Asked { question, history })
    }

    /// Streams the answer to a stored question in parts, stores the whole, and commits the session with it. No connection
    /// is held while the chat model works.
    ///
    /// # Errors
    ///
    /// As the last item: [`Error::NotFound`] if the conversation was deleted meanwhile, and [`Error::Upstream`] if the chat
    /// model does not answer to the end. Nothing of the answer is then stored.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its last item, nothing of the answer is stored.
    pub fn answer(&self, asked: Asked) -> impl Stream<Item = Result<AnswerPart, Error>> + Send + use<> {
        let (services, session) = (self.services.clone(), self.session.clone());
        try_stream! {
            let Asked { question, history } = asked;
            let mut body = String::new();
            let mut parts = services.chat_model.reply_in_parts(&history);
            while let Some(part) = parts.next().await {
                let text = part.map_err(|source| unanswered(&question, source))?;
                body.push_str(&text);
                yield AnswerPart::Text(text);
            }
            let conversations = services.conversations(&session);
            let answer = conversations.store_answer(question.conversation_id, body).await?;
            session.commit().await?;
            yield AnswerPart::Stored(answer);
        }
    }

    async fn store_answer(&self, conversation: Uuid, body: String) -> Result<message::Model, Error> {
        match self.store(conversation, Role::Assistant, without_nul(body)).await {
            // The conversation was deleted meanwhile.
            Err(Error::Database(berth_database::Error::ForeignKeyViolation { .. })) => Err(Error::NotFound),
            stored => stored,
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

fn unanswered(question: &message::Model, source: ChatModelError) -> Error {
    Error::Upstream {
        detail: format!(
            "The chat model did not answer. The question is stored as message {}.",
            question.id
        )
        .into(),
        source: Box::new(source),
    }
}

/// Removes the one character that PostgreSQL cannot store.
fn without_nul(mut body: String) -> String {
    body.retain(|c| c != '\0');
    body
}
