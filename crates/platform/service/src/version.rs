//! Optimistic locking: a change applies only to the version that the caller has seen.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, Condition};

use crate::Error;

/// The versions of a row of which one must be its present one; by default any.
///
/// A table takes part with a column `version` that each update raises by one in the statement that also compares it, so
/// that of concurrent changes of one version exactly one is made.
///
/// ```
/// # use berth_service::ExpectedVersion;
/// # use sea_orm::ColumnTrait;
/// # fn filter(column: impl ColumnTrait, expected: &ExpectedVersion) -> sea_orm::Condition {
/// // UPDATE ... SET version = version + 1 WHERE id = ... AND <this>; where no row fits: expected.missing(row)
/// expected.condition(column)
/// # }
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ExpectedVersion(Option<Vec<i32>>);

/// The value of the column `version` after a change.
pub fn next_version(column: impl ColumnTrait) -> Expr {
    column.into_expr().add(1)
}

impl ExpectedVersion {
    /// One of these versions.
    pub fn one_of(versions: Vec<i32>) -> Self {
        Self(Some(versions))
    }

    /// The condition that the row's present version is expected.
    pub fn condition(&self, column: impl ColumnTrait) -> Condition {
        Condition::all().add_option(
            self.0
                .as_ref()
                .map(|versions| column.is_in(versions.iter().copied())),
        )
    }

    /// Returns why no row was changed; `exists` looks for the row in any version, and runs only where one was expected.
    ///
    /// # Errors
    ///
    /// Always: [`Error::PreconditionFailed`] where the row exists in another version, and otherwise the look's.
    pub async fn missing<T, R>(&self, exists: impl Future<Output = Result<T, Error>>) -> Result<R, Error> {
        match &self.0 {
            None => Err(Error::NotFound),
            Some(_) => exists.await.and(Err(Error::PreconditionFailed)),
        }
    }
}
