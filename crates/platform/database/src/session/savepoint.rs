//! Nested transactions as savepoints, each a level that can fail by itself.

use sea_orm::{DbErr, TransactionOptions};

use super::error::Fault;
use super::in_flight::TransactionState;
use super::inner::SessionInner;
use crate::error::Error;
use crate::session::query;

impl SessionInner {
    /// Opens a savepoint one level below `depth` and tells its number.
    pub(crate) async fn begin(&self, depth: usize, options: TransactionOptions) -> Result<u64, DbErr> {
        self.check_gate(depth)?;
        let mut work = self.enter(depth).await?;
        let savepoint = format!("SAVEPOINT {}", name(depth + 1));
        if work.levels.is_empty() {
            self.begin_work(&mut work, options, &format!("; {savepoint}"))
                .await?;
        } else if options.isolation_level.is_some() || options.access_mode.is_some() {
            return Err(
                Error::Unsupported("isolation of a nested transaction: set it on the session").into(),
            );
        } else {
            self.step(&mut work, &savepoint, &query::Plain(&savepoint))
                .await?;
        }
        work.levels.push(false);
        Ok(self.lock_gate().open(depth + 1))
    }

    /// Releases the savepoint at `depth`; where it had failed, undoes it instead and says so.
    pub(crate) async fn release(&self, depth: usize) -> Result<(), Error> {
        let mut work = self.enter(depth).await?;
        if work.levels.get(depth).copied().unwrap_or(true) {
            self.undo_to(&mut work, depth).await?;
            return Err(Error::TransactionFailed);
        }
        let sql = format!("RELEASE SAVEPOINT {}", name(depth));
        self.step(&mut work, &sql, &query::Plain(&sql)).await?;
        self.close_level(&mut work, depth);
        Ok(())
    }

    /// Undoes the savepoint at `depth`.
    pub(crate) async fn undo(&self, depth: usize) -> Result<(), Error> {
        let mut work = self.enter(depth).await?;
        Ok(self.undo_to(&mut work, depth).await?)
    }

    pub(super) async fn undo_to(&self, work: &mut TransactionState, depth: usize) -> Result<(), Fault> {
        let savepoint = name(depth);
        let sql = format!("ROLLBACK TO SAVEPOINT {savepoint}; RELEASE SAVEPOINT {savepoint}");
        let done = self.send(work, &sql).await;
        self.close_level(work, depth);
        if done.is_err() {
            work.mark_failed();
        }
        done
    }

    pub(super) fn close_level(&self, work: &mut TransactionState, depth: usize) {
        work.levels.truncate(depth);
        self.lock_gate().close(depth);
    }

    /// A savepoint's handle is gone; the next statement undoes it first.
    pub(crate) fn abandon_savepoint(&self, depth: usize) {
        let mut gate = self.lock_gate();
        gate.close(depth);
        gate.undo = Some(gate.undo.map_or(depth, |undo| undo.min(depth)));
    }

    pub(super) async fn undo_dropped(&self, work: &mut TransactionState) -> Result<(), Fault> {
        let undo = self.lock_gate().undo.take();
        match undo.filter(|depth| *depth < work.levels.len()) {
            Some(depth) => self.undo_to(work, depth).await,
            None => Ok(()),
        }
    }
}

fn name(depth: usize) -> String {
    format!("berth_{depth}")
}
