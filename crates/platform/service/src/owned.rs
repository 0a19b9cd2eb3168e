//! Rows that belong to one user, and that are changed only in the version that the client has seen.

use berth_database::Session;
use sea_orm::sea_query::Value;
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, Condition, EntityTrait, FromQueryResult,
    IntoActiveModel, QueryFilter, Select,
};
use uuid::Uuid;

use crate::{Clock, Error, ExpectedVersion, new_id, next_version};

/// A table whose rows have an owner and a version; [`owned!`](crate::owned) implements it.
pub trait OwnedEntity: EntityTrait {
    /// The key, a UUIDv7.
    const ID: Self::Column;
    /// The user whose row it is.
    const OWNER_ID: Self::Column;
    /// Raised by each change.
    const VERSION: Self::Column;
    /// The time of the creation.
    const CREATED_AT: Self::Column;
    /// The time of the last change.
    const UPDATED_AT: Self::Column;
}

/// A row with a version.
pub trait VersionedRow {
    /// The version, which each change raises.
    fn version(&self) -> i32;
}

/// States, in the file of an entity, that the table has the columns `id`, `owner_id`, `version`, `created_at` and
/// `updated_at`.
#[macro_export]
macro_rules! owned {
    () => {
        impl $crate::OwnedEntity for Entity {
            const ID: Column = Column::Id;
            const OWNER_ID: Column = Column::OwnerId;
            const VERSION: Column = Column::Version;
            const CREATED_AT: Column = Column::CreatedAt;
            const UPDATED_AT: Column = Column::UpdatedAt;
        }

        impl $crate::VersionedRow for Model {
            fn version(&self) -> i32 {
                self.version
            }
        }
    };
}

/// The rows of one owner, in one session: another user's row is not found.
#[derive(Clone, Copy, Debug)]
pub struct Owned<'a, E> {
    owner: Uuid,
    session: &'a Session,
    clock: &'a Clock,
    entity: std::marker::PhantomData<E>,
}

impl<'a, E> Owned<'a, E>
where
    E: OwnedEntity,
    E::Model: FromQueryResult + IntoActiveModel<E::ActiveModel> + Send + Sync,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    /// The rows of this owner.
    pub fn of(owner: Uuid, session: &'a Session, clock: &'a Clock) -> Self {
        Self {
            owner,
            session,
            clock,
            entity: std::marker::PhantomData,
        }
    }

    /// Inserts a row, with a new key and the first version.
    ///
    /// # Errors
    ///
    /// [`Error::Database`] for a violated constraint: the owner does not exist, or a value is taken.
    pub async fn insert(&self, row: impl IntoActiveModel<E::ActiveModel>) -> Result<E::Model, Error> {
        let now = self.clock.now();
        let mut row = row.into_active_model();
        row.set(E::ID, new_id().into());
        row.set(E::OWNER_ID, self.owner.into());
        row.set(E::VERSION, Value::from(1));
        row.set(E::CREATED_AT, now.into());
        row.set(E::UPDATED_AT, now.into());
        Ok(row.insert(self.session).await?)
    }

    /// Selects the owner's rows.
    pub fn rows(&self) -> Select<E> {
        E::find().filter(E::OWNER_ID.eq(self.owner))
    }

    /// Finds one of the owner's rows.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the owner has no such row.
    pub async fn find(&self, id: Uuid) -> Result<E::Model, Error> {
        let found = self.rows().filter(E::ID.eq(id)).one(self.session).await?;
        found.ok_or(Error::NotFound)
    }

    /// Checks that a field of the input has the id of one of the owner's rows; a field without a value has nothing to check.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the field.
    pub async fn check(&self, field: &str, id: impl Into<Option<Uuid>>) -> Result<(), Error> {
        let Some(id) = id.into() else { return Ok(()) };
        self.find(id).await.map(drop).map_err(|error| match error {
            Error::NotFound => Error::invalid(field, "must be the id of something that is yours"),
            other => other,
        })
    }

    /// Changes one of the owner's rows, in one statement, and raises its version.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if the owner has no such row, [`Error::PreconditionFailed`] if it has another version.
    pub async fn update(
        &self,
        id: Uuid,
        expected: &ExpectedVersion,
        change: impl IntoActiveModel<E::ActiveModel>,
    ) -> Result<E::Model, Error> {
        let mut change = change.into_active_model();
        change.set(E::UPDATED_AT, self.clock.now().into());
        let changed = E::update_many()
            .set(change)
            .col_expr(E::VERSION, next_version(E::VERSION))
            .filter(self.condition(id, expected))
            .exec_with_returning(self.session)
            .await?;
        match changed.into_iter().next() {
            Some(changed) => Ok(changed),
            None => expected.missing(self.find(id)).await,
        }
    }

    /// Deletes one of the owner's rows.
    ///
    /// # Errors
    ///
    /// Those of [`Owned::update`].
    pub async fn delete(&self, id: Uuid, expected: &ExpectedVersion) -> Result<(), Error> {
        let delete = E::delete_many().filter(self.condition(id, expected));
        match delete.exec(self.session).await?.rows_affected {
            0 => expected.missing(self.find(id)).await,
            _ => Ok(()),
        }
    }

    fn condition(&self, id: Uuid, expected: &ExpectedVersion) -> Condition {
        Condition::all()
            .add(E::ID.eq(id))
            .add(E::OWNER_ID.eq(self.owner))
            .add(expected.condition(E::VERSION))
    }
}
