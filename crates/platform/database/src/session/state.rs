//! Which handle of a session may run statements, known before anybody queues.

use std::sync::PoisonError;

use super::inner::SessionInner;
use crate::error::Error;

/// Which handle may run statements; checked before queueing, so that a wrong one learns at once.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) depth: usize,
    /// How many nested transactions there have been, and the numbers of those that are open.
    begun: u64,
    open: Vec<u64>,
    pub(super) streaming: bool,
    pub(super) ended: bool,
    /// The savepoint at this depth was dropped unfinished and everything from it on must be undone.
    pub(super) undo: Option<usize>,
}

impl Gate {
    /// Opens a level at this depth and numbers it: another one at the same depth is not the same.
    pub(super) fn open(&mut self, depth: usize) -> u64 {
        self.begun += 1;
        self.open.truncate(depth - 1);
        self.open.push(self.begun);
        self.depth = depth;
        self.begun
    }

    /// Closes the level at this depth and all below it.
    pub(super) fn close(&mut self, depth: usize) {
        self.depth = self.depth.min(depth - 1);
        self.open.truncate(self.depth);
    }
}

impl SessionInner {
    pub(super) fn check_gate(&self, depth: usize) -> Result<(), Error> {
        let gate = self.lock_gate();
        match () {
            () if gate.ended => Err(Error::SessionClosed),
            () if gate.streaming || gate.depth != depth => Err(Error::SessionBusy),
            () => Ok(()),
        }
    }

    pub(super) fn lock_gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a stream as open until the guard is dropped.
    pub(crate) fn open_stream(&self, depth: usize) -> Result<Streaming<'_>, Error> {
        self.check_gate(depth)?;
        self.lock_gate().streaming = true;
        Ok(Streaming { core: self })
    }

    /// Whether the level at this depth is still the one with this number.
    pub(crate) fn is_open(&self, depth: usize, number: u64) -> bool {
        self.lock_gate().open.get(depth - 1) == Some(&number)
    }

    pub(crate) fn ended(&self) -> bool {
        self.lock_gate().ended
    }
}

/// An open stream of a session.
pub(crate) struct Streaming<'a> {
    core: &'a SessionInner,
}

impl Drop for Streaming<'_> {
    fn drop(&mut self) {
        self.core.lock_gate().streaming = false;
    }
}
