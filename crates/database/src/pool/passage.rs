//! Connections on their way in and on their way out, as tasks of the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Pool, spawn};
use crate::connector::{Connection, Opened};
use crate::events::Event;
use crate::lease::Berth;
use crate::ledger::{Failure, SlotId};
use crate::refusal::{Class, Reason, classify};
use crate::settings::Instances;
use crate::status::Server;

impl Pool {
    /// Closes a connection that the ledger knows to be closing, in a task of its own.
    pub(crate) fn close_berth(self: &Arc<Self>, slot: SlotId, berth: Berth, polite: bool) {
        let leaving = Leaving {
            pool: self.clone(),
            slot,
        };
        // SQLite's connection ends with its worker thread, which must be waited for.
        if !polite && matches!(berth.connection, Connection::Postgres(_)) {
            drop(berth);
            return drop(leaving);
        }
        let limit = self.settings.close_timeout;
        spawn(&self.runtime, async move {
            // Out of time, it is dropped, which closes it as well.
            let _ = tokio::time::timeout(limit, berth.close()).await;
            drop(leaving);
        });
    }

    fn arrived(self: &Arc<Self>, slot: SlotId, opened: Opened, took: Duration) {
        let mut state = self.lock();
        let now = self.now();
        state.openings.remove(&slot);
        state.totals.record(&Event::Opened {
            slot,
            pid: opened.pid,
            took,
        });
        state.opens.record(took);
        state.trouble = None;
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
        state.berths.insert(
            slot,
            Berth {
                connection: opened.connection,
                interrupt: opened.interrupt,
                relay: opened.relay,
                pid: opened.pid,
            },
        );
        state.ledger.opened(now, slot, lifetime);
        self.settle(state);
    }

    fn missed(self: &Arc<Self>, slot: SlotId, miss: &Miss) {
        let mut state = self.lock();
        state.openings.remove(&slot);
        let now = self.now();
        let failure = match miss {
            Miss::Abandoned => Failure::Abandoned,
            Miss::TimedOut { logged_in: true } => Failure::Refused,
            Miss::TimedOut { logged_in: false } => state.trouble_with(Class::Unreachable(Reason::NoAnswer)),
            Miss::Failed(error) => state.trouble_with(classify(error)),
        };
        match failure {
            Failure::Refused => state.totals.record(&Event::Refused {
                slot,
                answer: &miss.to_string(),
            }),
            Failure::Abandoned => {}
            _ => state.totals.record(&Event::Failed {
                slot,
                answer: &miss.to_string(),
            }),
        }
        state.ledger.failed(now, slot, failure);
        self.settle(state);
    }
}

/// An opening under way; dropped unfinished, it tells the ledger that it was abandoned.
#[derive(Debug)]
pub(super) struct Arriving {
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

impl Arriving {
    pub(super) async fn open(mut self, within: Duration, given_up: oneshot::Receiver<()>) {
        let begun = Instant::now();
        let pool = self.pool.clone();
        let outcome = {
            let logged_in = &mut self.logged_in;
            let slot = self.slot;
            let opening = pool.connector.open(|| {
                *logged_in = true;
                pool.lock().ledger.logged_in(slot);
            });
            tokio::select! {
                outcome = tokio::time::timeout(within, opening) => Some(outcome),
                _ = given_up => None,
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

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.done {
            self.pool.missed(self.slot, &Miss::Abandoned);
        }
    }
}

/// A connection on its way out; when dropped, its slot is free.
pub(super) struct Leaving {
    pub(super) pool: Arc<Pool>,
    pub(super) slot: SlotId,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let now = self.pool.now();
        state.ledger.gone(now, self.slot);
        self.pool.settle(state);
    }
}
