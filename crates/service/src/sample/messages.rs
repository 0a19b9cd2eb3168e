//! The messages of a conversation. The owner can change questions; answers cannot be changed.

use berth_service::Validated;
use entity::sample::message::{self, Role};
use futures_util::stream::{self, Stream, TryStreamExt};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, ModelTrait, QueryFilter,
};
use uuid::Uuid;

use super::{Conversations, WriteMessage};
use crate::{Error, Page, PageRequest};

/// The number of messages that an export reads at once.
const EXPORT_PAGE: u64 = 100;

impl Conversations<'_> {
    /// Lists the messages of a conversation that the reader may see, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the conversation, [`Error::Validation`] for the limit and the cursor.
    pub async fn messages(
        &self,
        reader: Uuid,
        conversation: Uuid,
        page: PageRequest,
    ) -> Result<Page<message::Model>, Error> {
        self.find(reader, conversation).await?;
        let all = message::Entity::find().filter(message::Column::ConversationId.eq(conversation));
        page.read(all.cursor_by(message::Column::Id), self.session, |row| row.id)
            .await
    }

    /// Streams all messages of a conversation, oldest first.
    ///
    /// Reads page by page with a clone of the session. A session that reads in autocommit holds no connection between
    /// two pages, however slow the receiver is.
    ///
    /// # Errors
    ///
    /// Those of [`Conversations::messages`], as the last item of the stream.
    pub fn export(
        &self,
        reader: Uuid,
        conversation: Uuid,
    ) -> impl Stream<Item = Result<message::Model, Error>> + use<> {
        let (services, session) = (self.services.clone(), self.session.clone());
        let pages = stream::try_unfold(Some(None), move |cursor: Option<Option<String>>| {
            let (services, session) = (services.clone(), session.clone());
            async move {
                let Some(cursor) = cursor else { return Ok(None) };
                let request = PageRequest {
                    limit: Some(EXPORT_PAGE),
                    cursor,
                };
                let page = services
                    .conversations(&session)
                    .messages(reader, conversation, request)
                    .await?;
                let rows = stream::iter(page.items.into_iter().map(Ok));
                Ok::<_, Error>(Some((rows, page.next.map(Some))))
            }
        });
        pages.try_flatten()
    }

    /// Finds one message.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for the conversation and for the message.
    pub async fn message(&self, reader: Uuid, conversation: Uuid, id: Uuid) -> Result<message::Model, Error> {
        self.find(reader, conversation).await?;
        self.one(conversation, id).await
    }

    /// Changes a question of the owner's. Its answer stays; later answers take the new text into account.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the body, [`Error::NotFound`], and [`Error::Conflict`] for an answer.
    pub async fn update_message(
        &self,
        owner: Uuid,
        conversation: Uuid,
        id: Uuid,
        change: WriteMessage,
    ) -> Result<message::Model, Error> {
        let change = change.validated()?;
        let question = self.find_question(owner, conversation, id).await?;
        let columns = message::ActiveModel {
            id: Set(question.id),
            ..change.into_active_model()
        };
        Ok(columns.update(self.session).await?)
    }

    /// Deletes a question of the owner's.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], and [`Error::Conflict`] for an answer.
    pub async fn delete_message(&self, owner: Uuid, conversation: Uuid, id: Uuid) -> Result<(), Error> {
        let question = self.find_question(owner, conversation, id).await?;
        question.delete(self.session).await?;
        Ok(())
    }

    async fn find_question(
        &self,
        owner: Uuid,
        conversation: Uuid,
        id: Uuid,
    ) -> Result<message::Model, Error> {
        self.of(owner).find(conversation).await?;
        let found = self.one(conversation, id).await?;
        if found.role == Role::User {
            Ok(found)
        } else {
            Err(Error::Conflict)
        }
    }

    async fn one(&self, conversation: Uuid, id: Uuid) -> Result<message::Model, Error> {
        let found = message::Entity::find_by_id(id).filter(message::Column::ConversationId.eq(conversation));
        found.one(self.session).await?.ok_or(Error::NotFound)
    }
}
