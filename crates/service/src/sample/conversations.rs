//! Conversations: every user reads the public ones, only the owner changes one.

use berth_database::Session;
use berth_service::{Owned, Trimmed, Validated, input};
use entity::sample::conversation;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::{Direction, Error, ExpectedVersion, Order, Page, PageRequest, Services};

/// The service for conversations and their messages, in one session.
///
/// # Examples
///
/// ```no_run
/// # use berth_database::{Database, Outcome, SessionOptions};
/// # use service::Services;
/// # use service::sample::{CreateConversation, WriteMessage};
/// # async fn example(database: Database) -> Result<(), service::Error> {
/// let services = Services::new();
///
/// let session = database.session(SessionOptions::new("greeting"));
/// let owner = services.users(&session).development_account(None).await?;
/// let conversations = services.conversations(&session);
/// let new = CreateConversation { title: "First conversation".into(), is_public: false };
/// let conversation = conversations.create(owner.id, new).await?;
/// let question = WriteMessage { body: "What is a session-mode pooler?".to_owned() };
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

/// The fields of a new conversation.
#[input(conversation, change = UpdateConversation)]
pub struct CreateConversation {
    #[garde(length(chars, min = 1, max = 200))]
    pub title: Trimmed,
    /// Whether everyone may read it.
    #[serde(default)]
    pub is_public: bool,
}

/// Which conversations a list has, and in which order.
#[derive(Clone, Debug, Default)]
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
    pub async fn create(&self, owner: Uuid, new: CreateConversation) -> Result<conversation::Model, Error> {
        self.of(owner).insert(new.validated()?).await
    }

    /// Finds a conversation that is public or the reader's own. Public ones need no user.
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
        let conditions = Condition::all().add_option(
            filter
                .is_public
                .map(|value| conversation::Column::IsPublic.eq(value)),
        );
        let own = self.of(owner).rows().filter(conditions);
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
        change: UpdateConversation,
    ) -> Result<conversation::Model, Error> {
        self.of(owner).update(id, expected, change.validated()?).await
    }

    /// Deletes one of the owner's conversations with all its messages.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the owner has no such conversation, [`Error::PreconditionFailed`] if it has another version.
    pub async fn delete(&self, owner: Uuid, id: Uuid, expected: &ExpectedVersion) -> Result<(), Error> {
        self.of(owner).delete(id, expected).await
    }

    /// The conversations that the owner may write to.
    pub(super) fn of(&self, owner: Uuid) -> Owned<'_, conversation::Entity> {
        Owned::of(owner, self.session, self.services.clock())
    }
}
