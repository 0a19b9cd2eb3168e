//! Asking a question and storing its answer, without holding a connection in between.

use entity::sample::conversation;
use entity::sample::message::{self, Role};
use garde::Validate;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::{Conversations, Error, Turn};
use berth_service::rules::{no_nul, not_blank};
use berth_service::{Validated, new_id};

/// How many of the last messages the responder is told.
const MEMORY: u64 = 50;

/// What a user says.
#[derive(Clone, Debug, Validate)]
pub struct NewMessage {
    /// 1 to 32 000 characters, not only space.
    #[garde(length(chars, min = 1, max = 32_000), custom(not_blank), custom(no_nul))]
    pub body: String,
}

/// A question and its answer, both stored.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the owner said.
    pub question: message::Model,
    /// What the responder answered.
    pub answer: message::Model,
}

impl Conversations<'_> {
    /// Stores a question, waits for the responder, and stores its answer.
    ///
    /// Commits the session in the middle. The question is then stored whatever follows, and no
    /// connection is held while the responder works, which may take minutes. What the caller did in
    /// this session before is committed with the question.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the body, [`Error::NotFound`] if the owner has no such conversation
    /// (or has no longer when the answer arrives), and [`Error::Upstream`] when no answer came.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the commit, nothing is stored; while the responder works, the question is; in
    /// the end, the answer may be.
    pub async fn post(&self, owner: Uuid, conversation: Uuid, new: NewMessage) -> Result<Exchange, Error> {
        let new = new.validated()?;
        self.find_own(owner, conversation).await?;
        let question = self.store(conversation, Role::User, new.body).await?;
        let history = self.history(conversation).await?;
        self.session.commit().await?;

        let answered = self.services.responder.answer(&history).await;
        let body = answered.map_err(|source| Error::Upstream {
            detail: format!(
                "The question is stored as message {}; the responder gave no answer to it.",
                question.id
            )
            .into(),
            source: Box::new(source),
        })?;

        match self.store(conversation, Role::Assistant, cleaned(body)).await {
            Ok(answer) => Ok(Exchange { question, answer }),
            // The conversation was deleted meanwhile.
            Err(Error::Database(berth_database::Error::ForeignKeyViolation { .. })) => Err(Error::NotFound),
            Err(error) => Err(error),
        }
    }

    async fn store(&self, conversation: Uuid, role: Role, body: String) -> Result<message::Model, Error> {
        let now = self.services.clock().now();
        let message = message::ActiveModel {
            id: Set(new_id()),
            conversation_id: Set(conversation),
            role: Set(role),
            body: Set(body),
            created_at: Set(now),
        };
        let stored = message.insert(self.session).await?;
        let touched = conversation::ActiveModel {
            updated_at: Set(now),
            ..Default::default()
        };
        conversation::Entity::update_many()
            .set(touched)
            .filter(conversation::Column::Id.eq(conversation))
            .exec(self.session)
            .await?;
        Ok(stored)
    }

    /// The last messages, oldest first.
    async fn history(&self, conversation: Uuid) -> Result<Vec<Turn>, Error> {
        let last = message::Entity::find()
            .filter(message::Column::ConversationId.eq(conversation))
            .order_by_desc(message::Column::Id)
            .limit(MEMORY)
            .all(self.session)
            .await?;
        Ok(last
            .into_iter()
            .rev()
            .map(|row| Turn {
                role: row.role,
                body: row.body,
            })
            .collect())
    }
}

/// What PostgreSQL can store of an answer that nobody has checked.
fn cleaned(mut body: String) -> String {
    body.retain(|c| c != '\0');
    body
}
