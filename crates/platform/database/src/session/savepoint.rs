//! Nested transactions as savepoints, each a level that can fail independently.

use sea_orm::{AccessMode, DbBackend, DbErr, TransactionOptions};

use super::error::{Failure, Sent};
use super::in_flight::{Level, TransactionState};
use super::inner::SessionInner;
use super::options::Autocommit;
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
        let mut savepoint = format!("SAVEPOINT {}", name(depth + 1));
        if state.is_bare() {
            self.begin_transaction(&mut state, options, &format!("; {savepoint}"))
                .await?;
            // What is read only stores nothing, so that its options need not outlive it.
            state.begun.with_nested = options.access_mode == Some(AccessMode::ReadOnly)
                || self.options.autocommit == Autocommit::All;
        } else {
            let read_only = self.nested_options(&state, options)?;
            savepoint += read_only;
            self.step(&mut state, &savepoint, Sent::Later, &query::Plain(&savepoint))
                .await?;
            if !read_only.is_empty() {
                state.begun.read_only_from = Some(depth + 1);
            }
        }
        state.levels.push(Level::Open);
        Ok(self.handles().open(depth + 1))
    }

    /// What follows the savepoint of a nested transaction with these options. Refuses what the transaction around it does
    /// not allow.
    fn nested_options(
        &self,
        state: &TransactionState,
        options: TransactionOptions,
    ) -> Result<&'static str, Error> {
        let same_level =
            options.isolation_level.is_none() || options.isolation_level == state.begun.isolation;
        match options.access_mode {
            _ if !same_level => {}
            None => return Ok(""),
            Some(access) if (access == AccessMode::ReadOnly) == state.begun.read_only_from.is_some() => {
                return Ok("");
            }
            // It ends with the savepoint.
            Some(AccessMode::ReadOnly) if self.backend() == DbBackend::Postgres => {
                return Ok("; SET TRANSACTION READ ONLY");
            }
            Some(_) => {}
        }
        Err(Error::Unsupported(
            "isolation or access of a nested transaction: set it on the session",
        ))
    }

    /// Releases the savepoint at `depth`. One that has failed is undone instead, which is an error.
    pub(super) async fn release_savepoint(&self, depth: usize) -> Result<(), Error> {
        let mut state = self.enter(depth).await?;
        if state.levels.get(depth) != Some(&Level::Open) {
            self.undo_to(&mut state, depth).await?;
            return Err(Error::TransactionFailed);
        }
        if depth == 1 && state.begun.with_nested {
            self.close_level(&mut state, depth);
            return self.commit_transaction(&mut state).await;
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
        if depth == 1 && state.begun.with_nested {
            self.close_level(state, depth);
            self.roll_back(state);
            return Ok(());
        }
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
        state.begun.read_only_from = state.begun.read_only_from.filter(|from| *from < depth);
        self.handles().close(depth);
    }

    /// Notes that a savepoint's handle was dropped; the next statement undoes it first.
    pub(super) fn drop_savepoint(&self, depth: usize) {
        let mut handles = self.handles();
        handles.close(depth);
        handles.undo = Some(handles.undo.map_or(depth, |undo| undo.min(depth)));
        drop(handles);
        if let Ok(mut state) = self.state.try_lock()
            && depth == 1
            && state.begun.with_nested
        {
            self.roll_back(&mut state);
        }
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
