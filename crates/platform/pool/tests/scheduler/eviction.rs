//! Which connections stay, and why the others are closed.

use berth_pool::{
    AcquireError, Action, CloseMode, CloseReason, ReleaseOutcome, Reuse, Rotation, SchedulerConfig,
    Validation,
};

use crate::helpers::*;
use crate::simulation::{Answer, Event, World};

#[test]
fn pool_size_is_kept_and_overflow_lingers() {
    let mut pool = pool(5);
    pool.keep_idle(5);
    assert!(closed(&pool.wait(millis(4_999))).is_empty());
    let reasons: Vec<_> = closed(&pool.wait(millis(1)))
        .into_iter()
        .map(|(_, why)| why)
        .collect();
    assert_eq!(reasons, [CloseReason::Idle; 2]);
    assert_eq!(pool.idle().len(), 3);
    pool.wait(seconds(230));
    assert_eq!(pool.idle().len(), 3, "kept until unused for long");
    pool.wait(seconds(5));
    assert_eq!(pool.idle().len(), 0);
}

#[test]
fn overflow_that_connects_after_its_caller_left_lingers_like_any_other() {
    let mut pool = pool(5);
    pool.lend(3);
    let callers = [pool.ask(REQUEST), pool.ask(REQUEST)];
    callers
        .into_iter()
        .for_each(|caller| drop(pool.event(Event::Cancel(caller))));
    pool.open_all();
    assert_eq!(pool.idle().len(), 2);
    pool.wait(seconds(5));
    assert_eq!(pool.idle().len(), 0);
}

#[test]
fn a_connection_that_a_caller_waits_for_is_leased_even_without_overflow_linger() {
    let config = SchedulerConfig {
        pool_size: 1,
        overflow_linger: seconds(0),
        ..config()
    };
    let mut pool = World::new(config, 2, 7);
    let slots = pool.lend(2);
    let caller = pool.ask(REQUEST);
    pool.give(slots[0], ReleaseOutcome::Clean);
    assert!(pool.is_granted(caller));
    let actions = pool.give(slots[0], ReleaseOutcome::Clean);
    assert_eq!(closed(&actions), [(slots[0], CloseReason::Idle)]);
}

#[test]
fn a_connection_expires_on_release_or_while_idle() {
    let config = SchedulerConfig {
        idle_timeout: seconds(10_000),
        ..config()
    };
    let mut pool = World::new(config, 2, 7);
    let slots = pool.lend(2);
    pool.give(slots[0], ReleaseOutcome::Clean);
    let actions = pool.wait(seconds(1800));
    assert_eq!(closed(&actions), [(slots[0], CloseReason::Expired)]);
    let actions = pool.give(slots[1], ReleaseOutcome::Clean);
    assert_eq!(closed(&actions), [(slots[1], CloseReason::Expired)]);
}

#[test]
fn a_connection_that_was_idle_for_long_is_validated_before_use() {
    let mut pool = pool(1);
    let slot = pool.keep_idle(1)[0];
    let check = |pool: &mut World| {
        pool.ask(REQUEST);
        let actions = pool.latest.clone();
        pool.give(slot, ReleaseOutcome::Clean);
        matches!(
            actions[..],
            [Action::Grant {
                validation: Validation::Required,
                ..
            }]
        )
    };
    pool.wait(seconds(30));
    assert!(!check(&mut pool));
    pool.wait(millis(30_001));
    assert!(check(&mut pool));
}

#[test]
fn a_dead_connection_makes_those_suspect_that_were_idle_before() {
    let mut pool = pool(4);
    let slots = pool.lend(4);
    pool.give(slots[0], ReleaseOutcome::Clean);
    pool.wait(millis(1));
    pool.give(slots[1], ReleaseOutcome::Clean);
    let actions = pool.give(slots[2], ReleaseOutcome::Dead);
    let suspect = Action::Close {
        slot: slots[0],
        mode: CloseMode::Abrupt,
        why: CloseReason::Suspect,
    };
    assert_eq!(actions, [suspect]);
    assert_eq!(
        pool.idle(),
        [slots[1]],
        "returned this moment, it is not older than the finding"
    );
}

