//! Which connections stay, and why the others are closed.

use berth_pool::{AcquireError, Action, CloseReason, ReleaseOutcome, SchedulerConfig};

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
fn overflow_that_opened_after_its_caller_left_lingers_like_any_other() {
    let mut pool = pool(5);
    pool.lend(3);
    let callers = [pool.ask(REQUEST), pool.ask(REQUEST)];
    callers
        .into_iter()
        .for_each(|caller| drop(pool.let_happen(Event::Cancel(caller))));
    pool.open_all();
    assert_eq!(pool.idle().len(), 2);
    pool.wait(seconds(5));
    assert_eq!(pool.idle().len(), 0);
}

#[test]
fn a_connection_that_somebody_waits_for_is_lent_even_where_overflow_does_not_linger() {
    let config = SchedulerConfig {
        pool_size: 1,
        linger: seconds(0),
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
fn a_connection_is_replaced_at_its_age_on_return_or_while_idle() {
    let config = SchedulerConfig {
        idle: seconds(10_000),
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
fn what_lay_idle_for_long_is_checked_before_use() {
    let mut pool = pool(1);
    let slot = pool.keep_idle(1)[0];
    let check = |pool: &mut World| {
        pool.ask(REQUEST);
        let actions = pool.latest.clone();
        pool.give(slot, ReleaseOutcome::Clean);
        matches!(actions[..], [Action::Grant { check: true, .. }])
    };
    pool.wait(seconds(30));
    assert!(!check(&mut pool));
    pool.wait(millis(30_001));
    assert!(check(&mut pool));
}

#[test]
fn one_found_dead_makes_those_suspect_that_lay_idle_since_before() {
    let mut pool = pool(4);
    let slots = pool.lend(4);
    pool.give(slots[0], ReleaseOutcome::Clean);
    pool.wait(millis(1));
    pool.give(slots[1], ReleaseOutcome::Clean);
    let actions = pool.give(slots[2], ReleaseOutcome::Dead);
    let suspect = Action::Close {
        slot: slots[0],
        polite: false,
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
            fresh: true,
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
fn fresh_keeps_an_opening_that_nobody_took_for_a_moment_only() {
    let mut pool = World::new(
        SchedulerConfig {
            fresh: true,
            ..config()
        },
        2,
        7,
    );
    let caller = pool.ask(REQUEST);
    pool.let_happen(Event::Cancel(caller));
    pool.open_all();
    pool.wait(seconds(5));
    assert!(pool.idle().is_empty());
}

#[test]
fn who_yields_closes_what_is_idle_and_each_connection_after_its_turn() {
    let mut pool = pool(2);
    let slots = pool.lend(2);
    pool.give(slots[0], ReleaseOutcome::Clean);
    let actions = pool.let_happen(Event::Share {
        share: 2,
        rotating: true,
    });
    assert_eq!(closed(&actions), [(slots[0], CloseReason::Rotated)]);
    pool.ask(REQUEST);
    let actions = pool.give(slots[1], ReleaseOutcome::Clean);
    assert_eq!(closed(&actions), [(slots[1], CloseReason::Rotated)]);
}

#[test]
fn a_share_that_shrinks_closes_what_is_idle_now_and_what_is_leased_on_return() {
    let mut pool = pool(4);
    let slots = pool.lend(4);
    pool.give(slots[0], ReleaseOutcome::Clean);
    let actions = pool.let_happen(Event::Share {
        share: 2,
        rotating: false,
    });
    assert_eq!(closed(&actions), [(slots[0], CloseReason::OverShare)]);
    let caller = pool.ask(REQUEST);
    let actions = pool.give(slots[1], ReleaseOutcome::Clean);
    assert_eq!(closed(&actions), [(slots[1], CloseReason::OverShare)]);
    pool.close_all();
    assert!(pool.opening().is_empty(), "nothing opens while the share is full");
    pool.give(slots[2], ReleaseOutcome::Clean);
    assert!(pool.is_granted(caller), "what fits goes on");
}

#[test]
fn closing_the_pool_sends_waiters_away_and_closes_what_comes_back() {
    let mut pool = pool(3);
    let slots = pool.lend(2);
    pool.give(slots[0], ReleaseOutcome::Clean);
    let caller = pool.ask(JOB);
    let waiting = [pool.ask(JOB), pool.ask(REQUEST)];
    assert!(pool.is_granted(caller) && pool.opening().len() == 1);
    let opening = pool.opening()[0];
    let actions = pool.let_happen(Event::Drain);
    let away = Some(Answer::Denied(AcquireError::Draining));
    assert_eq!(waiting.map(|waiter_id| pool.answer(waiter_id)), [away; 2]);
    assert_eq!(
        cancelled(&actions),
        [opening],
        "a hanging opening does not hold the close up"
    );
    for slot in slots {
        let actions = pool.give(slot, ReleaseOutcome::Clean);
        assert_eq!(closed(&actions), [(slot, CloseReason::Draining)]);
    }
    assert_eq!(pool.ask_in_vain(REQUEST), AcquireError::Draining);
}

#[test]
fn an_opening_that_succeeds_while_the_pool_closes_is_closed() {
    let mut pool = pool(1);
    pool.ask(REQUEST);
    let slot = pool.opening()[0];
    pool.let_happen(Event::Drain);
    let actions = pool.let_happen(Event::Opened(slot));
    assert_eq!(closed(&actions), [(slot, CloseReason::Draining)]);
    pool.close_all();
    assert!(pool.scheduler.is_empty());
}
