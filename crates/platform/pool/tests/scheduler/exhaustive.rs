//! Every interleaving of small configurations: each reachable state is visited once, and from each one the
//! server can recover, the slots can become free, and the pool can be closed.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use berth_pool::{
    Access, ConnectErrorKind, Lane, Priority, ReleaseOutcome, Reuse, Rotation, SchedulerConfig, Writers,
};

use crate::simulation::{Event, Found, Held, World};

/// How often each kind of event may still happen; this is what makes the states finite.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Budget {
    callers: usize,
    cancels: usize,
    failures: usize,
    losses: usize,
    logins: usize,
    changes: usize,
    listens: usize,
    deferred: usize,
    waits: usize,
}

/// A small configuration and what may happen in it.
#[derive(Clone, Debug, Default)]
struct Scenario {
    name: &'static str,
    share: usize,
    reuse: Reuse,
    writers: Writers,
    lanes: Vec<Lane>,
    failures: Vec<ConnectErrorKind>,
    losses: Vec<ReleaseOutcome>,
    shares: Vec<(usize, Rotation)>,
    budget: Budget,
}

const REQUEST: Lane = Lane {
    priority: Priority::Request,
    access: Access::Read,
};
const WRITER: Lane = Lane {
    priority: Priority::Request,
    access: Access::Write,
};
const JOB: Lane = Lane {
    priority: Priority::Background,
    access: Access::Read,
};

#[test]
fn every_reachable_state_of_a_small_pool_keeps_the_rules() {
    explore_all(small());
}

#[test]
#[ignore = "takes minutes; `make verify` runs it"]
fn every_reachable_state_of_a_larger_pool_keeps_the_rules() {
    explore_all(small().into_iter().map(larger).collect());
}

fn small() -> Vec<Scenario> {
    let pooled = |share: usize| Scenario {
        share,
        lanes: vec![REQUEST],
        failures: vec![ConnectErrorKind::Full, ConnectErrorKind::Unreachable],
        budget: Budget {
            callers: 3,
            cancels: 1,
            failures: 2,
            waits: 2,
            ..Budget::default()
        },
        ..Scenario::default()
    };
    vec![
        Scenario {
            name: "pooled",
            ..pooled(1)
        },
        Scenario {
            name: "pooled",
            ..pooled(2)
        },
        Scenario {
            name: "fresh",
            reuse: Reuse::Fresh,
            ..pooled(1)
        },
        Scenario {
            name: "fresh",
            reuse: Reuse::Fresh,
            budget: Budget {
                callers: 3,
                cancels: 1,
                failures: 1,
                waits: 1,
                ..Budget::default()
            },
            ..pooled(2)
        },
        Scenario {
            name: "permanent failure",
            failures: vec![
                ConnectErrorKind::Permanent,
                ConnectErrorKind::Banned(Duration::from_secs(120)),
                ConnectErrorKind::Full,
            ],
            ..pooled(2)
        },
        Scenario {
            name: "waiting at the pooler",
            failures: vec![ConnectErrorKind::Unreachable],
            budget: Budget {
                callers: 2,
                logins: 2,
                failures: 1,
                waits: 4,
                ..Budget::default()
            },
            ..pooled(2)
        },
        Scenario {
            name: "dying connections",
            losses: vec![
                ReleaseOutcome::Dead,
                ReleaseOutcome::Dropped,
                ReleaseOutcome::Closing,
            ],
            failures: vec![ConnectErrorKind::Unreachable],
            budget: Budget {
                callers: 3,
                losses: 2,
                failures: 1,
                waits: 2,
                ..Budget::default()
            },
            ..pooled(2)
        },
        Scenario {
            name: "a share that changes",
            shares: vec![(1, Rotation::Off), (3, Rotation::Off), (1, Rotation::On)],
            failures: vec![ConnectErrorKind::Full],
            budget: Budget {
                callers: 3,
                changes: 2,
                failures: 1,
                waits: 1,
                ..Budget::default()
            },
            ..pooled(2)
        },
        Scenario {
            name: "background work",
            lanes: vec![REQUEST, JOB],
            budget: Budget {
                callers: 3,
                cancels: 1,
                failures: 1,
                waits: 2,
                ..Budget::default()
            },
            ..pooled(2)
        },
        Scenario {
            name: "a listener",
            lanes: vec![REQUEST, JOB],
            failures: vec![ConnectErrorKind::Full],
            shares: vec![(1, Rotation::Off)],
            budget: Budget {
                callers: 2,
                failures: 1,
                losses: 1,
                changes: 1,
                listens: 1,
                waits: 1,
                ..Budget::default()
            },
            ..pooled(2)
        },
        Scenario {
            name: "a single writer",
            writers: Writers::One,
            lanes: vec![REQUEST, WRITER],
            budget: Budget {
                callers: 3,
                cancels: 1,
                failures: 1,
                waits: 2,
                ..Budget::default()
            },
            ..pooled(2)
        },
    ]
}

fn larger(mut scenario: Scenario) -> Scenario {
    scenario.share += 1;
    scenario.budget.callers += 1;
    scenario.budget.waits = scenario.budget.waits.min(1);
    scenario
}

