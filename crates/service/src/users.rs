//! The users, who own rows of other tables.

use berth_database::Session;
use berth_service::new_id;
use entity::user;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::{Error, Services};

/// The e-mail address of the development user.
const DEVELOPER: &str = "developer@localhost";

/// The service for users, in one session.
#[derive(Clone, Copy, Debug)]
pub struct Users<'a> {
    services: &'a Services,
    session: &'a Session,
}

impl<'a> Users<'a> {
    pub(crate) fn new(services: &'a Services, session: &'a Session) -> Self {
        Users { services, session }
    }

    /// Finds a user.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the user does not exist.
    pub async fn find(&self, id: Uuid) -> Result<user::Model, Error> {
        user::Entity::find_by_id(id)
            .one(self.session)
            .await?
            .ok_or(Error::NotFound)
    }

    /// Finds the development user, or makes it at the first call. Concurrent callers get the same user.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn development_user(&self) -> Result<user::Model, Error> {
        if let Some(user) = self.find_by_email(DEVELOPER).await? {
            return Ok(user);
        }
        // Another caller may be inserting the same user: the second one waits, and finds the first one's row.
        let now = self.services.clock().now();
        let user = user::ActiveModel {
            id: Set(new_id()),
            name: Set("Developer".to_owned()),
            email: Set(DEVELOPER.to_owned()),
            created_at: Set(now),
            updated_at: Set(now),
        };
        user::Entity::insert(user)
            .on_conflict(OnConflict::column(user::Column::Email).do_nothing().to_owned())
            .exec_without_returning(self.session)
            .await?;
        self.find_by_email(DEVELOPER).await?.ok_or(Error::NotFound)
    }

    async fn find_by_email(&self, email: &str) -> Result<Option<user::Model>, Error> {
        let found = user::Entity::find().filter(user::COLUMN.email.eq(email));
        Ok(found.one(self.session).await?)
    }
}
