//! The lease in a session's hands, and what becomes of it when something does not land.

use crate::connect::connector::Connection;
use crate::error::Error;
use crate::pool::lease::{ConnectionState, Lease};

/// The lease and the transaction on it.
#[derive(Debug, Default)]
pub(crate) struct TransactionState {
    pub(super) lease: Option<Lease>,
    /// The transaction and its savepoints; true where a statement of that level has failed.
    pub(super) levels: Vec<bool>,
    /// The connection broke under an open transaction.
    pub(super) lost: Option<Error>,
    /// Raw code ran, whose failures were not seen here.
    pub(super) raw: bool,
    /// The server's own limit for a statement may have been changed.
    pub(super) untimed: bool,
}

impl TransactionState {
    /// The connection, marked busy.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        self.lease.as_mut().and_then(Lease::begin)
    }

    pub(crate) fn mark_failed(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            *level = true;
        }
    }

    /// Whether no transaction is open.
    pub(crate) fn is_bare(&self) -> bool {
        self.levels.is_empty()
    }

    /// Lets lease and transaction go, in whatever condition.
    pub(crate) fn forget(&mut self) {
        self.lease = None;
        self.levels.clear();
        self.lost = None;
        self.raw = false;
        self.untimed = false;
    }

    pub(super) fn take(&mut self) -> Option<Lease> {
        let lease = self.lease.take();
        self.forget();
        lease
    }
}

impl TransactionState {
    /// Drops the connection; an open transaction is lost with it.
    fn lose(&mut self, why: Error) {
        self.lease = None;
        if !self.levels.is_empty() {
            self.lost = Some(why);
        }
    }
}

/// Something under way on the lease. Unless it lands, the connection goes down with it.
pub(crate) struct InFlight<'w> {
    pub(crate) work: &'w mut TransactionState,
    pub(crate) landed: bool,
}

impl InFlight<'_> {
    /// It ended, and left the connection as the transaction's state says, or as told.
    pub(crate) fn land(&mut self, condition: Option<ConnectionState>) {
        self.landed = true;
        let open = if self.work.levels.is_empty() {
            ConnectionState::Clean
        } else {
            ConnectionState::Open
        };
        if let Some(lease) = self.work.lease.as_mut() {
            lease.finish(condition.unwrap_or(open));
        }
        if matches!(condition, Some(ConnectionState::Dead | ConnectionState::Busy)) {
            self.work.lose(Error::ConnectionLost);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.landed {
            self.work.lose(Error::DeadlineExceeded);
        }
    }
}
