//! The rules, stated on the independent model: order, lanes, bounds, and that no caller is stuck.

use std::time::Duration;

use berth_pool::{
    AcquireError, ConnectErrorKind, Lane, ReleaseOutcome, Reuse, Rotation, SlotId, WaiterId, Writers,
};

use crate::simulation::{Answer, Event, Found, Held, World, rule};

/// Compares the scheduler with the model.
pub(crate) fn agree(world: &World) -> Found {
    let (ours, theirs) = (world.count(), world.scheduler.slot_counts());
    let mut without_rest = theirs;
    without_rest.cooling_down = 0;
    rule(ours == without_rest, || {
        format!("slots differ: {ours:?} here, {theirs:?} there")
    })?;
    let requests = world.waiting.values().filter(|(lane, _)| !lane.is_background());
    let requests = requests.count();
    let waiting = (requests, world.waiting.len() - requests);
    rule(
        world.scheduler.waiting() == waiting,
        "the number of those who wait differs",
    )?;
    let first_time = world.waiting.keys().filter(|id| !world.again.contains(id));
    rule(first_time.count() <= world.config.max_waiting, "too many wait")?;
    no_connection_is_kept_too_long(world)?;
    the_listener_takes_what_is_spare(world)?;
    every_waiter_has_a_prospect(world)
}

fn no_connection_is_kept_too_long(world: &World) -> Found {
    let count = world.count();
    let idle = world.held.values().filter_map(|held| match held {
        Held::Idle { since, expires } => Some((world.now - *since, *expires)),
        _ => None,
    });
    for (unused, expires) in idle {
        rule(expires > world.now, "an expired connection is idle")?;
        rule(unused < world.config.idle_timeout, "an unused connection is idle")?;
        let over = count.idle + count.leased > world.kept();
        rule(!over || unused < world.config.overflow_linger, "overflow is idle")?;
        rule(
            !world.draining && world.rotation == Rotation::Off,
            "a connection is idle that had to go",
        )?;
    }
    let fits = count.connecting + count.idle + count.leased <= world.share;
    rule(fits || count.idle == 0, "an idle connection is above the share")?;
    let could = |(lane, _): &(Lane, _)| world.may(*lane);
    rule(
        count.idle == 0 || !world.waiting.values().any(could),
        "a caller waits beside an idle connection",
    )
}

fn the_listener_takes_what_is_spare(world: &World) -> Found {
    let count = world.count();
    if count.listening == 0 {
        return Ok(());
    }
    rule(count.listening == 1, "there are two listeners")?;
    rule(world.listens && !world.draining, "a listener is not wanted")?;
    rule(
        world.share > 1 && world.rotation == Rotation::Off && world.config.reuse == Reuse::Pooled,
        "a listener has a slot that requests need",
    )?;
    rule(
        count.connecting + count.idle + count.leased + count.listening <= world.share,
        "a listener is above the share",
    )?;
    let requests = world
        .waiting
        .values()
        .filter(|(lane, _)| world.may(*lane) && !lane.is_background());
    let under_way = world.slots(|held| held.age(world.now).is_some());
    rule(
        count.total() < world.share || requests.count() <= under_way.count() || world.hangs(),
        "a request waits beside a listener",
    )
}

fn every_waiter_has_a_prospect(world: &World) -> Found {
    rule(
        !world.draining || world.waiting.is_empty(),
        "a caller waits for a pool that closes",
    )?;
    if world.waiting.is_empty() {
        return Ok(());
    }
    let denies = world.scheduler.breaker().denies(world.now);
    rule(
        denies.is_none() || world.has_live_leases(),
        "a caller waits in vain",
    )?;
    let wake = world.scheduler.next_timeout(world.now);
    let count = world.scheduler.slot_counts();
    let busy = count.connecting + count.leased + count.closing > 0;
    rule(
        busy || wake.is_some(),
        "a caller waits, and nothing will ever happen",
    )?;
    rule(
        wake.is_none_or(|wake| wake > world.now),
        "what is due now is done now",
    )
}

impl World {
    /// Whether a caller with this lane may have an idle connection now.
    pub(crate) fn may(&self, lane: Lane) -> bool {
        let leased = |is: fn(&Lane) -> bool| {
            self.held
                .values()
                .filter(|held| matches!(held, Held::Leased { lane, .. } if is(lane)))
                .count()
        };
        let listening = usize::from(self.count().listening > 0);
        let room = (self.share - 1).saturating_sub(listening).max(1);
        let background = !lane.is_background() || leased(|lane| lane.is_background()) < room;
        let writer = self.config.writers == Writers::One && lane.writes();
        background && !(writer && leased(|lane| lane.writes()) > 0)
    }

    /// The queue of a lane, which is served in order; writers have their own where only one may write.
    pub(crate) fn line(&self, lane: Lane) -> (bool, bool) {
        (
            lane.is_background(),
            lane.writes() && self.config.writers == Writers::One,
        )
    }

