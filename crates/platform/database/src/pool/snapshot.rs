//! Snapshot: the state of the pool and the sessions that hold connections.

use std::sync::Arc;
use std::time::Instant;

use super::Pool;
use super::state::State;
use crate::pool::status::{FailedAttempt, Holder, Status};
use crate::stats::activity::SessionActivity;
use berth_pool::SlotId;

impl Pool {
    pub(crate) fn status(&self) -> Status {
        self.describe(&self.lock())
    }

    pub(crate) fn holders(&self) -> Vec<Holder> {
        holders(&self.lock())
    }

    /// Returns both, of the same moment.
    pub(crate) fn snapshot(&self) -> (Status, Vec<Holder>) {
        let state = self.lock();
        (self.describe(&state), holders(&state))
    }

    fn describe(&self, state: &State) -> Status {
        let now = self.now();
        let (waiting, waiting_background) = state.scheduler.waiting();
        let oldest = state
            .waiters
            .values()
            .map(|waiting| waiting.since.elapsed())
            .max();
        let share = state.scheduler.share();
        let (limit, reserve) = match self.settings.url.is_postgres() {
            true => (self.settings.limit, self.settings.reserve),
            // A file has no limit, and no other clients: only the share bounds its connections.
            false => (u32::try_from(share).unwrap_or(u32::MAX), 0),
        };
        Status {
            strategy: self.settings.strategy,
            pooler: self.mode().mode(),
            limit,
            reserve,
            instances: state.instances,
            share,
            pool_size: self.settings.pool_size,
            max_overflow: self.settings.max_overflow,
            slots: state.scheduler.slot_counts(),
            waiting,
            waiting_background,
            oldest_wait: oldest.unwrap_or_default(),
            breaker: state.scheduler.breaker().denies(now),
            last_connect_error: state.last_connect_error,
            last_failed_attempt: state
                .last_failed_attempt
                .as_ref()
                .map(|(answer, at)| FailedAttempt {
                    answer: answer.clone(),
                    ago: now.saturating_sub(*at),
                }),
            consecutive_refusals: state.scheduler.breaker().refusals(),
            last_success: state.last_success.map(|success| now.saturating_sub(success)),
            draining: state.draining,
            counters: state.counters,
            waits: state.waits,
            uses: state.uses,
            opens: state.opens,
            last_idle: state.last_idle.clone(),
        }
    }
}

/// The sessions that hold a connection, by slot.
fn holders(state: &State) -> Vec<Holder> {
    let held = state.holders.iter();
    let mut holders: Vec<_> = held.map(|(slot, held)| holder(*slot, held)).collect();
    holders.sort_by_key(|holder| holder.slot);
    holders
}

fn holder(slot: SlotId, (session, since, pid): &(Arc<SessionActivity>, Instant, Option<i32>)) -> Holder {
    let activity = session.activity();
    Holder {
        slot: slot.0,
        label: session.label.clone(),
        request_id: session.request_id.clone(),
        held: since.elapsed(),
        state: activity.state,
        for_time: activity.since.elapsed(),
        statement: activity.statement.map(|statement| statement.to_string()),
        statements: activity.usage.statements,
        pid: *pid,
    }
}
