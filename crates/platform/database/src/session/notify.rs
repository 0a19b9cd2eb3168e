//! NOTIFY: notifications that are sent when a session commits.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::Session;
use crate::error::Error;

impl Session {
    /// Sends a notification to the subscribers of a channel, in all instances, once the work of the session is committed.
    ///
    /// It is part of the session's transaction: after a rollback it is not sent. Without an open transaction it begins
    /// one. The payload is a hint, such as an id: at most 7,999 bytes on PostgreSQL, and a subscriber that is away gets
    /// none, so what counts must be in a table.
    ///
    /// Where no connection can listen (behind a transaction pooler, with fresh connections), nothing is sent to the
    /// server, and the subscribers of this process alone get it.
    ///
    /// Slot cost: as any statement that writes; one round trip on PostgreSQL, none on SQLite.
    ///
    /// # Errors
    /// As any statement.
    ///
    /// # Cancel safety
    /// As any statement.
    pub async fn notify(&self, channel: &'static str, payload: &str) -> Result<(), Error> {
        let pool = self.inner().pool.clone();
        self.inner().find_mode().await?;
        if pool.can_listen() {
            let values = [channel.into(), payload.into()];
            let sql = "SELECT pg_notify($1, $2)";
            self.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values))
                .await?;
        }
        let payload = payload.to_owned();
        self.after_commit(move || pool.notifications.deliver_here(channel, &payload));
        Ok(())
    }
}
