//! Leads a world by hand: what tests of one behaviour say.

use std::time::Duration;

use database::ledger::{Closing, Denial, Effect, Failure, Purpose, Return, SlotId, Terms, Ticket};

use crate::world::{Answer, Event, Held, World};

pub(crate) const REQUEST: Purpose = Purpose {
    background: false,
    writes: false,
};
pub(crate) const JOB: Purpose = Purpose {
    background: true,
    writes: false,
};
pub(crate) const WRITER: Purpose = Purpose {
    background: false,
    writes: true,
};

/// The terms of a pool whose settings are the defaults.
pub(crate) fn terms() -> Terms {
    Terms {
        pool_size: 3,
        fresh: false,
        single_writer: false,
        max_waiting: 1000,
        recycle: seconds(1800),
        idle: seconds(240),
        linger: seconds(5),
        check_after: seconds(30),
        connect_timeout: seconds(15),
        grace: seconds(3),
        patience: seconds(5),
    }
}

/// A pool with the default terms.
pub(crate) fn pool(share: usize) -> World {
    World::new(terms(), share, 7)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    /// Lets something happen that must break no rule; answers what came of it.
    #[track_caller]
    pub(crate) fn let_happen(&mut self, event: Event) -> Vec<Effect> {
        if let Err(broken) = self.apply(event) {
            panic!("{event:?}: {broken}\n{self:#?}");
        }
        self.latest.clone()
    }

    /// A caller comes, and is not turned away.
    #[track_caller]
    pub(crate) fn ask(&mut self, purpose: Purpose) -> Ticket {
        self.let_happen(Event::Request(purpose));
        assert_eq!(self.turned_away, None, "turned away");
        let newest = self.waiting.keys().chain(self.answers.keys()).max();
        *newest.expect("a ticket")
    }

    /// A caller comes, and is turned away.
    #[track_caller]
    pub(crate) fn ask_in_vain(&mut self, purpose: Purpose) -> Denial {
        self.let_happen(Event::Request(purpose));
        self.turned_away.expect("a denial")
    }

    #[track_caller]
    pub(crate) fn wait(&mut self, time: Duration) -> Vec<Effect> {
        self.let_happen(Event::Pass(time))
    }

    #[track_caller]
    pub(crate) fn fail(&mut self, slot: SlotId, failure: Failure) -> Vec<Effect> {
        self.let_happen(Event::Failed(slot, failure))
    }

    #[track_caller]
    pub(crate) fn give(&mut self, slot: SlotId, how: Return) -> Vec<Effect> {
        self.let_happen(Event::Returned(slot, how))
    }

    /// Everything that opens has opened, and as many connections are leased as asked for.
    #[track_caller]
    pub(crate) fn lend(&mut self, number: usize) -> Vec<SlotId> {
        for _ in 0..number {
            self.ask(REQUEST);
        }
        self.open_all();
        let leased = self.leased();
        assert_eq!(leased.len(), number, "leased");
        leased
    }

    /// As many connections lie idle, the last one used last.
    #[track_caller]
    pub(crate) fn keep_idle(&mut self, number: usize) -> Vec<SlotId> {
        let leased = self.lend(number);
        for slot in &leased {
            self.give(*slot, Return::Clean);
        }
        leased
    }

    #[track_caller]
    pub(crate) fn open_all(&mut self) {
        while let Some(slot) = self.opening().first() {
            self.let_happen(Event::Opened(*slot));
        }
    }

    #[track_caller]
    pub(crate) fn close_all(&mut self) {
        while let Some(slot) = self.closing().first() {
            self.let_happen(Event::Gone(*slot));
        }
    }

    pub(crate) fn opening(&self) -> Vec<SlotId> {
        self.slots(|held| matches!(held, Held::Opening { .. })).collect()
    }

    pub(crate) fn idle(&self) -> Vec<SlotId> {
        self.slots(|held| matches!(held, Held::Idle { .. })).collect()
    }

    pub(crate) fn leased(&self) -> Vec<SlotId> {
        self.slots(|held| matches!(held, Held::Leased { .. })).collect()
    }

    pub(crate) fn closing(&self) -> Vec<SlotId> {
        self.slots(|held| matches!(held, Held::Closing)).collect()
    }

    pub(crate) fn answer(&self, ticket: Ticket) -> Option<Answer> {
        self.answers.get(&ticket).copied()
    }

    pub(crate) fn is_granted(&self, ticket: Ticket) -> bool {
        self.answer(ticket) == Some(Answer::Granted)
    }
}

/// Why connections were closed, in order.
pub(crate) fn closed(effects: &[Effect]) -> Vec<(SlotId, Closing)> {
    let closes = effects.iter().filter_map(|effect| match effect {
        Effect::Close { slot, why, .. } => Some((*slot, *why)),
        _ => None,
    });
    closes.collect()
}

/// The limits of openings that began, in order.
pub(crate) fn began(effects: &[Effect]) -> Vec<Duration> {
    let openings = effects.iter().filter_map(|effect| match effect {
        Effect::Open { within, .. } => Some(*within),
        _ => None,
    });
    openings.collect()
}

/// Openings that were given up, in order.
pub(crate) fn given_up(effects: &[Effect]) -> Vec<SlotId> {
    let abandoned = effects.iter().filter_map(|effect| match effect {
        Effect::Abandon { slot } => Some(*slot),
        _ => None,
    });
    abandoned.collect()
}
