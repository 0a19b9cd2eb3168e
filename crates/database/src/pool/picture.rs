//! The pool as others see it.

use std::sync::Arc;
use std::time::Instant;

use super::Pool;
use super::state::State;
use crate::ledger::SlotId;
use crate::status::{Holder, Status};
use crate::tag::Tag;

impl Pool {
    pub(crate) fn status(&self) -> Status {
        self.describe(&self.lock())
    }

    pub(crate) fn holders(&self) -> Vec<Holder> {
        who(&self.lock())
    }

    /// Both of one moment.
    pub(crate) fn picture(&self) -> (Status, Vec<Holder>) {
        let state = self.lock();
        (self.describe(&state), who(&state))
    }

    fn describe(&self, state: &State) -> Status {
        let now = self.now();
        let (waiting, waiting_background) = state.ledger.waiting();
        let eldest = state
            .waiters
            .values()
            .map(|waiting| waiting.since.elapsed())
            .max();
        Status {
            strategy: self.settings.strategy,
            pooler: self.settings.pooler_mode(),
            limit: self.settings.limit,
            reserve: self.settings.reserve,
            instances: state.instances,
            share: state.ledger.share(),
            pool_size: self.settings.pool_size,
            max_overflow: self.settings.max_overflow,
            slots: state.ledger.occupation(),
            waiting,
            waiting_background,
            eldest_wait: eldest.unwrap_or_default(),
            breaker: state.ledger.breaker().denies(now),
            trouble: state.trouble,
            refusals_in_a_row: state.ledger.breaker().refusals(),
            last_success: state.last_success.map(|success| now.saturating_sub(success)),
            draining: state.draining,
            totals: state.totals,
            waits: state.waits,
            uses: state.uses,
            opens: state.opens,
            last_idle: state.last_idle.clone(),
        }
    }
}

/// Everybody who holds a connection, by slot.
fn who(state: &State) -> Vec<Holder> {
    let held = state.holders.iter();
    let mut holders: Vec<_> = held.map(|(slot, held)| holder(*slot, held)).collect();
    holders.sort_by_key(|holder| holder.slot);
    holders
}

fn holder(slot: SlotId, (tag, since, pid): &(Arc<Tag>, Instant, Option<i32>)) -> Holder {
    let doing = tag.doing();
    Holder {
        slot: slot.0,
        label: tag.label.clone(),
        request_id: tag.request_id.clone(),
        held: since.elapsed(),
        state: doing.state,
        for_time: doing.since.elapsed(),
        statement: doing.statement.map(|statement| statement.to_string()),
        statements: doing.usage.statements,
        pid: *pid,
    }
}
