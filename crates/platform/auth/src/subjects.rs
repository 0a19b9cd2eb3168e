//! Users of identity providers: the first request of a subject creates its row.

use std::time::Duration;

use async_trait::async_trait;
use berth_database::Session;
use moka::sync::Cache;
use uuid::Uuid;

use crate::Identity;

/// Users that are remembered, so that their requests need no statement for the row: some 20 MB.
const MOST: u64 = 100_000;
/// A row that was deleted by hand is created again after this time.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Any error of the service that makes the row.
pub type SubjectError = berth_service::Error;

/// Makes the row of a user; the service's.
#[async_trait]
pub trait Subjects: Send + Sync {
    /// Returns the key of the identity's user, whose row it makes unless it exists.
    ///
    /// # Errors
    ///
    /// The database's.
    async fn user_of(&self, session: &Session, identity: &Identity) -> Result<Uuid, SubjectError>;
}

/// The memory of users whose rows exist.
#[derive(Clone, Debug)]
pub struct Subject {
    users: Cache<(String, String), Uuid>,
}

impl Subject {
    /// Returns the key of the identity's user, where its row is known to exist.
    pub fn known(&self, identity: &Identity) -> Option<Uuid> {
        self.users.get(&key(identity))
    }

    /// Remembers that the row exists.
    pub fn remember(&self, identity: &Identity, user: Uuid) {
        self.users.insert(key(identity), user);
    }

    /// Forgets the row, which is deleted.
    pub fn forget(&self, identity: &Identity) {
        self.users.invalidate(&key(identity));
    }
}

impl Default for Subject {
    fn default() -> Self {
        let users = Cache::builder().max_capacity(MOST).time_to_live(REMEMBERED);
        Self { users: users.build() }
    }
}

fn key(identity: &Identity) -> (String, String) {
    (identity.issuer().to_owned(), identity.subject().to_owned())
}
