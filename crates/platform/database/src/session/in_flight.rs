//! In-flight guard: what happens to a lease when a statement does not finish.

use sea_orm::IsolationLevel;
use tokio::task::AbortHandle;

use super::error::Sent;
use crate::connect::connector::Connection;
use crate::error::Error;
use crate::pool::lease::{ConnectionState, Lease};

/// The lease and the transaction on it.
#[derive(Debug, Default)]
pub(crate) struct TransactionState {
    pub(super) lease: Option<Lease>,
    /// The transaction and its savepoints, outermost first.
    pub(super) levels: Vec<Level>,
    /// Why the connection was lost under an open transaction.
    pub(super) lost: Option<Error>,
    /// Raw code ran, whose failures were not seen here.
    pub(super) raw: bool,
    /// The server's own limit for a statement may have been changed.
    pub(super) untimed: bool,
    /// Ends the transaction at the session's deadline.
    pub(super) expiry: Option<AbortHandle>,
    pub(super) begun: Begun,
}

/// How the transaction was begun.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) isolation: Option<IsolationLevel>,
    /// The depth from which on it is read only.
    pub(super) read_only_from: Option<usize>,
    /// The nested transaction at depth 1 is the whole of it: both end together.
    pub(super) with_nested: bool,
}

/// Whether statements may still run at one level of a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Level {
    Open,
    /// A statement of this level has failed; only rolling back clears that.
    Failed,
}

impl TransactionState {
    /// The connection, marked busy.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.lease.as_mut().and_then(Lease::begin)
    }

    pub(super) fn mark_failed(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            *level = Level::Failed;
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.levels.contains(&Level::Failed)
    }

    /// Whether no transaction is open.
    pub(super) fn is_bare(&self) -> bool {
        self.levels.is_empty()
    }

    /// Releases the lease, in whatever state, and forgets the transaction.
    pub(super) fn clear(&mut self) {
        drop(self.take());
    }

    /// Takes the lease out and forgets the transaction.
    pub(super) fn take(&mut self) -> Option<Lease> {
        if let Some(expiry) = self.expiry.take() {
            expiry.abort();
        }
        self.levels.clear();
        self.lost = None;
        self.raw = false;
        self.untimed = false;
        self.begun = Begun::default();
        self.lease.take()
    }

    /// Drops the connection; an open transaction is lost with it.
    pub(super) fn lose(&mut self, why: Error) {
        let open = !self.levels.is_empty();
        self.lease = None;
        if open {
            self.lost = Some(why);
        }
    }
}

/// A statement under way on the lease. Dropped before [`InFlight::finish`], it takes the connection with it.
pub(super) struct InFlight<'s> {
    pub(super) state: &'s mut TransactionState,
    /// What is reported of a transaction whose statement was dropped.
    dropped: Error,
    sent: Sent,
    finished: bool,
}

impl<'s> InFlight<'s> {
    pub(super) fn new(state: &'s mut TransactionState, dropped: Error, sent: Sent) -> Self {
        Self {
            state,
            dropped,
            sent,
            finished: false,
        }
    }

    pub(super) fn is_tainted(&self) -> bool {
        self.state.lease.as_ref().is_some_and(Lease::is_tainted)
    }

    /// Notes that the statement ended and left the connection usable.
    pub(super) fn finish(mut self) {
        self.finished = true;
        let state = match self.sent {
            Sent::Lone => ConnectionState::Used,
            _ if self.state.is_bare() => ConnectionState::Clean,
            _ => ConnectionState::Open,
        };
        if let Some(lease) = self.state.lease.as_mut() {
            lease.finish(state);
        }
    }

    /// Notes that the statement ended and left the connection unusable.
    pub(super) fn lose(mut self, state: ConnectionState, why: Error) {
        self.finished = true;
        if let Some(lease) = self.state.lease.as_mut() {
            lease.finish(state);
        }
        self.state.lose(why);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.state.lose(self.dropped.clone());
        }
    }
}