fn explore_all(scenarios: Vec<Scenario>) {
    let mut total = 0;
    for scenario in scenarios {
        let begun = Instant::now();
        match scenario.explore() {
            Ok(states) => {
                total += states;
                let Scenario { name, share, .. } = scenario;
                println!(
                    "{name}, share {share}: {states} states in {:.1?}",
                    begun.elapsed()
                );
            }
            Err(broken) => panic!("{}: {broken}", scenario.name),
        }
    }
    println!("in all: {total} states");
}

impl Scenario {
    fn world(&self) -> World {
        let config = SchedulerConfig {
            pool_size: 1,
            reuse: self.reuse,
            writers: self.writers,
            max_waiting: 2,
            max_lifetime: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(20),
            overflow_linger: Duration::from_secs(5),
            validate_after_idle: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(15),
            grace: Duration::from_secs(3),
            background_timeout: Duration::from_secs(5),
        };
        World::new(config, self.share, 42)
    }

    /// Visits every reachable state, the nearest first, so that a broken rule is reported with a short history.
    fn explore(&self) -> Found<usize> {
        let mut trail = vec![(0, None)];
        let mut seen = HashSet::new();
        let mut front = VecDeque::from([(self.world(), self.budget, 0)]);
        while let Some((world, budget, origin)) = front.pop_front() {
            for (event, budget) in self.events(&world, budget) {
                let mut next = world.clone();
                let outcome = next.apply(event);
                next.forget();
                let new = seen.insert(fingerprint(&next, budget));
                outcome
                    .and_then(|()| if new { ends_well(&next) } else { Ok(()) })
                    .map_err(|broken| {
                        let events = history_of(&trail, origin);
                        format!("{broken}\nafter {events:#?}\nthen {event:?}\n{next:#?}")
                    })?;
                if new {
                    trail.push((origin, Some(event)));
                    front.push_back((next, budget, trail.len() - 1));
                }
            }
        }
        Ok(seen.len())
    }

    /// What may happen next, and the budget after it.
    fn events(&self, world: &World, budget: Budget) -> Vec<(Event, Budget)> {
        let mut events = Vec::new();
        let mut may = |left: usize, event: Event, spend: fn(&mut Budget)| {
            if left > 0 {
                let mut after = budget;
                spend(&mut after);
                events.push((event, after));
            }
        };
        for lane in &self.lanes {
            may(budget.callers, Event::Request(*lane), |left| left.callers -= 1);
        }
        for waiter_id in world.waiting.keys() {
            may(budget.cancels, Event::Cancel(*waiter_id), |left| {
                left.cancels -= 1
            });
        }
        for (slot, held) in &world.held {
            match held {
                Held::Connecting { cancelled: true, .. } => {
                    may(1, Event::Failed(*slot, ConnectErrorKind::Cancelled), |_| {});
                    may(1, Event::Connected(*slot), |_| {});
                }
                Held::Connecting { logged_in, .. } => {
                    may(1, Event::Connected(*slot), |_| {});
                    for failure in &self.failures {
                        may(budget.failures, Event::Failed(*slot, *failure), |left| {
                            left.failures -= 1
                        });
                    }
                    if !logged_in {
                        may(budget.logins, Event::LoggedIn(*slot), |left| left.logins -= 1);
                    }
                }
                Held::Leased { .. } => {
                    may(1, Event::Released(*slot, ReleaseOutcome::Clean), |_| {});
                    for loss in &self.losses {
                        may(budget.losses, Event::Released(*slot, *loss), |left| {
                            left.losses -= 1
                        });
                    }
                }
                Held::Closing => may(1, Event::Closed(*slot), |_| {}),
                Held::ListenerClosing => may(1, Event::ListenerEnded(*slot), |_| {}),
                Held::Listening => may(budget.losses, Event::ListenerEnded(*slot), |left| {
                    left.losses -= 1
                }),
                Held::Idle { .. } => {}
            }
        }
        for (share, rotation) in self.shares.iter().copied() {
            may(budget.changes, Event::Share { share, rotation }, |left| {
                left.changes -= 1
            });
        }
        may(budget.listens, Event::Listen(!world.listens), |left| {
            left.listens -= 1
        });
        may(budget.deferred, Event::Borrow, |left| left.deferred -= 1);
        if let Some(due) = world.next_due() {
            may(budget.waits, Event::Pass(due.saturating_sub(world.now)), |left| {
                left.waits -= 1
            });
        }
        events
    }
}

/// Checks that all callers are answered and all slots become free: at once, when the attempts under way hang
/// until their timeout, and when the pool is closed.
fn ends_well(world: &World) -> Found {
    let mut quick = world.clone();
    quick.recover()?;
    quick.becomes_empty()?;
    let mut slow = world.clone();
    slow.hang_attempts();
    slow.recover()?;
    slow.becomes_empty()?;
    world.clone().drains()
}

fn fingerprint(world: &World, budget: Budget) -> u64 {
    let mut hasher = DefaultHasher::new();
    (world, budget).hash(&mut hasher);
    hasher.finish()
}

/// The events that led to a state.
fn history_of(trail: &[(usize, Option<Event>)], mut place: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while let (origin, Some(event)) = trail[place] {
        events.push(event);
        place = origin;
    }
    events.reverse();
    events
}
