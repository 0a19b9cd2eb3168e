//! The users, who own rows of other tables.

use berth_auth::{Account, Accounts, Identity, Passwords, SubjectError, Subjects};
use berth_auth::{email_token, refresh_token};
use berth_database::Session;
use berth_service::rules::email_address;
use berth_service::{Trimmed, Validated, input, new_id, normalized_email};
use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, QueryFilter};
use uuid::Uuid;

use crate::{Error, Page, PageRequest, Services};

/// The e-mail address of the development user.
const DEVELOPER: &str = "developer@localhost";

/// The service for users, in one session.
#[derive(Clone, Copy, Debug)]
pub struct Users<'a> {
    services: &'a Services,
    session: &'a Session,
}

/// A new user with a password.
#[input]
pub struct NewUser {
    /// An e-mail address; its case does not matter.
    #[garde(custom(email_address))]
    pub email: Trimmed,
    #[garde(length(chars, min = 1, max = 100))]
    pub name: Trimmed,
}

/// The fields to change.
#[input(user)]
pub struct UpdateUser {
    #[garde(length(chars, min = 1, max = 100))]
    pub name: Trimmed,
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
        let found = user::Entity::find_by_id(id).one(self.session).await?;
        found.ok_or(Error::NotFound)
    }

    /// Lists all users, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the limit and the cursor.
    pub async fn list(&self, page: PageRequest) -> Result<Page<user::Model>, Error> {
        let mut newest_first = user::Entity::find().cursor_by(user::Column::Id);
        newest_first.desc();
        page.read(newest_first, self.session, |row| row.id).await
    }

    /// Creates a user with a password unless the address is taken, which the result does not reveal. Returns the
    /// address as it is stored. The password is hashed before a connection is leased.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the fields and the password, and those of hashing.
    pub async fn register(
        &self,
        passwords: &Passwords,
        new: NewUser,
        password: &str,
    ) -> Result<String, berth_auth::Error> {
        let new = new.validated()?;
        let email = normalized_email(&new.email);
        let hash = passwords.hash_new("password", password).await?;
        let user = user::ActiveModel {
            email: Set(Some(email.clone())),
            password_hash: Set(Some(hash)),
            ..self.new_row(new_id(), new.name.into())
        };
        self.insert(user).await?;
        Ok(email)
    }

    /// Changes the name of a user.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the name, [`Error::NotFound`] if the user does not exist.
    pub async fn update(&self, id: Uuid, change: UpdateUser) -> Result<user::Model, Error> {
        let changed = user::ActiveModel {
            id: Set(id),
            updated_at: Set(self.services.clock().now()),
            ..change.validated()?.into_active_model()
        };
        Ok(changed.update(self.session).await?)
    }

    /// Deletes a user with everything that belongs to the user, and ends the user's logins.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the user does not exist.
    pub async fn delete(&self, id: Uuid) -> Result<(), berth_auth::Error> {
        refresh_token::revoke_all(self.session, id).await?;
        email_token::revoke_all(self.session, id).await?;
        let deleted = user::Entity::delete_by_id(id).exec(self.session).await?;
        match deleted.rows_affected {
            0 => Err(Error::NotFound.into()),
            _ => Ok(()),
        }
    }

    /// Finds the account with this address, or makes the development user's at the first call without one. Concurrent
    /// callers get the same user.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for an unknown address.
    pub async fn development_account(&self, email: Option<&str>) -> Result<Account, Error> {
        let found = self.by_email(email.unwrap_or(DEVELOPER)).await?;
        if found.is_some() || email.is_some() {
            return found.ok_or(Error::NotFound);
        }
        // Another caller may be inserting the same user: the second one waits, and finds the first one's row.
        let user = user::ActiveModel {
            email: Set(Some(DEVELOPER.to_owned())),
            ..self.new_row(new_id(), "Developer".to_owned())
        };
        self.insert(user).await?;
        self.by_email(DEVELOPER).await?.ok_or(Error::NotFound)
    }

    fn new_row(&self, id: Uuid, name: String) -> user::ActiveModel {
        let now = self.services.clock().now();
        user::ActiveModel {
            id: Set(id),
            name: Set(name),
            // Supabase has a database role of this name.
            role: Set("authenticated".to_owned()),
            created_at: Set(now),
            updated_at: Set(now),
            ..Default::default()
        }
    }

    async fn insert(&self, user: user::ActiveModel) -> Result<(), Error> {
        let unless_taken = OnConflict::column(user::Column::Email).do_nothing().to_owned();
        let insert = user::Entity::insert(user).on_conflict(unless_taken);
        insert.exec_without_returning(self.session).await?;
        Ok(())
    }
}

impl Accounts for Users<'_> {
    async fn by_email(&self, email: &str) -> Result<Option<Account>, Error> {
        let found = user::Entity::find().filter(user::COLUMN.email.eq(normalized_email(email)));
        Ok(found.one(self.session).await?.map(account))
    }

    async fn by_user(&self, id: Uuid) -> Result<Option<Account>, Error> {
        Ok(user::Entity::find_by_id(id).one(self.session).await?.map(account))
    }

    async fn set_password_hash(&self, id: Uuid, hash: String) -> Result<(), Error> {
        let changed = user::ActiveModel {
            id: Set(id),
            password_hash: Set(Some(hash)),
            ..Default::default()
        };
        changed.update(self.session).await?;
        Ok(())
    }

    async fn set_email_verified(&self, id: Uuid, email: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let verified = user::ActiveModel {
            email_verified_at: Set(Some(now)),
            ..Default::default()
        };
        let update = user::Entity::update_many()
            .set(verified)
            .filter(user::COLUMN.id.eq(id))
            .filter(user::COLUMN.email.eq(email));
        Ok(update.exec(self.session).await?.rows_affected > 0)
    }
}

#[async_trait::async_trait]
impl Subjects for Services {
    async fn user_of(&self, session: &Session, identity: &Identity) -> Result<Uuid, SubjectError> {
        // Policies compare a row's owner with the subject, so that a subject which is a UUID is the key as well.
        let id = identity.subject().parse().unwrap_or_else(|_| new_id());
        let name = identity.claims().text("name").unwrap_or("User").replace('\0', "");
        let name = name.chars().take(100).collect();
        let user = user::ActiveModel {
            issuer: Set(Some(identity.issuer().to_owned())),
            subject: Set(Some(identity.subject().to_owned())),
            ..self.users(session).new_row(id, name)
        };
        let known = OnConflict::columns([user::Column::Issuer, user::Column::Subject])
            .update_column(user::Column::UpdatedAt)
            .to_owned();
        let row = user::Entity::insert(user)
            .on_conflict(known)
            .exec_with_returning(session)
            .await?;
        Ok(row.id)
    }
}

fn account(user: user::Model) -> Account {
    Account {
        id: user.id,
        role: user.role,
        password_hash: user.password_hash,
        email_verified_at: user.email_verified_at,
    }
}
