//! A shell without connections: it carries the ledger's decisions out in its own books, at whatever pace
//! and with whatever outcome a test chooses, and holds each decision against the rules.
//!
//! It ticks the ledger when `wake_at` says so and at no other time, so a due time that `wake_at` forgets
//! shows as a caller that waits for ever, or as a tick that would have done something.

use std::collections::BTreeMap;
use std::time::Duration;

use database::Verdict;
use database::ledger::{
    Denial, Effect, Failure, Ledger, Moment, Occupation, Purpose, Return, SlotId, Terms, Ticket,
};

/// What a broken rule is reported as.
pub(crate) type Found<T = ()> = Result<T, String>;

/// Everything that can happen to a ledger.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Event {
    Request(Purpose),
    Cancel(Ticket),
    LoggedIn(SlotId),
    Opened(SlotId),
    Failed(SlotId, Failure),
    Returned(SlotId, Return),
    Gone(SlotId),
    Share { share: usize, yielding: bool },
    Borrow,
    Drain,
    Pass(Duration),
}

/// One slot in the independent books.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Held {
    Opening {
        ends: Moment,
        since: Moment,
        logged_in: bool,
        given_up: bool,
    },
    Idle {
        since: Moment,
        expires: Moment,
    },
    Leased {
        expires: Moment,
        purpose: Purpose,
    },
    Closing,
}

impl Held {
    /// Whether this opening is being given up.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self, Self::Opening { given_up: true, .. })
    }

    /// How long this opening has taken.
    pub(crate) fn age(&self, now: Moment) -> Option<Duration> {
        match self {
            Self::Opening { since, .. } => Some(now - *since),
            _ => None,
        }
    }
}

/// How a caller was answered.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Answer {
    Granted,
    Denied(Denial),
}

/// The simulated shell, its books, and the ledger under test.
#[derive(Clone, Debug, Hash)]
pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) now: Moment,
    pub(crate) terms: Terms,
    pub(crate) held: BTreeMap<SlotId, Held>,
    pub(crate) waiting: BTreeMap<Ticket, (Purpose, Moment)>,
    pub(crate) answers: BTreeMap<Ticket, Answer>,
    pub(crate) share: usize,
    pub(crate) yielding: bool,
    pub(crate) draining: bool,
    pub(crate) last_alive: Option<Moment>,
    /// Attempts before this provoke whoever bans for failed logins.
    pub(crate) shut_until: Moment,
    pub(crate) next_turn: Moment,
    /// The last that was heard is a refusal: attempts are made one at a time.
    pub(crate) refused: bool,
    /// What the latest event led to.
    pub(crate) latest: Vec<Effect>,
    pub(crate) turned_away: Option<Denial>,
    /// Openings that will not end before their limit.
    pub(crate) hanging: Vec<SlotId>,
    pub(crate) next_slot: u64,
}

impl World {
    pub(crate) fn new(terms: Terms, share: usize, seed: u64) -> Self {
        Self {
            ledger: Ledger::new(terms.clone(), share, seed),
            now: Moment::from_secs(1000),
            terms,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            answers: BTreeMap::new(),
            share,
            yielding: false,
            draining: false,
            last_alive: None,
            shut_until: Moment::ZERO,
            next_turn: Moment::ZERO,
            refused: false,
            latest: Vec::new(),
            turned_away: None,
            hanging: Vec::new(),
            next_slot: 0,
        }
    }

    /// Lets something happen and checks what the ledger makes of it.
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

    /// Whether an opening gets no answer for so long that others may begin beside it.
    pub(crate) fn hangs(&self) -> bool {
        let old = |held: &Held| held.age(self.now) >= Some(self.terms.grace);
        self.held.values().any(old)
    }

    /// Forgets what the latest event led to, which is no part of the state.
    pub(crate) fn forget(&mut self) {
        self.latest.clear();
        self.turned_away = None;
    }

    fn happen(&mut self, event: Event) -> Found {
        let now = self.now;
        match event {
            Event::Request(purpose) => return self.request(purpose),
            Event::Cancel(ticket) => {
                let waited = self.waiting.remove(&ticket).is_some();
                rule(
                    self.ledger.cancel(now, ticket) == waited,
                    "cancel tells whether it waited",
                )?;
            }
            Event::LoggedIn(slot) => {
                if let Some(Held::Opening { logged_in, .. }) = self.held.get_mut(&slot) {
                    *logged_in = true;
                }
                self.ledger.logged_in(slot);
            }
            Event::Opened(slot) => {
                let expires = now + self.terms.recycle;
                self.held.insert(slot, Held::Idle { since: now, expires });
                (self.last_alive, self.shut_until) = (Some(now), now);
                self.refused = false;
                self.ledger.opened(now, slot, self.terms.recycle);
            }
            Event::Failed(slot, failure) => {
                self.held.remove(&slot);
                self.refused = failure == Failure::Refused;
                let shut = match failure {
                    Failure::ForGood => Duration::from_secs(30),
                    Failure::Banned => Duration::from_secs(120),
                    _ => Duration::ZERO,
                };
                self.shut_until = self.shut_until.max(now + shut);
                self.ledger.failed(now, slot, failure);
            }
            Event::Returned(slot, how) => self.give_back(slot, how)?,
            Event::Gone(slot) => {
                self.held.remove(&slot);
                self.ledger.gone(now, slot);
            }
            Event::Share { share, yielding } => {
                (self.share, self.yielding) = (share, yielding);
                self.ledger.set_yielding(yielding);
                self.ledger.set_share(now, share);
            }
            Event::Borrow => self.borrow()?,
            Event::Drain => {
                self.draining = true;
                self.ledger.drain(now);
            }
            Event::Pass(_) => {}
        }
        self.carry_out()
    }

