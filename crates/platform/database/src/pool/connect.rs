//! Connections on their way in and on their way out, as tasks of the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Pool, spawn};
use crate::connect::connect_error::{ConnectError, Reason, classify};
use crate::connect::connector::{Connection, Opened};
use crate::pool::lease::PooledConnection;
use crate::pool::status::Server;
use crate::settings::Instances;
use crate::stats::counters::Event;
use berth_pool::{CloseMode, ConnectErrorKind, SlotId};

impl Pool {
    /// Closes a connection that the scheduler knows to be closing, in a task of its own.
    pub(crate) fn close_connection(
        self: &Arc<Self>,
        slot: SlotId,
        pooled: PooledConnection,
        mode: CloseMode,
    ) {
        let leaving = CloseGuard {
            pool: self.clone(),
            slot,
        };
        // SQLite's connection ends with its worker thread, which must be waited for.
        if mode == CloseMode::Abrupt && matches!(pooled.connection, Connection::Postgres(_)) {
            drop(pooled);
            return drop(leaving);
        }
        let limit = self.settings.close_timeout;
        spawn(&self.runtime, async move {
            // Out of time, it is dropped, which closes it as well.
            let _ = tokio::time::timeout(limit, pooled.close()).await;
            drop(leaving);
        });
    }

    fn arrived(self: &Arc<Self>, slot: SlotId, opened: Opened, took: Duration) {
        let mut state = self.lock();
        let now = self.now();
        state.openings.remove(&slot);
        state.counters.record(&Event::Opened {
            slot,
            pid: opened.backend.map(|backend| backend.pid),
            took,
        });
        state.opens.record(took);
        state.last_connect_error = None;
        state.last_success = Some(now);
        let product = if self.settings.url.is_postgres() {
            "PostgreSQL"
        } else {
            "SQLite"
        };
        state.server = Some(Server {
            product,
            version: opened.version,
        });
        if let Some(others) = opened
            .others
            .filter(|_| self.settings.instances == Instances::Auto)
        {
            self.divide(&mut state, others, now);
        }
        let lifetime = self.settings.pool_recycle.mul_f64(1.0 - fastrand::f64() / 10.0);
        state.connections.insert(
            slot,
            PooledConnection {
                connection: opened.connection,
                interrupt: opened.interrupt,
                relay: opened.relay,
                backend: opened.backend,
                connected: Instant::now(),
                leases: 0,
            },
        );
        state.scheduler.connected(now, slot, lifetime);
        self.advance(state);
    }

    fn missed(self: &Arc<Self>, slot: SlotId, miss: &Miss) {
        let mut state = self.lock();
        state.openings.remove(&slot);
        let now = self.now();
        let failure = match miss {
            Miss::Abandoned => ConnectErrorKind::Cancelled,
            Miss::TimedOut { logged_in: true } => ConnectErrorKind::Full,
            Miss::TimedOut { logged_in: false } => {
                state.note_failure(ConnectError::unreachable(Reason::NoAnswer))
            }
            Miss::Failed(error) => state.note_failure(classify(error)),
        };
        match failure {
            ConnectErrorKind::Full => state.counters.record(&Event::Refused {
                slot,
                answer: &miss.to_string(),
            }),
            ConnectErrorKind::Cancelled => {}
            _ => state.counters.record(&Event::Failed {
                slot,
                answer: &miss.to_string(),
            }),
        }
        state.scheduler.connect_failed(now, slot, failure);
        self.advance(state);
    }
}

/// An opening under way; dropped unfinished, it tells the scheduler that it was abandoned.
#[derive(Debug)]
pub(super) struct ConnectTask {
    pub(super) pool: Arc<Pool>,
    pub(super) slot: SlotId,
    pub(super) logged_in: bool,
    pub(super) done: bool,
}

/// Why an opening brought no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Miss {
    #[error("given up")]
    Abandoned,
    #[error("no answer in time")]
    TimedOut { logged_in: bool },
    #[error("{0}")]
    Failed(sqlx::Error),
}

impl ConnectTask {
    pub(super) async fn open(mut self, within: Duration, cancelled: oneshot::Receiver<()>) {
        let begun = Instant::now();
        let pool = self.pool.clone();
        let outcome = {
            let logged_in = &mut self.logged_in;
            let slot = self.slot;
            let opening = pool.connector.open(|| {
                *logged_in = true;
                pool.lock().scheduler.logged_in(slot);
            });
            tokio::select! {
                outcome = tokio::time::timeout(within, opening) => Some(outcome),
                _ = cancelled => None,
            }
        };
        self.done = true;
        match outcome {
            Some(Ok(Ok(opened))) => pool.arrived(self.slot, opened, begun.elapsed()),
            Some(Ok(Err(error))) => pool.missed(self.slot, &Miss::Failed(error)),
            Some(Err(_)) => pool.missed(
                self.slot,
                &Miss::TimedOut {
                    logged_in: self.logged_in,
                },
            ),
            None => pool.missed(self.slot, &Miss::Abandoned),
        }
    }
}

impl Drop for ConnectTask {
    fn drop(&mut self) {
        if !self.done {
            self.pool.missed(self.slot, &Miss::Abandoned);
        }
    }
}

/// A connection on its way out; when dropped, its slot is free.
pub(super) struct CloseGuard {
    pub(super) pool: Arc<Pool>,
    pub(super) slot: SlotId,
}

impl Drop for CloseGuard {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let now = self.pool.now();
        state.scheduler.closed(now, self.slot);
        self.pool.advance(state);
    }
}
