//! Leads a world by hand: what tests of one behaviour say.

use std::time::Duration;

use berth_pool::{
    AcquireError, Action, CloseReason, ConnectErrorKind, Lane, ReleaseOutcome, SchedulerConfig, SlotId,
    WaiterId,
};

use crate::simulation::{Answer, Event, Held, World};

pub(crate) const REQUEST: Lane = Lane {
    background: false,
    writes: false,
};
pub(crate) const JOB: Lane = Lane {
    background: true,
    writes: false,
};
pub(crate) const WRITER: Lane = Lane {
    background: false,
    writes: true,
};

/// The config of a pool whose settings are the defaults.
pub(crate) fn config() -> SchedulerConfig {
    SchedulerConfig {
        pool_size: 3,
        fresh: false,
        single_writer: false,
        max_waiting: 1000,
        recycle: seconds(1800),
        idle: seconds(240),
        linger: seconds(5),
        validate_after_idle: seconds(30),
        connect_timeout: seconds(15),
        grace: seconds(3),
        patience: seconds(5),
    }
}

/// A pool with the default config.
pub(crate) fn pool(share: usize) -> World {
    World::new(config(), share, 7)
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
    pub(crate) fn let_happen(&mut self, event: Event) -> Vec<Action> {
        if let Err(broken) = self.apply(event) {
            panic!("{event:?}: {broken}\n{self:#?}");
        }
        self.latest.clone()
    }

    /// A caller comes, and is not turned away.
    #[track_caller]
    pub(crate) fn ask(&mut self, lane: Lane) -> WaiterId {
        self.let_happen(Event::Request(lane));
        assert_eq!(self.rejected, None, "turned away");
        let newest = self.waiting.keys().chain(self.answers.keys()).max();
        *newest.expect("a waiter_id")
    }

    /// A caller comes, and is turned away.
    #[track_caller]
    pub(crate) fn ask_in_vain(&mut self, lane: Lane) -> AcquireError {
        self.let_happen(Event::Request(lane));
        self.rejected.expect("a error")
    }

    #[track_caller]
    pub(crate) fn wait(&mut self, time: Duration) -> Vec<Action> {
        self.let_happen(Event::Pass(time))
    }

    #[track_caller]
    pub(crate) fn fail(&mut self, slot: SlotId, failure: ConnectErrorKind) -> Vec<Action> {
        self.let_happen(Event::Failed(slot, failure))
    }

    #[track_caller]
    pub(crate) fn give(&mut self, slot: SlotId, how: ReleaseOutcome) -> Vec<Action> {
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
            self.give(*slot, ReleaseOutcome::Clean);
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

    pub(crate) fn answer(&self, waiter_id: WaiterId) -> Option<Answer> {
        self.answers.get(&waiter_id).copied()
    }

    pub(crate) fn is_granted(&self, waiter_id: WaiterId) -> bool {
        self.answer(waiter_id) == Some(Answer::Grant)
    }
}

/// Why connections were closed, in order.
pub(crate) fn closed(actions: &[Action]) -> Vec<(SlotId, CloseReason)> {
    let closes = actions.iter().filter_map(|action| match action {
        Action::Close { slot, why, .. } => Some((*slot, *why)),
        _ => None,
    });
    closes.collect()
}

/// The limits of openings that began, in order.
pub(crate) fn began(actions: &[Action]) -> Vec<Duration> {
    let openings = actions.iter().filter_map(|action| match action {
        Action::Connect { within, .. } => Some(*within),
        _ => None,
    });
    openings.collect()
}

/// Openings that were given up, in order.
pub(crate) fn cancelled(actions: &[Action]) -> Vec<SlotId> {
    let abandoned = actions.iter().filter_map(|action| match action {
        Action::CancelConnect { slot } => Some(*slot),
        _ => None,
    });
    abandoned.collect()
}
