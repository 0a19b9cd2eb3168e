//! Carries the ledger's decisions out in the independent books, and asks of each whether it may be.

use std::time::Duration;

use database::ledger::{Closing, Denial, Effect, Purpose, SlotId, Ticket};

use crate::world::{Answer, Found, Held, World, rule};

impl World {
    /// Carries one decision out.
    pub(crate) fn take(&mut self, effect: Effect) -> Found {
        match effect {
            Effect::Grant { ticket, slot, check } => self.take_grant(ticket, slot, check),
            Effect::Deny { ticket, denial } => self.take_denial(ticket, denial),
            Effect::Open { slot, within } => self.take_opening(slot, within),
            Effect::Abandon { slot } => match self.held.get_mut(&slot) {
                Some(Held::Opening { given_up, .. }) if !*given_up => {
                    *given_up = true;
                    Ok(())
                }
                held => Err(format!("gives up {held:?}")),
            },
            Effect::Close { slot, why, .. } => self.take_close(slot, why),
        }
    }

    fn take_opening(&mut self, slot: SlotId, within: Duration) -> Found {
        rule(!self.draining, "a closing pool opens nothing")?;
        rule(slot.0 >= self.next_slot, "each opening has a name of its own")?;
        rule(
            !within.is_zero() && within <= self.terms.connect_timeout,
            "an opening has its limit",
        )?;
        rule(
            self.shut_until <= self.now,
            "an attempt while attempts are spaced",
        )?;
        let alone = self.count().opening == 0 || self.hangs();
        rule(
            !self.refused || alone,
            "a second attempt beside the one after a refusal",
        )?;
        self.next_slot = slot.0 + 1;
        let opening = Held::Opening {
            ends: self.now + within,
            since: self.now,
            logged_in: false,
            given_up: false,
        };
        self.held.insert(slot, opening);
        rule(
            self.ledger.occupation().total() <= self.share,
            "an opening above the share",
        )?;
        rule(
            self.held.len() <= self.share,
            "an opening above the share, by the other books",
        )
    }

    fn take_grant(&mut self, ticket: Ticket, slot: SlotId, check: bool) -> Found {
        let Some((purpose, _)) = self.waiting.get(&ticket).copied() else {
            return Err("answers who does not wait".to_owned());
        };
        rule(self.may(purpose), "this caller may not have a connection now")?;
        rule(
            self.first_of(self.line(purpose)) == Some(ticket),
            "out of order within a line",
        )?;
        self.keep_lanes(ticket, purpose)?;
        self.waiting.remove(&ticket);
        self.answers.insert(ticket, Answer::Granted);
        let unused = self.lend_slot(slot, purpose)?;
        rule(
            check == (unused > self.terms.check_after),
            "checked if and only if idle for long",
        )
    }

    fn take_denial(&mut self, ticket: Ticket, denial: Denial) -> Found {
        rule(
            self.waiting.remove(&ticket).is_some(),
            "answers who does not wait",
        )?;
        self.answers.insert(ticket, Answer::Denied(denial));
        match denial {
            Denial::Draining => rule(self.draining, "only a closing pool says so"),
            Denial::Full => Err("who waits is not turned away for the crowd".to_owned()),
            Denial::Broken(verdict) => self.may_deny(verdict),
        }
    }

    fn take_close(&mut self, slot: SlotId, why: Closing) -> Found {
        let count = self.count();
        let Some(Held::Idle { since, expires }) = self.held.insert(slot, Held::Closing) else {
            return Err("closes what is not idle".to_owned());
        };
        let unused = self.now - since;
        let over = count.idle + count.leased > self.kept();
        let reason = match why {
            Closing::Expired => expires <= self.now,
            Closing::Idle => unused >= self.terms.idle || (over && unused >= self.terms.linger),
            Closing::OverShare => count.opening + count.idle + count.leased > self.share,
            Closing::Turn => self.terms.fresh || self.yielding,
            Closing::Suspect => since < self.now,
            Closing::Draining => self.draining,
        };
        rule(reason, "no reason to close")
    }

    pub(crate) fn lend_slot(&mut self, slot: SlotId, purpose: Purpose) -> Found<Duration> {
        let Some(Held::Idle { since, expires }) = self.held.get(&slot).copied() else {
            return Err(format!("{slot:?} is not idle but {:?}", self.held.get(&slot)));
        };
        self.held.insert(slot, Held::Leased { expires, purpose });
        Ok(self.now - since)
    }
}