    fn request(&mut self, purpose: Purpose) -> Found {
        let free = self.may(purpose) && self.count().idle > 0;
        match self.ledger.request(self.now, purpose) {
            Ok(ticket) => {
                rule(!self.draining, "a closing pool takes nobody")?;
                let newest = self.waiting.keys().chain(self.answers.keys()).max();
                rule(newest.is_none_or(|newest| *newest < ticket), "tickets rise")?;
                self.waiting.insert(ticket, (purpose, self.now));
                self.carry_out()?;
                rule(
                    !free || !self.waiting.contains_key(&ticket),
                    "an idle connection is lent at once",
                )
            }
            Err(denial) => {
                self.turned_away = Some(denial);
                rule(self.effects().is_empty(), "a refused request changes nothing")?;
                match denial {
                    Denial::Draining => rule(self.draining, "only a closing pool says so"),
                    Denial::Full => rule(
                        self.waiting.len() >= self.terms.max_waiting && !free,
                        "full only with max_waiting callers and nothing to lend",
                    ),
                    Denial::Broken(verdict) => {
                        rule(!free, "an idle connection is lent though the breaker is open")?;
                        self.may_deny(verdict)
                    }
                }
            }
        }
    }

    fn give_back(&mut self, slot: SlotId, how: Return) -> Found {
        let Some(Held::Leased { expires, .. }) = self.held.get(&slot).copied() else {
            return Err(format!("{slot:?} is not leased"));
        };
        let since = self.now;
        match how {
            Return::Clean => {
                self.last_alive = Some(since);
                self.held.insert(slot, Held::Idle { since, expires });
            }
            Return::Closing => {
                self.held.insert(slot, Held::Closing);
            }
            Return::Dropped | Return::Dead => {
                self.held.remove(&slot);
            }
        }
        self.ledger.returned(since, slot, how);
        Ok(())
    }

    fn borrow(&mut self) -> Found {
        let lendable = self.waiting.is_empty() && !self.draining && self.count().idle > 0;
        let borrowed = self.ledger.borrow_idle(self.now);
        rule(
            borrowed.is_some() == lendable,
            "errands borrow what nobody waits for",
        )?;
        match borrowed {
            Some(slot) => self.lend_slot(slot, Purpose::default()).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Time passes; the ledger is ticked when it asked for it, and openings end at their limit.
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
                    self.ledger.tick(self.now);
                    self.carry_out()?;
                }
            }
            self.agree()?;
        }
        Err("the ledger wakes its shell without end".to_owned())
    }

    /// When something happens by itself: the ledger wakes, or an opening reaches its limit.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        let wake = self.ledger.wake_at(self.now);
        wake.into_iter().chain(self.limits().map(|(at, _)| at)).min()
    }

    /// When openings reach their limit, and how that is reported.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (Moment, Event)> + '_ {
        self.held.iter().filter_map(|(slot, held)| match held {
            Held::Opening { ends, logged_in, .. } => {
                let failure = if *logged_in {
                    Failure::Refused
                } else {
                    Failure::Unreachable
                };
                Some((*ends, Event::Failed(*slot, failure)))
            }
            _ => None,
        })
    }

    /// A tick between here and the next due time would do nothing.
    fn nothing_is_due_before(&self, until: Moment) -> Found {
        let last = until.saturating_sub(Duration::from_nanos(1));
        for moment in [self.now, (self.now + last) / 2, last] {
            if moment < self.now {
                continue;
            }
            let mut ledger = self.ledger.clone();
            ledger.tick(moment);
            let effects: Vec<_> = ledger.drain_effects().collect();
            rule(effects.is_empty(), || {
                format!("at {moment:?}, before it wakes at {until:?}, {effects:?} was due")
            })?;
            rule(ledger.occupation() == self.ledger.occupation(), || {
                format!("at {moment:?}, before it wakes at {until:?}, the books would change")
            })?;
        }
        Ok(())
    }

    fn effects(&mut self) -> Vec<Effect> {
        self.ledger.drain_effects().collect()
    }

    fn carry_out(&mut self) -> Found {
        for effect in self.effects() {
            self.latest.push(effect);
            self.take(effect)
                .map_err(|broken| format!("{effect:?}: {broken}"))?;
        }
        Ok(())
    }

    /// What must be true whenever nothing is being done.
    fn agree(&self) -> Found {
        crate::oracle::agree(self)
    }

    /// Slots by state, counted here; resting ones are the ledger's own affair.
    pub(crate) fn count(&self) -> Occupation {
        let mut count = Occupation::default();
        for held in self.held.values() {
            *match held {
                Held::Opening { .. } => &mut count.opening,
                Held::Idle { .. } => &mut count.idle,
                Held::Leased { .. } => &mut count.leased,
                Held::Closing => &mut count.closing,
            } += 1;
        }
        count
    }

    /// Connections that stay when idle.
    pub(crate) fn kept(&self) -> usize {
        if self.terms.fresh { 0 } else { self.terms.pool_size }
    }

    /// Whether the breaker may send callers away.
    pub(crate) fn may_deny(&self, verdict: Verdict) -> Found {
        rule(
            self.ledger.breaker().denies(self.now) == Some(verdict),
            "the breaker says otherwise",
        )?;
        rule(!self.lends(), "a lease that shows life may come back")
    }

    /// Whether a lease is out that was alive lately.
    pub(crate) fn lends(&self) -> bool {
        let lately = |alive: Moment| self.now < alive + self.terms.grace;
        self.count().leased > 0 && self.last_alive.is_some_and(lately)
    }
}

/// Fails with the rule's wording where it is broken.
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
