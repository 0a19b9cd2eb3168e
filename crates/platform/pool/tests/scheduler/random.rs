//! Random histories, shrunk to the shortest that breaks a rule.

use std::time::Duration;

use berth_pool::{
    Access, ConnectErrorKind, Lane, Outage, Priority, ReleaseOutcome, Reuse, Rotation, SchedulerConfig,
    Writers,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseError;

use crate::simulation::{Answer, Event, Found, Held, World};

/// An event whose slot or caller is chosen from those that exist when it happens.
#[derive(Clone, Debug)]
enum Step {
    Request(Lane),
    RequestAgain(Lane, Index),
    Cancel(Index),
    LoggedIn(Index),
    Connected(Index),
    Failed(Index, ConnectErrorKind),
    Released(Index, ReleaseOutcome),
    Closed(Index),
    Listen(bool),
    ListenerEnded(Index),
    Share { share: usize, rotation: Rotation },
    Borrow,
    Pass(Duration),
}

impl Step {
    fn event(&self, world: &World) -> Option<Event> {
        let attempt = |held: &Held| matches!(held, Held::Connecting { .. });
        let leased = |held: &Held| matches!(held, Held::Leased { .. });
        let closing = |held: &Held| matches!(held, Held::Closing);
        let listener = |held: &Held| matches!(held, Held::Listening | Held::ListenerClosing);
        let slot = |index: &Index, are: fn(&Held) -> bool| {
            let slots: Vec<_> = world.slots(are).collect();
            (!slots.is_empty()).then(|| *index.get(&slots))
        };
        Some(match self {
            Self::Request(lane) => Event::Request(*lane),
            Self::RequestAgain(lane, index) => {
                let served = world
                    .answers
                    .iter()
                    .filter(|(_, answer)| **answer == Answer::Grant);
                let served: Vec<_> = served.map(|(waiter_id, _)| *waiter_id).collect();
                (!served.is_empty()).then(|| Event::RequestAgain(*lane, *index.get(&served)))?
            }
            Self::Cancel(index) => {
                let waiter_ids: Vec<_> = world.waiting.keys().copied().collect();
                (!waiter_ids.is_empty()).then(|| Event::Cancel(*index.get(&waiter_ids)))?
            }
            Self::LoggedIn(index) => Event::LoggedIn(slot(index, attempt)?),
            Self::Connected(index) => Event::Connected(slot(index, attempt)?),
            Self::Failed(index, failure) => Event::Failed(slot(index, attempt)?, *failure),
            Self::Released(index, how) => Event::Released(slot(index, leased)?, *how),
            Self::Closed(index) => Event::Closed(slot(index, closing)?),
            Self::Listen(wanted) => Event::Listen(*wanted),
            Self::ListenerEnded(index) => Event::ListenerEnded(slot(index, listener)?),
            Self::Share { share, rotation } => Event::Share {
                share: *share,
                rotation: *rotation,
            },
            Self::Borrow => Event::Borrow,
            Self::Pass(time) => Event::Pass(*time),
        })
    }
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        8 => lane().prop_map(Step::Request),
        2 => (lane(), index()).prop_map(|(lane, index)| Step::RequestAgain(lane, index)),
        2 => index().prop_map(Step::Cancel),
        1 => index().prop_map(Step::LoggedIn),
        5 => index().prop_map(Step::Connected),
        3 => (index(), failure()).prop_map(|(index, failure)| Step::Failed(index, failure)),
        6 => (index(), how()).prop_map(|(index, how)| Step::Released(index, how)),
        4 => index().prop_map(Step::Closed),
        2 => prop::bool::weighted(0.8).prop_map(Step::Listen),
        3 => index().prop_map(Step::ListenerEnded),
        1 => (1_usize..=6, weighted(0.2, Rotation::On))
            .prop_map(|(share, rotation)| Step::Share { share, rotation }),
        1 => Just(Step::Borrow),
        5 => time().prop_map(Step::Pass),
    ]
}

fn lane() -> impl Strategy<Value = Lane> {
    (prop::bool::weighted(0.3), any::<bool>()).prop_map(|(background, writes)| Lane {
        priority: if background {
            Priority::Background
        } else {
            Priority::Request
        },
        access: if writes { Access::Write } else { Access::Read },
    })
}

