//! Maintenance: calls the scheduler at its timeouts, and counts other instances.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::state::State;
use super::{Pool, spawn};
use crate::connect::instances::{COUNT_INTERVAL, counts_instances};
use crate::pool::lease::{Lease, PooledConnection};
use berth_pool::{SlotId, Timestamp};

/// Wakes the scheduler when something is due, as long as the pool lives.
pub(super) async fn drive(pool: Weak<Pool>) {
    loop {
        let Some(strong) = pool.upgrade() else { return };
        strong.handle_timeout();
        let due = strong.next_timeout();
        let far = Instant::now() + Duration::from_secs(1);
        // Waking once a second lets the task end soon after the pool does.
        let until = due.map_or(far, |due| due.min(far));
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            () = strong.wake.notified() => {}
        }
    }
}

impl Pool {
    pub(super) fn count_is_due(&self, state: &State, now: Timestamp) -> bool {
        counts_instances(&self.settings, self.mode().mode())
            && !state.draining
            && state
                .counted_at
                .is_none_or(|counted_at| counted_at + COUNT_INTERVAL <= now)
    }

    /// Counts the other instances over a connection that has just been released, then releases it again.
    pub(super) fn count_instances(self: &Arc<Self>, slot: SlotId, pooled: PooledConnection) {
        let Some(instance_name) = self.instance_name.clone() else {
            return;
        };
        let mut lease = Lease::new(self.clone(), slot, pooled);
        let pool = self.clone();
        spawn(&self.runtime, async move {
            if let Some(others) = lease.count(&instance_name.count_sql()).await {
                let mut state = pool.lock();
                let now = pool.now();
                pool.set_share(&mut state, others, now);
                pool.advance(state);
            }
        });
    }

    pub(super) fn set_share(&self, state: &mut State, others: u32, now: Timestamp) {
        let instances = others.saturating_add(1);
        if instances != state.instances {
            tracing::debug!(
                db.instances = instances,
                db.share = self.share_budget.share(instances),
                "share changed"
            );
        }
        state.instances = instances;
        state.counted_at = Some(now);
        state
            .scheduler
            .set_rotation(self.share_budget.rotation(instances));
        state.scheduler.set_share(now, self.share_budget.share(instances));
    }

    /// Calls the scheduler, and counts instances over an idle connection where no release does so.
    pub(super) fn handle_timeout(self: &Arc<Self>) {
        let mut state = self.lock();
        let now = self.now();
        // The driver asks for its next timeout after this and must not be woken by its own call.
        state.next_wake = Some(Timestamp::ZERO);
        state.scheduler.handle_timeout(now);
        let borrowed = if self.count_is_due(&state, now) {
            state.scheduler.borrow_idle(now)
        } else {
            None
        };
        let pooled = borrowed.and_then(|slot| Some((slot, state.connections.remove(&slot)?)));
        if pooled.is_some() {
            state.counted_at = Some(now);
        }
        self.advance(state);
        if let Some((slot, pooled)) = pooled {
            self.count_instances(slot, pooled);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let mut state = self.lock();
        let now = self.now();
        let wake = state.scheduler.next_timeout(now);
        state.next_wake = wake;
        // A count that is overdue waits for the next release, not for the clock.
        let look = state.counted_at.map(|counted_at| counted_at + COUNT_INTERVAL);
        let look = look.filter(|look| counts_instances(&self.settings, self.mode().mode()) && *look > now);
        wake.into_iter()
            .chain(look)
            .min()
            .map(|moment| self.began + moment)
    }
}
