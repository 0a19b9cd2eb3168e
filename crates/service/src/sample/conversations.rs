//! Conversations: every user reads the public ones, only the owner changes one.

use berth_database::Session;
use berth_service::rules::no_nul;
use berth_service::{Validated, new_id, next_version};
use entity::sample::conversation;
use garde::Validate;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, EntityTrait, QueryFilter,
};
use uuid::Uuid;

use crate::{Direction, Error, ExpectedVersion, Order, Page, PageRequest, Services};

/// The service for conversations and their messages, in one session.
///
/// # Examples
///
/// ```no_run
/// # use berth_database::{Database, Outcome, SessionOptions};
/// # use service::Services;
/// # use service::sample::{NewConversation, NewMessage};
/// # async fn example(database: Database) -> Result<(), service::Error> {
/// let services = Services::new();
///
/// let session = database.session(SessionOptions::new("greeting"));
/// let owner = services.users(&session).development_account(None).await?;
/// let conversations = services.conversations(&session);
/// let new = NewConversation { title: "First conversation".to_owned(), is_public: false };
/// let conversation = conversations.create(owner.id, new).await?;
/// let question = NewMessage { body: "What is a session-mode pooler?".to_owned() };
/// let answered = conversations.ask(owner.id, conversation.id, question).await?;
/// session.end(Outcome::Commit).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Conversations<'a> {
    pub(super) services: &'a Services,
    pub(super) session: &'a Session,
}

/// A new conversation.
#[derive(Clone, Debug, Validate)]
pub struct NewConversation {
    /// 1 to 200 characters; white space around them is removed.
    #[garde(length(chars, min = 1, max = 200), custom(no_nul))]
    pub title: String,
    /// Whether every user may read it.
    #[garde(skip)]
    pub is_public: bool,
}

/// A change of a conversation; a field that is `None` stays as it is.
#[derive(Clone, Debug, Default, Validate)]
pub struct ConversationChange {
    /// As in [`NewConversation`].
    #[garde(inner(length(chars, min = 1, max = 200), custom(no_nul)))]
    pub title: Option<String>,
    /// As in [`NewConversation`].
    #[garde(skip)]
    pub is_public: Option<bool>,
}

/// Which conversations a list has, and in which order.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConversationFilter {
    /// Only those that are public, or only those that are not.
    pub is_public: Option<bool>,
    /// By the time of the last change; otherwise newest first.
    pub by_change: Option<Direction>,
}

impl<'a> Conversations<'a> {
    pub(super) fn new(services: &'a Services, session: &'a Session) -> Self {
        Conversations { services, session }
    }

    /// Creates a conversation.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the title, [`Error::Database`] with a foreign key violation if the owner does not exist.
    pub async fn create(&self, owner: Uuid, new: NewConversation) -> Result<conversation::Model, Error> {
        let title = new.title.trim().to_owned();
        let new = NewConversation { title, ..new }.validated()?;
        let now = self.services.clock().now();
        let conversation = conversation::ActiveModel {
            id: Set(new_id()),
            owner_id: Set(owner),
            title: Set(new.title),
            is_public: Set(new.is_public),
            version: Set(1),
            created_at: Set(now),
            updated_at: Set(now),
        };
        Ok(conversation.insert(self.session).await?)
    }

    /// Finds a conversation that is public or the reader's own. Anybody reads public ones, without being a user too.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for any other conversation.
    pub async fn find(
        &self,
        reader: impl Into<Option<Uuid>>,
        id: Uuid,
    ) -> Result<conversation::Model, Error> {
        let own = reader
            .into()
            .map(|reader| conversation::Column::OwnerId.eq(reader));
        let public = conversation::Column::IsPublic.eq(true);
        let readable = Condition::any().add(public).add_option(own);
        let found = conversation::Entity::find_by_id(id)
            .filter(readable)
            .one(self.session)
            .await?;
        found.ok_or(Error::NotFound)
    }

    /// Lists the owner's conversations.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the limit and the cursor.
    pub async fn list(
        &self,
        owner: Uuid,
        filter: ConversationFilter,
        page: PageRequest,
    ) -> Result<Page<conversation::Model>, Error> {
        let public = filter.is_public.map(|is| conversation::Column::IsPublic.eq(is));
        let own = conversation::Entity::find()
            .filter(conversation::Column::OwnerId.eq(owner))
            .filter(Condition::all().add_option(public));
        let order = Order {
            column: filter.by_change.map(|_| conversation::Column::UpdatedAt),
            direction: filter.by_change.unwrap_or(Direction::Descending),
        };
        page.read_ordered(own, order, conversation::Column::Id, self.session)
            .await
    }

    /// Changes one of the owner's conversations.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the title, [`Error::NotFound`] if the owner has no such conversation,
    /// [`Error::PreconditionFailed`] if it has another version.
    pub async fn update(
        &self,
        owner: Uuid,
        id: Uuid,
        expected: &ExpectedVersion,
        change: ConversationChange,
    ) -> Result<conversation::Model, Error> {
        let title = change.title.map(|title| title.trim().to_owned());
        let change = ConversationChange { title, ..change }.validated()?;
        let columns = conversation::ActiveModel {
            title: change.title.map_or(NotSet, Set),
            is_public: change.is_public.map_or(NotSet, Set),
            updated_at: Set(self.services.clock().now()),
            ..Default::default()
        };
        let changed = conversation::Entity::update_many()
            .set(columns)
            .col_expr(
                conversation::Column::Version,
                next_version(conversation::Column::Version),
            )
            .filter(own(owner, id).add(expected.condition(conversation::Column::Version)))
            .exec_with_returning(self.session)
            .await?;
        match changed.into_iter().next() {
            Some(changed) => Ok(changed),
            None => expected.missing(self.find_own(owner, id)).await,
        }
    }

    /// Deletes one of the owner's conversations with all its messages.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the owner has no such conversation, [`Error::PreconditionFailed`] if it has another version.
    pub async fn delete(&self, owner: Uuid, id: Uuid, expected: &ExpectedVersion) -> Result<(), Error> {
        let deleted = conversation::Entity::delete_many()
            .filter(own(owner, id).add(expected.condition(conversation::Column::Version)))
            .exec(self.session)
            .await?;
        match deleted.rows_affected {
            0 => expected.missing(self.find_own(owner, id)).await,
            _ => Ok(()),
        }
    }

    /// Finds a conversation that the owner may write to.
    pub(super) async fn find_own(&self, owner: Uuid, id: Uuid) -> Result<conversation::Model, Error> {
        let found = conversation::Entity::find()
            .filter(own(owner, id))
            .one(self.session)
            .await?;
        found.ok_or(Error::NotFound)
    }
}

fn own(owner: Uuid, id: Uuid) -> Condition {
    Condition::all()
        .add(conversation::Column::Id.eq(id))
        .add(conversation::Column::OwnerId.eq(owner))
}