#[test]
fn fresh_closes_each_connection_after_its_lease() {
    let mut pool = World::new(
        SchedulerConfig {
            reuse: Reuse::Fresh,
            ..config()
        },
        2,
        7,
    );
    let slot = pool.lend(1)[0];
    pool.ask(REQUEST);
    let actions = pool.give(slot, ReleaseOutcome::Clean);
    assert_eq!(closed(&actions), [(slot, CloseReason::Rotated)]);
}

#[test]
fn fresh_keeps_an_unclaimed_connection_for_the_linger_only() {
    let mut pool = World::new(
        SchedulerConfig {
            reuse: Reuse::Fresh,
            ..config()
        },
        2,
        7,
    );
    let caller = pool.ask(REQUEST);
    pool.event(Event::Cancel(caller));
    pool.open_all();
    pool.wait(seconds(5));
    assert!(pool.idle().is_empty());
}

#[test]
fn rotation_closes_idle_connections_and_each_one_after_its_lease() {
    let mut pool = pool(2);
    let slots = pool.lend(2);
    pool.give(slots[0], ReleaseOutcome::Clean);
    let actions = pool.event(Event::Share {
        share: 2,
        rotation: Rotation::On,
    });
    assert_eq!(closed(&actions), [(slots[0], CloseReason::Rotated)]);
    pool.ask(REQUEST);
    let actions = pool.give(slots[1], ReleaseOutcome::Clean);
    assert_eq!(closed(&actions), [(slots[1], CloseReason::Rotated)]);
}

#[test]
fn a_share_that_shrinks_closes_idle_connections_now_and_leased_ones_on_release() {
    let mut pool = pool(4);
    let slots = pool.lend(4);
    pool.give(slots[0], ReleaseOutcome::Clean);
    let actions = pool.event(Event::Share {
        share: 2,
        rotation: Rotation::Off,
    });
    assert_eq!(closed(&actions), [(slots[0], CloseReason::OverShare)]);
    let caller = pool.ask(REQUEST);
    let actions = pool.give(slots[1], ReleaseOutcome::Clean);
    assert_eq!(closed(&actions), [(slots[1], CloseReason::OverShare)]);
    pool.close_all();
    assert!(
        pool.connecting().is_empty(),
        "nothing opens while the share is full"
    );
    pool.give(slots[2], ReleaseOutcome::Clean);
    assert!(pool.is_granted(caller), "what fits goes on");
}

#[test]
fn closing_the_pool_denies_waiters_and_closes_released_connections() {
    let mut pool = pool(3);
    let slots = pool.lend(2);
    pool.give(slots[0], ReleaseOutcome::Clean);
    let caller = pool.ask(JOB);
    let waiting = [pool.ask(JOB), pool.ask(REQUEST)];
    assert!(pool.is_granted(caller) && pool.connecting().len() == 1);
    let attempt = pool.connecting()[0];
    let actions = pool.event(Event::Drain);
    let away = Some(Answer::Denied(AcquireError::Draining));
    assert_eq!(waiting.map(|waiter_id| pool.answer(waiter_id)), [away; 2]);
    assert_eq!(
        cancelled(&actions),
        [attempt],
        "a hanging attempt does not hold the close up"
    );
    for slot in slots {
        let actions = pool.give(slot, ReleaseOutcome::Clean);
        assert_eq!(closed(&actions), [(slot, CloseReason::Draining)]);
    }
    assert_eq!(pool.ask_denied(REQUEST), AcquireError::Draining);
}

#[test]
fn a_connection_that_connects_while_the_pool_closes_is_closed() {
    let mut pool = pool(1);
    pool.ask(REQUEST);
    let slot = pool.connecting()[0];
    pool.event(Event::Drain);
    let actions = pool.event(Event::Connected(slot));
    assert_eq!(closed(&actions), [(slot, CloseReason::Draining)]);
    pool.close_all();
    assert!(pool.scheduler.is_empty());
}
