//! Feeds: rows that clients follow as they are added, such as the messages of a conversation.

use async_trait::async_trait;
use berth_database::Session;
use sea_orm::{ColumnTrait, Condition};
use uuid::Uuid;

use crate::Error;

/// What clients can follow: rows that belong to a topic, and how they are read.
///
/// A service calls [`announce`] in the unit of work that adds a row. Where clients follow, the rows that were announced are
/// read by one statement for all of them; the same statement reads what was missed.
///
/// The ids must increase in the order in which the rows of one topic are committed, as UUIDv7 does where each unit of work
/// locks the topic's row before it makes the id. A row whose id is lower than one that a client has is not sent again
/// to this client when it resumes.
#[async_trait]
pub trait Feed: Send + Sync + 'static {
    /// What a client is sent of a row.
    type Item: Clone + Send + Sync + 'static;
    /// The columns of the rows.
    type Column: ColumnTrait;
    /// The channel of the announcements; must be unique in the service.
    const CHANNEL: &'static str;
    /// The column with the topic's id.
    const TOPIC: Self::Column;
    /// The column with the row's own id.
    const ID: Self::Column;

    /// Reads the rows to which the condition applies, by increasing id, at most `limit`.
    ///
    /// It runs with the rights of the service's own role, also where row-level security is on: [`Entry::readers`] says who
    /// is sent a row.
    ///
    /// # Errors
    ///
    /// The database's.
    async fn read(
        &self,
        session: &Session,
        which: Condition,
        limit: u64,
    ) -> Result<Vec<Entry<Self::Item>>, Error>;
}

/// One row of a feed.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// The topic that it belongs to.
    pub topic: Uuid,
    /// Its own id.
    pub id: Uuid,
    /// Who may read it at the moment.
    pub readers: Readers,
    /// What clients are sent.
    pub item: T,
}

/// Who may read a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readers {
    /// Every user.
    Everyone,
    /// This user.
    Only(Uuid),
}

impl Readers {
    /// Whether this user may read it.
    pub fn include(self, user: Uuid) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(reader) => reader == user,
        }
    }
}

/// Announces a row that the session has added, to the clients that follow its topic in all instances. They are told once
/// the session has committed.
///
/// Slot cost: as [`Session::notify`].
///
/// # Errors
///
/// As any statement.
pub async fn announce<F: Feed>(session: &Session, topic: Uuid, id: Uuid) -> Result<(), Error> {
    Ok(session.notify(F::CHANNEL, &format!("{topic}/{id}")).await?)
}