fn failure() -> impl Strategy<Value = ConnectErrorKind> {
    prop_oneof![
        6 => Just(ConnectErrorKind::Full),
        6 => Just(ConnectErrorKind::Unreachable),
        1 => Just(ConnectErrorKind::Permanent),
        1 => Just(ConnectErrorKind::Banned(Duration::from_secs(120))),
        1 => Just(ConnectErrorKind::Cancelled),
    ]
}

fn how() -> impl Strategy<Value = ReleaseOutcome> {
    prop_oneof![
        6 => Just(ReleaseOutcome::Clean),
        1 => Just(ReleaseOutcome::Dropped),
        1 => Just(ReleaseOutcome::Dead),
        2 => Just(ReleaseOutcome::Closing),
    ]
}

/// From below the shortest backoff to beyond the max lifetime, each order of magnitude equally likely.
fn time() -> impl Strategy<Value = Duration> {
    (0_u32..6, 1_u64..10).prop_map(|(magnitude, times)| Duration::from_millis(times * 10_u64.pow(magnitude)))
}

/// A value's default, or `other` with a probability.
fn weighted<T: Clone + std::fmt::Debug + Default>(probability: f64, other: T) -> impl Strategy<Value = T> {
    prop::bool::weighted(probability).prop_map(move |yes| if yes { other.clone() } else { T::default() })
}

fn config() -> impl Strategy<Value = SchedulerConfig> {
    let flags = (weighted(0.2, Reuse::Fresh), weighted(0.3, Writers::One));
    let linger = prop::sample::select(vec![0, 5]);
    (flags, 1_usize..4, 1_usize..8, linger).prop_map(|((reuse, writers), pool_size, max_waiting, linger)| {
        SchedulerConfig {
            pool_size,
            reuse,
            writers,
            max_waiting,
            max_lifetime: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(20),
            overflow_linger: Duration::from_secs(linger),
            validate_after_idle: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(15),
            grace: Duration::from_secs(3),
            background_timeout: Duration::from_secs(5),
        }
    })
}

/// A pool's config, share and seed, and what happens to it.
type History = ((SchedulerConfig, usize, u64), Vec<Step>);

fn history() -> impl Strategy<Value = History> {
    let pool = (config(), 1_usize..=5, any::<u64>());
    (pool, prop::collection::vec(step(), 1..120))
}

fn live(history: History, end: impl Fn(&mut World) -> Found) -> Result<(), TestCaseError> {
    let ((config, share, seed), steps) = history;
    let mut world = World::new(config, share, seed);
    let mut events = Vec::new();
    let mut broken = Ok(());
    for step in steps {
        let Some(event) = step.event(&world) else { continue };
        events.push((world.now, event));
        broken = world.apply(event);
        if broken.is_err() {
            break;
        }
    }
    broken.and_then(|()| end(&mut world)).map_err(|broken| {
        TestCaseError::fail(format!(
            "{broken}\nat {:?}, after {events:#?}\n{world:#?}",
            world.now
        ))
    })
}

/// The longest time until a recovered server is used: to the end of a ban, to the timeout of an attempt that has
/// logged in, or until one that has not is cancelled.
fn recovery_time(world: &World) -> Duration {
    let logged_in = |held: &Held| matches!(held, Held::Connecting { logged_in: true, .. });
    let hangs = match world.slots(logged_in).next() {
        Some(_) => world.config.connect_timeout + Duration::from_secs(1),
        None => Duration::from_secs(7),
    };
    match world.scheduler.breaker().denies(world.now) {
        Some(Outage::Permanent | Outage::Banned) => Duration::from_secs(150) + hangs,
        _ => hangs,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_a_healthy_server_serves_all_and_slots_become_free(history in history()) {
        live(history, |world| {
            world.recover()?;
            world.new_caller_is_served(recovery_time(world))?;
            world.becomes_empty()
        })?;
    }

    #[test]
    fn hanging_attempts_are_outlived_once_new_ones_succeed(history in history()) {
        live(history, |world| {
            let within = recovery_time(world);
            world.hang_attempts();
            let healed = world.now;
            world.recover()?;
            let spent = world.now - healed;
            world.new_caller_is_served(within.saturating_sub(spent))?;
            world.becomes_empty()
        })?;
    }

    #[test]
    fn after_any_history_closing_the_pool_leaves_no_connection(history in history()) {
        live(history, World::drains)?;
    }
}
