//! Tracks which handle of a session may run statements: the session or a nested transaction.

use std::sync::{Arc, PoisonError};

use super::inner::SessionInner;
use crate::error::Error;

/// Which handle may run statements: the session, or its innermost nested transaction.
#[derive(Debug, Default)]
pub(super) struct Handles {
    pub(super) depth: usize,
    /// How many nested transactions there have been, and the numbers of those that are open.
    begun: u64,
    open: Vec<u64>,
    pub(super) streaming: bool,
    pub(super) ended: bool,
    /// The savepoint at this depth was dropped unfinished and everything from it on must be undone.
    pub(super) undo: Option<usize>,
}

impl Handles {
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
    pub(super) fn check_handle(&self, depth: usize) -> Result<(), Error> {
        let handles = self.handles();
        match () {
            () if handles.ended => Err(Error::SessionClosed),
            () if handles.streaming || handles.depth != depth => Err(Error::SessionBusy),
            () => Ok(()),
        }
    }

    pub(super) fn handles(&self) -> std::sync::MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a stream as open until the guard is dropped.
    pub(super) fn open_stream(self: &Arc<Self>, depth: usize) -> Result<StreamGuard, Error> {
        self.check_handle(depth)?;
        self.handles().streaming = true;
        Ok(StreamGuard(self.clone()))
    }

    /// Whether the level at this depth is still the one with this number.
    pub(super) fn is_open(&self, depth: usize, number: u64) -> bool {
        self.handles().open.get(depth - 1) == Some(&number)
    }

    pub(super) fn ended(&self) -> bool {
        self.handles().ended
    }

    /// Waits for the session's end.
    pub(super) async fn closed(&self) {
        loop {
            let ending = self.ending.notified();
            if self.ended() {
                return;
            }
            ending.await;
        }
    }
}

/// An open stream of a session; other statements are refused until it is dropped.
pub(super) struct StreamGuard(Arc<SessionInner>);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.handles().streaming = false;
    }
}
