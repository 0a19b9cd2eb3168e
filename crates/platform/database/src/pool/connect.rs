//! Tasks of the pool that open and close connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Pool, spawn};
use crate::connect::connect_error::{ConnectError, Reason, answer, classify};
use crate::connect::connector::{Connection, Opened};
use crate::connect::pooler_mode;
use crate::pool::lease::PooledConnection;
use crate::pool::status::Server;
use crate::settings::{Instances, PoolerMode};
use crate::stats::counters::Event;
use berth_pool::{CloseMode, ConnectErrorKind, SlotId};

impl Pool {
    /// Closes a connection whose slot is in the state `Closing`, in a task.
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
        // A connection of SQLite ends with its worker thread, which must be waited for.
        if mode == CloseMode::Abrupt && matches!(pooled.connection, Connection::Postgres(..)) {
            drop(pooled);
            return drop(leaving);
        }
        let limit = self.settings.close_timeout;
        spawn(&self.runtime, async move {
            // After the timeout it is dropped, which closes it as well.
            let _ = tokio::time::timeout(limit, pooled.close()).await;
            drop(leaving);
        });
    }

    fn connected(self: &Arc<Self>, slot: SlotId, opened: Opened, took: Duration) {
        let mut state = self.lock();
        let now = self.now();
        state.connecting.remove(&slot);
        state.counters.record(&Event::Opened {
            slot,
            pid: opened.server.backend.map(|backend| backend.pid),
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
            version: opened.server.version,
        });
        if self.settings.instances == Instances::Auto {
            match opened.mode {
                // Instances cannot count each other here: each uses the whole share.
                PoolerMode::Transaction => self.set_share(&mut state, 0, now),
                _ => opened
                    .server
                    .others
                    .into_iter()
                    .for_each(|others| self.set_share(&mut state, others, now)),
            }
        }
        let lifetime = match opened.mode {
            // The next connection looks for the mode again.
            PoolerMode::Unknown => pooler_mode::RETRY,
            _ => self.settings.pool_recycle.mul_f64(1.0 - fastrand::f64() / 10.0),
        };
        state.connections.insert(
            slot,
            PooledConnection {
                connection: opened.connection,
                hooks: opened.hooks,
                relay: opened.relay,
                backend: opened.server.backend,
                connected: Instant::now(),
                leases: 0,
            },
        );
        state.scheduler.connected(now, slot, lifetime);
        self.want_listener(&mut state);
        self.advance(state);
    }

    fn connect_failed(self: &Arc<Self>, slot: SlotId, miss: &AttemptError) {
        let mut state = self.lock();
        state.connecting.remove(&slot);
        let now = self.now();
        let failure = match miss {
            AttemptError::Cancelled => ConnectErrorKind::Cancelled,
            AttemptError::TimedOut { logged_in: true } => ConnectErrorKind::Full,
            AttemptError::TimedOut { logged_in: false } => {
                state.note_failure(ConnectError::unreachable(Reason::NoAnswer))
            }
            AttemptError::Failed(error) => state.note_failure(classify(error)),
        };
        if failure != ConnectErrorKind::Cancelled {
            let answer = miss.to_string();
            state.counters.record(&match failure {
                ConnectErrorKind::Full => Event::Refused {
                    slot,
                    answer: &answer,
                },
                _ => Event::Failed {
                    slot,
                    answer: &answer,
                },
            });
            state.last_failed_attempt = Some((answer, now));
        }
        state.scheduler.connect_failed(now, slot, failure);
        self.advance(state);
    }
}

/// A connection attempt under way; dropped unfinished, it is reported to the scheduler as cancelled.
#[derive(Debug)]
pub(super) struct ConnectTask {
    pub(super) pool: Arc<Pool>,
    pub(super) slot: SlotId,
    pub(super) logged_in: bool,
    pub(super) done: bool,
}

/// Why a connection attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error("cancelled")]
    Cancelled,
    #[error("no answer in time")]
    TimedOut { logged_in: bool },
    #[error("{}", answer(.0))]
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
            Some(Ok(Ok(opened))) => pool.connected(self.slot, opened, begun.elapsed()),
            Some(Ok(Err(error))) => pool.connect_failed(self.slot, &AttemptError::Failed(error)),
            Some(Err(_)) => pool.connect_failed(
                self.slot,
                &AttemptError::TimedOut {
                    logged_in: self.logged_in,
                },
            ),
            None => pool.connect_failed(self.slot, &AttemptError::Cancelled),
        }
    }
}

impl Drop for ConnectTask {
    fn drop(&mut self) {
        if !self.done {
            self.pool.connect_failed(self.slot, &AttemptError::Cancelled);
        }
    }
}

/// A connection that is being closed; dropped, it frees the slot.
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
