//! Applies the scheduler's actions to the independent model, and checks that each was allowed.

use std::time::Duration;

use berth_pool::{AcquireError, Action, CloseReason, Lane, Reuse, Rotation, SlotId, Validation, WaiterId};

use crate::simulation::{Answer, Found, Held, World, rule};

impl World {
    /// Applies one action.
    pub(crate) fn take(&mut self, action: Action) -> Found {
        match action {
            Action::Grant {
                waiter_id,
                slot,
                validation,
            } => self.take_grant(waiter_id, slot, validation),
            Action::Deny { waiter_id, error } => self.take_denial(waiter_id, error),
            Action::Connect { slot, within } => self.take_connect(slot, within),
            Action::CancelConnect { slot } => match self.held.get_mut(&slot) {
                Some(Held::Connecting { cancelled, .. }) if !*cancelled => {
                    *cancelled = true;
                    Ok(())
                }
                held => Err(format!("cancels {held:?}")),
            },
            Action::Close { slot, why, .. } => self.take_close(slot, why),
            Action::OpenListener { slot } => self.take_open_listener(slot),
            Action::CloseListener { slot } => match self.held.insert(slot, Held::ListenerClosing) {
                Some(Held::Listening) => Ok(()),
                held => Err(format!("closes {held:?} as the listener")),
            },
        }
    }

    fn take_connect(&mut self, slot: SlotId, within: Duration) -> Found {
        rule(!self.draining, "a closing pool opens nothing")?;
        rule(slot.0 >= self.next_slot, "each attempt has a name of its own")?;
        rule(
            !within.is_zero() && within <= self.config.connect_timeout,
            "a connection attempt has its limit",
        )?;
        rule(
            self.shut_until <= self.now,
            "an attempt while attempts are spaced",
        )?;
        let alone = self.count().connecting == 0 || self.hangs();
        rule(
            !self.refused || alone,
            "a second attempt beside the one after a refusal",
        )?;
        self.next_slot = slot.0 + 1;
        let attempt = Held::Connecting {
            ends: self.now + within,
            since: self.now,
            logged_in: false,
            cancelled: false,
        };
        self.held.insert(slot, attempt);
        rule(
            self.scheduler.slot_counts().total() <= self.share,
            "a connection attempt above the share",
        )?;
        rule(
            self.held.len() <= self.share,
            "a connection attempt above the share, by the other slots",
        )
    }

    fn take_open_listener(&mut self, slot: SlotId) -> Found {
        rule(self.listens, "a listener that is not wanted")?;
        rule(self.waiting.is_empty(), "a listener while a caller waits")?;
        rule(slot.0 >= self.next_slot, "each attempt has a name of its own")?;
        self.next_slot = slot.0 + 1;
        self.held.insert(slot, Held::Listening);
        rule(
            self.scheduler.slot_counts().total() <= self.share && self.held.len() <= self.share,
            "a listener above the share",
        )
    }

    fn take_grant(&mut self, waiter_id: WaiterId, slot: SlotId, validation: Validation) -> Found {
        let Some((lane, _)) = self.waiting.get(&waiter_id).copied() else {
            return Err("answers who does not wait".to_owned());
        };
        rule(self.may(lane), "this caller may not have a connection now")?;
        rule(
            self.first_of(self.line(lane)) == Some(waiter_id),
            "out of order within a line",
        )?;
        self.keep_lanes(waiter_id, lane)?;
        self.waiting.remove(&waiter_id);
        self.answers.insert(waiter_id, Answer::Grant);
        let unused = self.lend_slot(slot, lane)?;
        rule(
            (validation == Validation::Required) == (unused > self.config.validate_after_idle),
            "validated if and only if idle for long",
        )
    }

    fn take_denial(&mut self, waiter_id: WaiterId, error: AcquireError) -> Found {
        rule(
            self.waiting.remove(&waiter_id).is_some(),
            "answers who does not wait",
        )?;
        self.answers.insert(waiter_id, Answer::Denied(error));
        match error {
            AcquireError::Draining => rule(self.draining, "only a closing pool says so"),
            AcquireError::Full => Err("who waits is not denied for the crowd".to_owned()),
            AcquireError::CircuitOpen(outage) => self.may_deny(outage),
        }
    }

    fn take_close(&mut self, slot: SlotId, why: CloseReason) -> Found {
        let count = self.count();
        let Some(Held::Idle { since, expires }) = self.held.insert(slot, Held::Closing) else {
            return Err("closes what is not idle".to_owned());
        };
        let unused = self.now - since;
        let over = count.idle + count.leased > self.kept();
        let reason = match why {
            CloseReason::Expired => expires <= self.now,
            CloseReason::Idle => {
                unused >= self.config.idle_timeout || (over && unused >= self.config.overflow_linger)
            }
            CloseReason::OverShare => count.connecting + count.idle + count.leased > self.share,
            CloseReason::Rotated => self.config.reuse == Reuse::Fresh || self.rotation == Rotation::On,
            CloseReason::Suspect => since < self.now,
            CloseReason::Listener => self.listens && count.idle > 1 && self.waiting.is_empty(),
            CloseReason::Draining => self.draining,
        };
        rule(reason, "no reason to close")
    }

    pub(crate) fn lend_slot(&mut self, slot: SlotId, lane: Lane) -> Found<Duration> {
        let Some(Held::Idle { since, expires }) = self.held.get(&slot).copied() else {
            return Err(format!("{slot:?} is not idle but {:?}", self.held.get(&slot)));
        };
        self.held.insert(slot, Held::Leased { expires, lane });
        Ok(self.now - since)
    }
}
