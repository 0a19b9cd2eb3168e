//! What happens by the clock: the scheduler's due times, and looking around for other instances.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::state::State;
use super::{Pool, spawn};
use crate::connect::instances::{LOOK_EVERY, counts_instances};
use crate::pool::lease::{Lease, PooledConnection};
use berth_pool::{SlotId, Timestamp};

/// Wakes the scheduler when something is due, as long as the pool lives.
pub(super) async fn drive(pool: Weak<Pool>) {
    loop {
        let Some(strong) = pool.upgrade() else { return };
        strong.handle_timeout();
        let due = strong.next_tick();
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
    pub(super) fn look_is_due(&self, state: &State, now: Timestamp) -> bool {
        counts_instances(&self.settings)
            && !state.draining
            && state.looked.is_none_or(|looked| looked + LOOK_EVERY <= now)
    }

    /// Counts the other instances over a connection that has just come back, then gives it back.
    pub(super) fn look(self: &Arc<Self>, slot: SlotId, pooled: PooledConnection) {
        let Some(instance_name) = self.instance_name.clone() else {
            return;
        };
        let mut lease = Lease::new(self.clone(), slot, pooled);
        let pool = self.clone();
        spawn(&self.runtime, async move {
            if let Some(others) = lease.count(&instance_name.count_sql()).await {
                let mut state = pool.lock();
                let now = pool.now();
                pool.divide(&mut state, others, now);
                pool.advance(state);
            }
        });
    }

    pub(super) fn divide(&self, state: &mut State, others: u32, now: Timestamp) {
        let instances = others.saturating_add(1);
        if instances != state.instances {
            tracing::debug!(
                db.instances = instances,
                db.share = self.share_budget.share(instances),
                "share changed"
            );
        }
        state.instances = instances;
        state.looked = Some(now);
        state.scheduler.set_rotating(self.share_budget.crowded(instances));
        state.scheduler.set_share(now, self.share_budget.share(instances));
    }

    /// Ticks the scheduler, and looks around over an idle connection where nobody else does.
    pub(super) fn handle_timeout(self: &Arc<Self>) {
        let mut state = self.lock();
        let now = self.now();
        // The driver asks for its next time after this; it must not be woken by its own tick.
        state.armed = Some(Timestamp::ZERO);
        state.scheduler.handle_timeout(now);
        let borrowed = if self.look_is_due(&state, now) {
            state.scheduler.borrow_idle(now)
        } else {
            None
        };
        let pooled = borrowed.and_then(|slot| Some((slot, state.connections.remove(&slot)?)));
        if pooled.is_some() {
            state.looked = Some(now);
        }
        self.advance(state);
        if let Some((slot, pooled)) = pooled {
            self.look(slot, pooled);
        }
    }

    pub(super) fn next_tick(&self) -> Option<Instant> {
        let mut state = self.lock();
        let now = self.now();
        let wake = state.scheduler.next_timeout(now);
        state.armed = wake;
        // A look that is overdue waits for the next connection to come back, not for the clock.
        let look = state.looked.map(|looked| looked + LOOK_EVERY);
        let look = look.filter(|look| counts_instances(&self.settings) && *look > now);
        wake.into_iter()
            .chain(look)
            .min()
            .map(|moment| self.began + moment)
    }
}
