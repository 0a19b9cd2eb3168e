//! The rules, in the words of the independent books: order, lanes, bounds, and that nobody is stuck.

use std::time::Duration;

use database::ledger::{Denial, Failure, Purpose, Return, SlotId, Ticket};

use crate::world::{Answer, Event, Found, Held, World, rule};

/// Holds the ledger against the books.
pub(crate) fn agree(world: &World) -> Found {
    let (ours, theirs) = (world.count(), world.ledger.occupation());
    let mut without_rest = theirs;
    without_rest.resting = 0;
    rule(ours == without_rest, || {
        format!("books differ: {ours:?} here, {theirs:?} there")
    })?;
    let requests = world.waiting.values().filter(|(purpose, _)| !purpose.background);
    let requests = requests.count();
    let waiting = (requests, world.waiting.len() - requests);
    rule(
        world.ledger.waiting() == waiting,
        "the number of those who wait differs",
    )?;
    rule(world.waiting.len() <= world.terms.max_waiting, "too many wait")?;
    nothing_lies_about(world)?;
    somebody_is_on_the_way(world)
}

fn nothing_lies_about(world: &World) -> Found {
    let count = world.count();
    let idle = world.held.values().filter_map(|held| match held {
        Held::Idle { since, expires } => Some((world.now - *since, *expires)),
        _ => None,
    });
    for (unused, expires) in idle {
        rule(expires > world.now, "an expired connection lies idle")?;
        rule(unused < world.terms.idle, "an unused connection lies idle")?;
        let over = count.idle + count.leased > world.kept();
        rule(!over || unused < world.terms.linger, "overflow lies idle")?;
        rule(
            !world.draining && !world.yielding,
            "a connection lies idle that had to go",
        )?;
    }
    let fits = count.opening + count.idle + count.leased <= world.share;
    rule(fits || count.idle == 0, "an idle connection is above the share")?;
    let could = |(purpose, _): &(Purpose, _)| world.may(*purpose);
    rule(
        count.idle == 0 || !world.waiting.values().any(could),
        "somebody waits beside an idle connection",
    )
}

fn somebody_is_on_the_way(world: &World) -> Found {
    rule(
        !world.draining || world.waiting.is_empty(),
        "somebody waits for a pool that closes",
    )?;
    if world.waiting.is_empty() {
        return Ok(());
    }
    let denies = world.ledger.breaker().denies(world.now);
    rule(denies.is_none() || world.lends(), "somebody waits in vain")?;
    let wake = world.ledger.wake_at(world.now);
    let count = world.ledger.occupation();
    let busy = count.opening + count.leased + count.closing > 0;
    rule(
        busy || wake.is_some(),
        "somebody waits, and nothing will ever happen",
    )?;
    rule(
        wake.is_none_or(|wake| wake > world.now),
        "what is due now is done now",
    )
}

impl World {
    /// Whether a caller with this purpose may have an idle connection now.
    pub(crate) fn may(&self, purpose: Purpose) -> bool {
        let leased = |is: fn(&Purpose) -> bool| {
            self.held
                .values()
                .filter(|held| matches!(held, Held::Leased { purpose, .. } if is(purpose)))
                .count()
        };
        let room = (self.share - 1).max(1);
        let background = !purpose.background || leased(|purpose| purpose.background) < room;
        let writer = self.terms.single_writer && purpose.writes;
        background && !(writer && leased(|purpose| purpose.writes) > 0)
    }

    /// Callers of a line are served in order; writers have one of their own where only one may write.
    pub(crate) fn line(&self, purpose: Purpose) -> (bool, bool) {
        (purpose.background, purpose.writes && self.terms.single_writer)
    }

    /// Who came first in a line.
    pub(crate) fn first_of(&self, line: (bool, bool)) -> Option<Ticket> {
        let mut those = self.waiting.iter();
        let first = those.find(|(_, (purpose, _))| self.line(*purpose) == line);
        first.map(|(ticket, _)| *ticket)
    }

