//! Steps and questions for tests of one behaviour.

use std::time::Duration;

use berth_pool::{
    Access, AcquireError, Action, CloseReason, ConnectErrorKind, Lane, Priority, ReleaseOutcome, Reuse,
    SchedulerConfig, SlotId, WaiterId, Writers,
};

use crate::simulation::{Answer, Event, Held, World};

pub(crate) const REQUEST: Lane = Lane {
    priority: Priority::Request,
    access: Access::Read,
};
pub(crate) const JOB: Lane = Lane {
    priority: Priority::Background,
    access: Access::Read,
};
pub(crate) const WRITER: Lane = Lane {
    priority: Priority::Request,
    access: Access::Write,
};

/// The config of a pool whose settings are the defaults.
pub(crate) fn config() -> SchedulerConfig {
    SchedulerConfig {
        pool_size: 3,
        reuse: Reuse::Pooled,
        writers: Writers::Many,
        max_waiting: 1000,
        max_lifetime: seconds(1800),
        idle_timeout: seconds(240),
        overflow_linger: seconds(5),
        validate_after_idle: seconds(30),
        connect_timeout: seconds(15),
        grace: seconds(3),
        background_timeout: seconds(5),
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
    /// Applies an event, which must not break a rule; returns the actions.
    #[track_caller]
    pub(crate) fn event(&mut self, event: Event) -> Vec<Action> {
        if let Err(broken) = self.apply(event) {
            panic!("{event:?}: {broken}\n{self:#?}");
        }
        self.latest.clone()
    }

    /// A caller comes, and is not denied.
    #[track_caller]
    pub(crate) fn ask(&mut self, lane: Lane) -> WaiterId {
        self.event(Event::Request(lane));
        assert_eq!(self.rejected, None, "denied");
        let newest = self.waiting.keys().chain(self.answers.keys()).max();
        *newest.expect("a waiter")
    }

    /// A caller comes, and is denied.
    #[track_caller]
    pub(crate) fn ask_denied(&mut self, lane: Lane) -> AcquireError {
        self.event(Event::Request(lane));
        self.rejected.expect("an error")
    }

    #[track_caller]
    pub(crate) fn wait(&mut self, time: Duration) -> Vec<Action> {
        self.event(Event::Pass(time))
    }

    #[track_caller]
    pub(crate) fn fail(&mut self, slot: SlotId, failure: ConnectErrorKind) -> Vec<Action> {
        self.event(Event::Failed(slot, failure))
    }

    #[track_caller]
    pub(crate) fn give(&mut self, slot: SlotId, how: ReleaseOutcome) -> Vec<Action> {
        self.event(Event::Released(slot, how))
    }

    /// Leases `number` connections, once every attempt has succeeded.
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

    /// Makes `number` connections idle, the most recently used last.
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
        while let Some(slot) = self.connecting().first() {
            self.event(Event::Connected(*slot));
        }
    }

    #[track_caller]
    pub(crate) fn close_all(&mut self) {
        while let Some(slot) = self.closing().first() {
            self.event(Event::Closed(*slot));
        }
    }

    pub(crate) fn connecting(&self) -> Vec<SlotId> {
        self.slots(|held| matches!(held, Held::Connecting { .. }))
            .collect()
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

/// The timeouts of attempts that began, in order.
pub(crate) fn began(actions: &[Action]) -> Vec<Duration> {
    let attempts = actions.iter().filter_map(|action| match action {
        Action::Connect { within, .. } => Some(*within),
        _ => None,
    });
    attempts.collect()
}

/// Attempts that were cancelled, in order.
pub(crate) fn cancelled(actions: &[Action]) -> Vec<SlotId> {
    let abandoned = actions.iter().filter_map(|action| match action {
        Action::CancelConnect { slot } => Some(*slot),
        _ => None,
    });
    abandoned.collect()
}
