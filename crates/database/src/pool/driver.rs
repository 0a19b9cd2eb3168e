//! What happens by the clock: the ledger's due times, and looking around for other instances.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::state::State;
use super::{Pool, spawn};
use crate::fleet::{LOOK_EVERY, counts_instances};
use crate::lease::{Berth, Lease};
use crate::ledger::{Moment, SlotId};

/// Wakes the ledger when something is due, as long as the pool lives.
pub(super) async fn drive(pool: Weak<Pool>) {
    loop {
        let Some(strong) = pool.upgrade() else { return };
        strong.tick();
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
    pub(super) fn look_is_due(&self, state: &State, now: Moment) -> bool {
        counts_instances(&self.settings)
            && !state.draining
            && state.looked.is_none_or(|looked| looked + LOOK_EVERY <= now)
    }

    /// Counts the other instances over a connection that has just come back, then gives it back.
    pub(super) fn look(self: &Arc<Self>, slot: SlotId, berth: Berth) {
        let Some(presence) = self.presence.clone() else {
            return;
        };
        let mut lease = Lease::new(self.clone(), slot, berth);
        let pool = self.clone();
        spawn(&self.runtime, async move {
            if let Some(others) = lease.count(&presence.count_sql()).await {
                let mut state = pool.lock();
                let now = pool.now();
                pool.divide(&mut state, others, now);
                pool.settle(state);
            }
        });
    }

    pub(super) fn divide(&self, state: &mut State, others: u32, now: Moment) {
        let instances = others.saturating_add(1);
        if instances != state.instances {
            tracing::debug!(
                db.instances = instances,
                db.share = self.division.share(instances),
                "share changed"
            );
        }
        state.instances = instances;
        state.looked = Some(now);
        state.ledger.set_yielding(self.division.crowded(instances));
        state.ledger.set_share(now, self.division.share(instances));
    }

    /// Ticks the ledger, and looks around over an idle connection where nobody else does.
    pub(super) fn tick(self: &Arc<Self>) {
        let mut state = self.lock();
        let now = self.now();
        // The driver asks for its next time after this; it must not be woken by its own tick.
        state.armed = Some(Moment::ZERO);
        state.ledger.tick(now);
        let borrowed = if self.look_is_due(&state, now) {
            state.ledger.borrow_idle(now)
        } else {
            None
        };
        let berth = borrowed.and_then(|slot| Some((slot, state.berths.remove(&slot)?)));
        if berth.is_some() {
            state.looked = Some(now);
        }
        self.settle(state);
        if let Some((slot, berth)) = berth {
            self.look(slot, berth);
        }
    }

    pub(super) fn next_tick(&self) -> Option<Instant> {
        let mut state = self.lock();
        let now = self.now();
        let wake = state.ledger.wake_at(now);
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
