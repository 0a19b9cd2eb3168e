//! A shell without connections: it applies the scheduler's actions to a model of its own, with the pace and
//! the outcomes that a test chooses, and checks each action against the rules.
//!
//! It calls the scheduler when `next_timeout` says so and at no other time, so a due time that `next_timeout` forgets
//! shows as a caller that waits forever, or as a call that would have done something.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use berth_pool::{
    AcquireError, Action, ConnectErrorKind, Lane, ListenerEnd, ReleaseOutcome, Scheduler, SchedulerConfig,
    SlotCounts, SlotId, Timestamp, WaiterId,
};
use berth_pool::{Outage, Reuse, Rotation};

/// What a broken rule is reported as.
pub(crate) type Found<T = ()> = Result<T, String>;

/// Everything that can happen to a scheduler.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Event {
    Request(Lane),
    RequestAgain(Lane, WaiterId),
    Cancel(WaiterId),
    LoggedIn(SlotId),
    Connected(SlotId),
    Failed(SlotId, ConnectErrorKind),
    Released(SlotId, ReleaseOutcome),
    Closed(SlotId),
    /// A listener is wanted, or not any more.
    Listen(bool),
    ListenerEnded(SlotId),
    Share {
        share: usize,
        rotation: Rotation,
    },
    Borrow,
    Drain,
    Pass(Duration),
}

/// One slot in the independent model.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Held {
    Connecting {
        ends: Timestamp,
        since: Timestamp,
        logged_in: bool,
        cancelled: bool,
    },
    Idle {
        since: Timestamp,
        expires: Timestamp,
    },
    Leased {
        expires: Timestamp,
        lane: Lane,
    },
    Listening,
    /// The listener's, once it has to end.
    ListenerClosing,
    Closing,
}

impl Held {
    /// Whether this attempt is being cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Connecting { cancelled: true, .. })
    }

    /// How long this attempt has taken.
    pub(crate) fn age(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Connecting { since, .. } => Some(now - *since),
            _ => None,
        }
    }
}

/// How a caller was answered.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Answer {
    Grant,
    Denied(AcquireError),
}

/// The simulated shell, its slots, and the scheduler under test.
#[derive(Clone, Debug, Hash)]
pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Timestamp,
    pub(crate) config: SchedulerConfig,
    pub(crate) held: BTreeMap<SlotId, Held>,
    pub(crate) waiting: BTreeMap<WaiterId, (Lane, Timestamp)>,
    pub(crate) answers: BTreeMap<WaiterId, Answer>,
    /// Callers that requested again after they had been served.
    pub(crate) again: BTreeSet<WaiterId>,
    pub(crate) share: usize,
    pub(crate) rotation: Rotation,
    pub(crate) draining: bool,
    pub(crate) listens: bool,
    pub(crate) last_alive: Option<Timestamp>,
    /// Attempts before this provoke a pooler that bans for failed logins.
    pub(crate) shut_until: Timestamp,
    pub(crate) next_background_turn: Timestamp,
    /// The latest outcome is a refusal: attempts are made one at a time.
    pub(crate) refused: bool,
    /// What the latest event led to.
    pub(crate) latest: Vec<Action>,
    pub(crate) rejected: Option<AcquireError>,
    /// Attempts that will not end before their timeout.
    pub(crate) hanging: Vec<SlotId>,
    pub(crate) next_slot: u64,
}

