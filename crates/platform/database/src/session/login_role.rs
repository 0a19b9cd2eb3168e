//! Statements with the rights of the role that the service logs in with, in the transaction of a session with another role.

use sea_orm::{ConnectionTrait, QueryResult, Statement};

use super::Session;
use super::begin::quoted_role;
use crate::error::Error;

impl Session {
    /// Runs a statement for its first row with the rights of the role that the service logs in with, in the session's own
    /// transaction. For tables of the platform, which roles of users may not use. In a session without a role it is an
    /// ordinary statement.
    ///
    /// Slot cost: as a statement that writes; two round trips more in a session with a role.
    ///
    /// # Errors
    /// As any statement. Where the role cannot be set again, the transaction has failed, and nothing of it is stored.
    ///
    /// # Cancel safety
    /// As any statement: dropped in the middle, it loses the transaction.
    pub async fn query_one_as_login_role(&self, statement: Statement) -> Result<Option<QueryResult>, Error> {
        let Some(role) = self
            .inner()
            .options
            .role
            .as_ref()
            .filter(|_| self.inner().is_postgres())
        else {
            return Ok(self.query_one_raw(statement).await?);
        };
        let again = format!("SET LOCAL ROLE {}", quoted_role(&role.name)?);
        self.execute_unprepared("SET LOCAL ROLE NONE").await?;
        // From here on a drop loses the transaction: each await below is a statement.
        let row = self.query_one_raw(statement).await?;
        self.execute_unprepared(&again).await?;
        Ok(row)
    }
}