    /// Background work goes behind requests, but for one turn when it has waited for long.
    pub(crate) fn keep_lanes(&mut self, ticket: Ticket, purpose: Purpose) -> Found {
        let first = |background: bool| {
            let mut those = self.waiting.iter();
            those
                .find(|(_, (purpose, _))| purpose.background == background && self.may(*purpose))
                .map(|(ticket, (_, since))| (*ticket, *since))
        };
        let eldest = first(purpose.background).map(|(eldest, _)| eldest);
        rule(eldest == Some(ticket), "out of order within a lane")?;
        let patient = |(_, since)| since + self.terms.patience <= self.now;
        let overdue = first(true).is_some_and(patient) && self.next_turn <= self.now;
        if purpose.background {
            rule(
                overdue || first(false).is_none(),
                "background work goes before a request",
            )?;
        } else {
            rule(!overdue, "background work misses its turn")?;
        }
        if overdue {
            self.next_turn = self.now + self.terms.patience;
        }
        Ok(())
    }

    /// What is opening now will hang until its limit.
    pub(crate) fn hang_openings(&mut self) {
        self.hanging = self.slots(|held| matches!(held, Held::Opening { .. })).collect();
    }

    /// Lets the world be well until nobody waits: leases come back, closes end, and what opens opens,
    /// but for what hangs already.
    pub(crate) fn get_well(&mut self) -> Found {
        for _ in 0..10_000 {
            match self.healthy_event() {
                Some(event) => self.apply(event)?,
                None if self.waiting.is_empty() => return Ok(()),
                None => self.pass_to_next("somebody waits in a healthy world")?,
            }
        }
        Err("a healthy world does not come to rest".to_owned())
    }

    /// A newcomer gets a connection in the time after the way to the server is free.
    pub(crate) fn newcomer_is_served(&mut self, within: Duration) -> Found {
        let deadline = self.now + within;
        while self.now < deadline {
            let before = self.answers.len();
            self.apply(Event::Request(Purpose::default()))?;
            self.get_well()?;
            let served =
                self.answers.len() > before && self.answers.values().next_back() == Some(&Answer::Granted);
            if served {
                return Ok(());
            }
            self.apply(Event::Pass(Duration::from_millis(100)))?;
        }
        Err(format!("nobody is served for {within:?} in a healthy world"))
    }

    /// With everything given back and nobody asking, the books empty themselves.
    pub(crate) fn whole_again(&mut self) -> Found {
        for _ in 0..10_000 {
            match self.healthy_event() {
                Some(event) => self.apply(event)?,
                None if self.ledger.occupation().total() == 0 => {
                    return rule(self.ledger.is_empty(), "empty books say that they are");
                }
                None => self.pass_to_next("a slot is occupied for ever")?,
            }
        }
        Err("the books never empty themselves".to_owned())
    }

    /// Closing the pool leaves nothing behind, and needs no more time than closes and leases take.
    pub(crate) fn drains(&mut self) -> Found {
        self.apply(Event::Drain)?;
        while let Some(event) = self.healthy_event() {
            self.apply(event)?;
        }
        rule(self.ledger.is_empty(), "a closed pool holds something")?;
        let again = self.ledger.request(self.now, Purpose::default());
        rule(again == Err(Denial::Draining), "a closed pool takes nobody")
    }

    fn pass_to_next(&mut self, otherwise: &str) -> Found {
        let due = self.next_due().ok_or_else(|| otherwise.to_owned())?;
        self.apply(Event::Pass(due.saturating_sub(self.now)))
    }

    fn healthy_event(&self) -> Option<Event> {
        self.held.iter().find_map(|(slot, held)| match held {
            Held::Opening { given_up: true, .. } => Some(Event::Failed(*slot, Failure::Abandoned)),
            Held::Opening { .. } if self.hanging.contains(slot) => None,
            Held::Opening { .. } => Some(Event::Opened(*slot)),
            Held::Leased { .. } => Some(Event::Returned(*slot, Return::Clean)),
            Held::Closing => Some(Event::Gone(*slot)),
            Held::Idle { .. } => None,
        })
    }

    /// The slots in some state.
    pub(crate) fn slots(&self, are: impl Fn(&Held) -> bool) -> impl Iterator<Item = SlotId> {
        let those = self.held.iter().filter(move |(_, held)| are(held));
        those.map(|(slot, _)| *slot).collect::<Vec<_>>().into_iter()
    }
}