    /// The first caller of a queue.
    pub(crate) fn first_of(&self, line: (bool, bool)) -> Option<WaiterId> {
        let mut those = self.waiting.iter();
        let first = those.find(|(_, (lane, _))| self.line(*lane) == line);
        first.map(|(waiter_id, _)| *waiter_id)
    }

    /// Background work is served after requests, except for one turn when it is overdue.
    pub(crate) fn keep_lanes(&mut self, waiter_id: WaiterId, lane: Lane) -> Found {
        let first = |background: bool| {
            let mut those = self.waiting.iter();
            those
                .find(|(_, (lane, _))| lane.is_background() == background && self.may(*lane))
                .map(|(waiter_id, (_, since))| (*waiter_id, *since))
        };
        let oldest = first(lane.is_background()).map(|(oldest, _)| oldest);
        rule(oldest == Some(waiter_id), "out of order within a lane")?;
        let patient = |(_, since)| since + self.config.background_timeout <= self.now;
        let overdue = first(true).is_some_and(patient) && self.next_background_turn <= self.now;
        if lane.is_background() {
            rule(
                overdue || first(false).is_none(),
                "background work goes before a request",
            )?;
        } else {
            rule(!overdue, "background work misses its turn")?;
        }
        if overdue {
            self.next_background_turn = self.now + self.config.background_timeout;
        }
        Ok(())
    }

    /// Makes the attempts under way hang until their timeout.
    pub(crate) fn hang_attempts(&mut self) {
        self.hanging = self
            .slots(|held| matches!(held, Held::Connecting { .. }))
            .collect();
    }

    /// Keeps the server healthy until no caller waits: leases are released, closes end, and attempts succeed
    /// unless they hang already.
    pub(crate) fn recover(&mut self) -> Found {
        for _ in 0..10_000 {
            match self.healthy_event() {
                Some(event) => self.apply(event)?,
                None if self.waiting.is_empty() => return Ok(()),
                None => self.pass_to_next("a caller waits in a healthy server")?,
            }
        }
        Err("a healthy server does not come to rest".to_owned())
    }

    /// Checks that a new caller gets a connection within a time after the server is reachable again.
    pub(crate) fn new_caller_is_served(&mut self, within: Duration) -> Found {
        let deadline = self.now + within;
        while self.now < deadline {
            let before = self.answers.len();
            self.apply(Event::Request(Lane::default()))?;
            self.recover()?;
            let served =
                self.answers.len() > before && self.answers.values().next_back() == Some(&Answer::Grant);
            if served {
                return Ok(());
            }
            self.apply(Event::Pass(Duration::from_millis(100)))?;
        }
        Err(format!("no caller is served for {within:?} in a healthy server"))
    }

    /// Checks that all slots become free once everything is released and no caller asks.
    pub(crate) fn becomes_empty(&mut self) -> Found {
        self.apply(Event::Listen(false))?;
        for _ in 0..10_000 {
            match self.healthy_event() {
                Some(event) => self.apply(event)?,
                None if self.scheduler.slot_counts().total() == 0 => {
                    return rule(self.scheduler.is_empty(), "empty slots say that they are");
                }
                None => self.pass_to_next("a slot is occupied for ever")?,
            }
        }
        Err("the slots never empty themselves".to_owned())
    }

    /// Checks that closing the pool leaves no connection, and takes no longer than closes and leases do.
    pub(crate) fn drains(&mut self) -> Found {
        self.apply(Event::Drain)?;
        while let Some(event) = self.healthy_event() {
            self.apply(event)?;
        }
        rule(self.scheduler.is_empty(), "a closed pool holds something")?;
        let again = self.scheduler.request(self.now, Lane::default());
        rule(
            again == Err(AcquireError::Draining),
            "a closed pool takes no caller",
        )
    }

    fn pass_to_next(&mut self, otherwise: &str) -> Found {
        let due = self.next_due().ok_or_else(|| otherwise.to_owned())?;
        self.apply(Event::Pass(due.saturating_sub(self.now)))
    }

    fn healthy_event(&self) -> Option<Event> {
        self.held.iter().find_map(|(slot, held)| match held {
            Held::Connecting { cancelled: true, .. } => {
                Some(Event::Failed(*slot, ConnectErrorKind::Cancelled))
            }
            Held::Connecting { .. } if self.hanging.contains(slot) => None,
            Held::Connecting { .. } => Some(Event::Connected(*slot)),
            Held::Leased { .. } => Some(Event::Released(*slot, ReleaseOutcome::Clean)),
            Held::Closing => Some(Event::Closed(*slot)),
            Held::ListenerClosing => Some(Event::ListenerEnded(*slot)),
            Held::Idle { .. } | Held::Listening => None,
        })
    }

    /// The slots in some state.
    pub(crate) fn slots(&self, are: impl Fn(&Held) -> bool) -> impl Iterator<Item = SlotId> {
        let those = self.held.iter().filter(move |(_, held)| are(held));
        those.map(|(slot, _)| *slot).collect::<Vec<_>>().into_iter()
    }
}