impl World {
    pub(crate) fn new(config: SchedulerConfig, share: usize, seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(config.clone(), share, seed),
            now: Timestamp::from_secs(1000),
            config,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            answers: BTreeMap::new(),
            again: BTreeSet::new(),
            share,
            rotation: Rotation::Off,
            draining: false,
            listens: false,
            last_alive: None,
            shut_until: Timestamp::ZERO,
            next_background_turn: Timestamp::ZERO,
            refused: false,
            latest: Vec::new(),
            rejected: None,
            hanging: Vec::new(),
            next_slot: 0,
        }
    }

    /// Applies an event and checks the actions that follow.
    pub(crate) fn apply(&mut self, event: Event) -> Found {
        self.forget();
        match event {
            Event::Pass(time) => self.pass(time),
            event => {
                self.happen(event)?;
                self.agree()
            }
        }
    }

    /// Whether a connection attempt gets no answer for so long that others may begin beside it.
    pub(crate) fn hangs(&self) -> bool {
        let old = |held: &Held| held.age(self.now) >= Some(self.config.grace);
        self.held.values().any(old)
    }

    /// Forgets what the latest event led to, which is not part of the state.
    pub(crate) fn forget(&mut self) {
        self.latest.clear();
        self.rejected = None;
    }

    fn happen(&mut self, event: Event) -> Found {
        let now = self.now;
        match event {
            Event::Request(lane) => return self.request(lane, None),
            Event::RequestAgain(lane, first) => return self.request(lane, Some(first)),
            Event::Cancel(waiter_id) => {
                let waited = self.waiting.remove(&waiter_id).is_some();
                rule(
                    self.scheduler.cancel(now, waiter_id) == waited,
                    "cancel tells whether it waited",
                )?;
            }
            Event::LoggedIn(slot) => {
                if let Some(Held::Connecting { logged_in, .. }) = self.held.get_mut(&slot) {
                    *logged_in = true;
                }
                self.scheduler.logged_in(slot);
            }
            Event::Connected(slot) => {
                let expires = now + self.config.max_lifetime;
                self.held.insert(slot, Held::Idle { since: now, expires });
                (self.last_alive, self.shut_until) = (Some(now), now);
                self.refused = false;
                self.scheduler.connected(now, slot, self.config.max_lifetime);
            }
            Event::Failed(slot, failure) => {
                self.held.remove(&slot);
                self.refused = failure == ConnectErrorKind::Full;
                let shut = match failure {
                    ConnectErrorKind::Permanent => Duration::from_secs(30),
                    ConnectErrorKind::Banned(pause) => pause,
                    _ => Duration::ZERO,
                };
                self.shut_until = self.shut_until.max(now + shut);
                self.scheduler.connect_failed(now, slot, failure);
            }
            Event::Released(slot, how) => self.release(slot, how)?,
            Event::Closed(slot) => {
                self.held.remove(&slot);
                self.scheduler.closed(now, slot);
            }
            Event::Listen(true) => {
                self.listens = true;
                self.scheduler.want_listener(now);
            }
            Event::Listen(false) => {
                self.listens = false;
                self.scheduler.dismiss_listener(now);
            }
            Event::ListenerEnded(slot) => {
                self.held.remove(&slot);
                self.scheduler.listener_ended(now, slot, ListenerEnd::Closed);
            }
            Event::Share { share, rotation } => {
                (self.share, self.rotation) = (share, rotation);
                self.scheduler.set_rotation(rotation);
                self.scheduler.set_share(now, share);
            }
            Event::Borrow => self.borrow()?,
            Event::Drain => {
                self.draining = true;
                self.scheduler.drain(now);
            }
            Event::Pass(_) => {}
        }
        self.carry_out()
    }

    fn request(&mut self, lane: Lane, again: Option<WaiterId>) -> Found {
        let free = self.may(lane) && self.count().idle > 0;
        let requested = match again {
            Some(first) => self.scheduler.request_again(self.now, lane, first),
            None => self.scheduler.request(self.now, lane),
        };
        match requested {
            Ok(waiter_id) => {
                rule(!self.draining, "a closing pool takes no caller")?;
                let newest = self.waiting.keys().chain(self.answers.keys()).max();
                let rises = newest.is_none_or(|newest| *newest < waiter_id);
                rule(again.is_some() || rises, "waiter ids rise")?;
                rule(
                    again.is_none_or(|first| first == waiter_id),
                    "a caller keeps its place",
                )?;
                self.answers.remove(&waiter_id);
                self.again.extend(again);
                self.waiting.insert(waiter_id, (lane, self.now));
                self.carry_out()?;
                rule(
                    !free || !self.waiting.contains_key(&waiter_id),
                    "an idle connection is leased at once",
                )
            }
            Err(error) => {
                self.rejected = Some(error);
                rule(self.actions().is_empty(), "a refused request changes nothing")?;
                match error {
                    AcquireError::Draining => rule(self.draining, "only a closing pool says so"),
                    AcquireError::Full => rule(
                        again.is_none() && self.waiting.len() >= self.config.max_waiting && !free,
                        "full only with max_waiting callers and nothing to lend",
                    ),
                    AcquireError::CircuitOpen(outage) => {
                        rule(!free, "an idle connection is leased though the breaker is open")?;
                        self.may_deny(outage)
                    }
                }
            }
        }
    }

    fn release(&mut self, slot: SlotId, how: ReleaseOutcome) -> Found {
        let Some(Held::Leased { expires, .. }) = self.held.get(&slot).copied() else {
            return Err(format!("{slot:?} is not leased"));
        };
        let since = self.now;
        match how {
            ReleaseOutcome::Clean => {
                self.last_alive = Some(since);
                self.held.insert(slot, Held::Idle { since, expires });
            }
            ReleaseOutcome::Closing => {
                self.held.insert(slot, Held::Closing);
            }
            ReleaseOutcome::Dropped | ReleaseOutcome::Dead => {
                self.held.remove(&slot);
            }
        }
        self.scheduler.released(since, slot, how);
        Ok(())
    }

    fn borrow(&mut self) -> Found {
        let lendable = self.waiting.is_empty() && !self.draining && self.count().idle > 0;
        let borrowed = self.scheduler.borrow_idle(self.now);
        rule(
            borrowed.is_some() == lendable,
            "deferred borrow what no caller waits for",
        )?;
        match borrowed {
            Some(slot) => self.lend_slot(slot, Lane::default()).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Time passes; the scheduler is called when it asked for it, and attempts end at their limit.
    fn pass(&mut self, time: Duration) -> Found {
        let end = self.now + time;
        for _ in 0..10_000 {
            let next = self.next_due();
            let until = next.map_or(end, |next| next.min(end));
            self.nothing_is_due_before(until)?;
            self.now = self.now.max(until);
            if next.is_none_or(|next| next > end) {
                return Ok(());
            }
            let over = self.limits().find(|(at, _)| *at <= until);
            match over {
                Some((_, event)) => self.happen(event)?,
                None => {
                    self.refused &= !self.hangs();
                    self.scheduler.handle_timeout(self.now);
                    self.carry_out()?;
                }
            }
            self.agree()?;
        }
        Err("the scheduler wakes its shell without end".to_owned())
    }

    /// When something happens by itself: the scheduler wakes, or a connection attempt reaches its limit.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let wake = self.scheduler.next_timeout(self.now);
        wake.into_iter().chain(self.limits().map(|(at, _)| at)).min()
    }

    /// When attempts reach their limit, and how that is reported.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (Timestamp, Event)> + '_ {
        self.held.iter().filter_map(|(slot, held)| match held {
            Held::Connecting { ends, logged_in, .. } => {
                let failure = if *logged_in {
                    ConnectErrorKind::Full
                } else {
                    ConnectErrorKind::Unreachable
                };
                Some((*ends, Event::Failed(*slot, failure)))
            }
            _ => None,
        })
    }

    /// Checks that a call before the next due time would do nothing.
    fn nothing_is_due_before(&self, until: Timestamp) -> Found {
        let last = until.saturating_sub(Duration::from_nanos(1));
        for moment in [self.now, (self.now + last) / 2, last] {
            if moment < self.now {
                continue;
            }
            let mut scheduler = self.scheduler.clone();
            scheduler.handle_timeout(moment);
            let actions: Vec<_> = scheduler.poll_actions().collect();
            rule(actions.is_empty(), || {
                format!("at {moment:?}, before it wakes at {until:?}, {actions:?} was due")
            })?;
            rule(scheduler.slot_counts() == self.scheduler.slot_counts(), || {
                format!("at {moment:?}, before it wakes at {until:?}, the slots would change")
            })?;
        }
        Ok(())
    }

    fn actions(&mut self) -> Vec<Action> {
        self.scheduler.poll_actions().collect()
    }

    fn carry_out(&mut self) -> Found {
        for action in self.actions() {
            self.latest.push(action);
            self.take(action)
                .map_err(|broken| format!("{action:?}: {broken}"))?;
        }
        Ok(())
    }

    /// Checks what must hold between events.
    fn agree(&self) -> Found {
        crate::invariants::agree(self)
    }

    /// Slots by state, counted here; only the scheduler counts those that cool down.
    pub(crate) fn count(&self) -> SlotCounts {
        let mut count = SlotCounts::default();
        for held in self.held.values() {
            *match held {
                Held::Connecting { .. } => &mut count.connecting,
                Held::Idle { .. } => &mut count.idle,
                Held::Leased { .. } => &mut count.leased,
                Held::Listening => &mut count.listening,
                Held::Closing | Held::ListenerClosing => &mut count.closing,
            } += 1;
        }
        count
    }

    /// Connections that stay when idle.
    pub(crate) fn kept(&self) -> usize {
        if self.config.reuse == Reuse::Fresh {
            0
        } else {
            self.config.pool_size
        }
    }

    /// Whether the breaker may deny callers.
    pub(crate) fn may_deny(&self, outage: Outage) -> Found {
        rule(
            self.scheduler.breaker().denies(self.now) == Some(outage),
            "the breaker says otherwise",
        )?;
        rule(!self.has_live_leases(), "a lease that shows life may come back")
    }

    /// Whether connections are leased and one was alive recently.
    pub(crate) fn has_live_leases(&self) -> bool {
        let lately = |alive: Timestamp| self.now < alive + self.config.grace;
        self.count().leased > 0 && self.last_alive.is_some_and(lately)
    }
}

/// Fails with the rule's wording if it is broken.
pub(crate) fn rule(kept: bool, wording: impl Wording) -> Found {
    if kept { Ok(()) } else { Err(wording.say()) }
}

/// A rule's wording, made only where it is needed.
pub(crate) trait Wording {
    fn say(self) -> String;
}

impl Wording for &str {
    fn say(self) -> String {
        self.to_owned()
    }
}

impl<F: FnOnce() -> String> Wording for F {
    fn say(self) -> String {
        self()
    }
}
