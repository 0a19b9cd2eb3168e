//! Nested transactions as savepoints, each a level that can fail by itself.

use sea_orm::{DbErr, TransactionOptions};

use super::error::{Failure, Sent};
use super::in_flight::{Level, TransactionState};
use super::inner::SessionInner;
use super::query;
use crate::error::Error;

impl SessionInner {
    /// Opens a savepoint one level below `depth` and returns its number.
    pub(super) async fn open_savepoint(
        &self,
        depth: usize,
        options: TransactionOptions,
    ) -> Result<u64, DbErr> {
        self.check_handle(depth)?;
        let mut state = self.enter(depth).await?;
        let savepoint = format!("SAVEPOINT {}", name(depth + 1));
        if state.is_bare() {
            self.begin_transaction(&mut state, options, &format!("; {savepoint}"))
                .await?;
        } else if options.isolation_level.is_some() || options.access_mode.is_some() {
            return Err(
                Error::Unsupported("isolation of a nested transaction: set it on the session").into(),
            );
        } else {
            self.step(&mut state, &savepoint, Sent::Later, &query::Plain(&savepoint))
                .await?;
        }
        state.levels.push(Level::Open);
        Ok(self.handles().open(depth + 1))
    }

    /// Releases the savepoint at `depth`. One that has failed is undone instead, which is an error.
    pub(super) async fn release_savepoint(&self, depth: usize) -> Result<(), Error> {
        let mut state = self.enter(depth).await?;
        if state.levels.get(depth) != Some(&Level::Open) {
            self.undo_to(&mut state, depth).await?;
            return Err(Error::TransactionFailed);
        }
        let sql = format!("RELEASE SAVEPOINT {}", name(depth));
        self.step(&mut state, &sql, Sent::Later, &query::Plain(&sql))
            .await?;
        self.close_level(&mut state, depth);
        Ok(())
    }

    /// Undoes the savepoint at `depth`.
    pub(super) async fn undo_savepoint(&self, depth: usize) -> Result<(), Error> {
        let mut state = self.enter(depth).await?;
        Ok(self.undo_to(&mut state, depth).await?)
    }

    async fn undo_to(&self, state: &mut TransactionState, depth: usize) -> Result<(), Failure> {
        let savepoint = name(depth);
        let sql = format!("ROLLBACK TO SAVEPOINT {savepoint}; RELEASE SAVEPOINT {savepoint}");
        let done = self.send(state, &sql, Sent::Later).await;
        self.close_level(state, depth);
        if done.is_err() {
            state.mark_failed();
        }
        done
    }

    fn close_level(&self, state: &mut TransactionState, depth: usize) {
        state.levels.truncate(depth);
        self.handles().close(depth);
    }

    /// Notes that a savepoint's handle was dropped; the next statement undoes it first.
    pub(super) fn drop_savepoint(&self, depth: usize) {
        let mut handles = self.handles();
        handles.close(depth);
        handles.undo = Some(handles.undo.map_or(depth, |undo| undo.min(depth)));
    }

    pub(super) async fn undo_dropped(&self, state: &mut TransactionState) -> Result<(), Failure> {
        let undo = self.handles().undo.take();
        match undo.filter(|depth| *depth < state.levels.len()) {
            Some(depth) => self.undo_to(state, depth).await,
            None => Ok(()),
        }
    }
}

fn name(depth: usize) -> String {
    format!("level_{depth}")
}
