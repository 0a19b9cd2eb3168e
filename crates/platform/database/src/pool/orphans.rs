//! Orphaned backends: when a client disconnects in the middle of a statement, the slot stays occupied until its
//! backend has ended.
//!
//! A dropped connection closes its socket at once, but the server goes on with the statement until it notices. Were the
//! slot free meanwhile, callers that leave would multiply backends beyond the share. So the slot stays occupied, and the
//! backend is ended in one of two ways:
//!
//! - Over another connection of the pool, the next that is idle, released or opened, with `pg_terminate_backend`. The
//!   protocol's own cancel request needs a secret that sqlx keeps to itself.
//! - By the server, which looks for hung-up clients every [`HANG_UP_CHECK`](crate::connect::set_up::HANG_UP_CHECK).
//!   Where it cannot, `statement_timeout` ends the statement.
//!
//! The slot is free when the first of them has happened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connect::CloseGuard;
use super::lease::{CHECK_LIMIT, Lease, PooledConnection};
use super::state::State;
use super::{Pool, spawn};
use crate::connect::set_up::Backend;
use crate::connect::set_up::HANG_UP_CHECK;
use crate::settings::PoolerMode;
use berth_pool::{ReleaseOutcome, SlotId};

/// Time for a hang-up to reach the server and for its backend to end once it has noticed.
const NOTICE: Duration = Duration::from_millis(350);
/// Where neither the server nor a timeout ends the statement, its slot is free after this time.
const LONGEST_STATEMENT: Duration = Duration::from_secs(60);
/// The longest that `pg_terminate_backend` waits for a backend to end, in milliseconds.
const TERMINATION_MS: u32 = 500;

/// A backend that may still run the statement of a client that has left.
#[derive(Debug)]
pub(super) struct Orphan {
    pid: i32,
    since: Instant,
    /// Whether another connection has tried to end it.
    tried: bool,
    gone: oneshot::Sender<()>,
}

impl Pool {
    /// Drops a connection in the middle of a statement, and frees its slot when its backend is gone.
    pub(super) fn orphan(self: &Arc<Self>, slot: SlotId, pooled: PooledConnection, leased: Instant) {
        // A transaction pooler's server process may serve another client by now.
        let backend = pooled.backend.filter(|_| self.mode().mode().keeps_sessions());
        // Without a word: closing would flush what is buffered, perhaps half a statement.
        drop(pooled);
        let Some(Backend { pid, hang_up_check }) = backend else {
            return self.lost(slot, ReleaseOutcome::Dropped, leased);
        };
        self.lost(slot, ReleaseOutcome::Closing, leased);
        let limit = match self.settings.statement_timeout {
            _ if hang_up_check => HANG_UP_CHECK,
            Duration::ZERO => LONGEST_STATEMENT,
            timeout => timeout,
        };
        let (gone, mut ended) = oneshot::channel();
        self.lock().orphans.push(Orphan {
            pid,
            since: Instant::now(),
            tried: false,
            gone,
        });
        let guard = CloseGuard {
            pool: self.clone(),
            slot,
        };
        let pool = self.clone();
        spawn(&self.runtime, async move {
            pool.end_orphans_over_idle();
            let unanswered = tokio::time::timeout(limit + NOTICE, &mut ended).await.is_err();
            if unanswered && pool.is_being_ended(pid) {
                let _ = tokio::time::timeout(CHECK_LIMIT, &mut ended).await;
            }
            drop(ended);
            pool.lock().orphans.retain(|orphan| !orphan.gone.is_closed());
            drop(guard);
        });
    }

    /// Whether another connection is about to end this backend, and will say whether it is gone.
    fn is_being_ended(&self, pid: i32) -> bool {
        let state = self.lock();
        !state.orphans.iter().any(|orphan| orphan.pid == pid)
    }

    fn end_orphans_over_idle(self: &Arc<Self>) {
        let mut state = self.lock();
        let now = self.now();
        let idle = state.scheduler.borrow_idle(now);
        let pooled = idle.and_then(|slot| Some((slot, state.connections.remove(&slot)?)));
        self.advance(state);
        if let Some((slot, pooled)) = pooled {
            self.end_orphans_over(slot, pooled);
        }
    }

    /// Ends orphans over a connection, which then becomes idle.
    pub(super) fn end_orphans_over(self: &Arc<Self>, slot: SlotId, pooled: PooledConnection) {
        let mut lease = Lease::new(self.clone(), slot, pooled);
        let mut orphans = self.lock().take_untried_orphans();
        let pool = self.clone();
        spawn(&self.runtime, async move {
            let ended = match termination(&orphans, pool.mode().mode()) {
                Some(sql) => lease.count(&sql).await == Some(0),
                None => true,
            };
            if ended {
                for orphan in orphans {
                    let _ = orphan.gone.send(());
                }
            } else {
                orphans.iter_mut().for_each(|orphan| orphan.tried = true);
                pool.lock().orphans.extend(orphans);
            }
        });
    }
}

impl State {
    /// Whether there is a backend that another connection has not tried to end.
    pub(super) fn has_untried_orphans(&self) -> bool {
        self.orphans.iter().any(|orphan| !orphan.tried)
    }

    fn take_untried_orphans(&mut self) -> Vec<Orphan> {
        self.orphans.extract_if(.., |orphan| !orphan.tried).collect()
    }
}

/// SQL that ends the backends and counts those that are still there; none where there is nothing to end.
///
/// Without a pooler a backend is ended whatever it does: also one that has finished its statement and is about to notice
/// that its client has left. A pooler may have given a backend to another client since, so only one whose present
/// statement began before its client left is ended. Both times are differences, so the clocks need not agree.
fn termination(orphans: &[Orphan], mode: PoolerMode) -> Option<String> {
    if orphans.is_empty() {
        return None;
    }
    let (began, state) = match mode {
        PoolerMode::Direct => ("backend_start", ""),
        _ => ("query_start", "state = 'active' AND "),
    };
    let each = orphans.iter().map(|orphan| {
        let age = orphan.since.elapsed().as_micros();
        format!(
            "(pid = {} AND {began} < clock_timestamp() - interval '{age} microseconds')",
            orphan.pid
        )
    });
    let each = each.collect::<Vec<_>>().join(" OR ");
    Some(format!(
        "SELECT count(*) FILTER (WHERE NOT pg_terminate_backend(pid, {TERMINATION_MS})) FROM pg_catalog.pg_stat_activity \
         WHERE {state}({each})"
    ))
}
