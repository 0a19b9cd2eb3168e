//! The listener: when it begins, and for whom it ends.

use berth_pool::{Action, CloseReason, ConnectErrorKind, ReleaseOutcome, Rotation, SlotId};

use crate::helpers::{JOB, REQUEST, closed, millis, pool, seconds};
use crate::simulation::{Event, World};

impl World {
    fn listen(&mut self) -> Option<SlotId> {
        let actions = self.event(Event::Listen(true));
        opened(&actions)
    }
}

fn opened(actions: &[Action]) -> Option<SlotId> {
    actions.iter().find_map(|action| match action {
        Action::OpenListener { slot } => Some(*slot),
        _ => None,
    })
}

fn ended(actions: &[Action]) -> bool {
    let mut actions = actions.iter();
    actions.any(|action| matches!(action, Action::CloseListener { .. }))
}

#[test]
fn a_listener_takes_a_free_slot_and_counts() {
    let mut pool = pool(3);
    pool.listen().expect("a listener");
    assert_eq!(pool.scheduler.slot_counts().listening, 1);
    assert_eq!(pool.lend(2).len(), 2);
    assert_eq!(pool.scheduler.slot_counts().total(), 3);
}

#[test]
fn a_request_that_no_other_slot_serves_gets_the_listeners() {
    let mut pool = pool(2);
    let listener = pool.listen().expect("a listener");
    let first = pool.lend(1)[0];
    let waits = pool.ask(REQUEST);
    assert!(ended(&pool.latest), "{:?}", pool.latest);
    assert!(
        pool.connecting().is_empty(),
        "its slot is occupied until it has ended"
    );
    pool.event(Event::ListenerEnded(listener));
    pool.open_all();
    assert!(pool.is_granted(waits));
    let second = pool.leased()[1];

    pool.wait(seconds(20));
    assert_eq!(pool.scheduler.slot_counts().listening, 0, "the share is in use");
    pool.give(first, ReleaseOutcome::Clean);
    let actions = pool.give(second, ReleaseOutcome::Clean);
    let closes = closed(&actions);
    assert_eq!(
        closes,
        [(first, CloseReason::Listener)],
        "one of two idle connections makes room"
    );
    let actions = pool.event(Event::Closed(first));
    assert!(opened(&actions).is_some());
}

#[test]
fn a_request_with_an_idle_connection_or_a_free_slot_leaves_the_listener() {
    let mut pool = pool(3);
    pool.listen().expect("a listener");
    let lent = pool.lend(1)[0];
    pool.ask(REQUEST);
    assert!(!ended(&pool.latest), "an attempt serves it");
    pool.open_all();
    pool.give(lent, ReleaseOutcome::Clean);
    pool.ask(REQUEST);
    assert!(!ended(&pool.latest), "an idle connection serves it");
}

#[test]
fn background_work_gets_a_connection_beside_the_listener_and_does_not_end_it() {
    let mut pool = pool(2);
    pool.listen().expect("a listener");
    let first = pool.ask(JOB);
    pool.open_all();
    assert!(pool.is_granted(first));
    let second = pool.ask(JOB);
    assert!(!pool.is_granted(second));
    assert_eq!(pool.scheduler.slot_counts().listening, 1);
}

#[test]
fn a_listener_begins_again_after_a_pause_that_grows() {
    let mut pool = pool(2);
    let mut listener = pool.listen().expect("a listener");
    for pause in [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
        pool.event(Event::ListenerEnded(listener));
        assert_eq!(opened(&pool.wait(millis(pause - 1))), None);
        listener = opened(&pool.wait(millis(1))).expect("the next one");
    }
    pool.wait(seconds(11));
    pool.event(Event::ListenerEnded(listener));
    assert!(opened(&pool.wait(millis(250))).is_some(), "one that lasted");
}

#[test]
fn a_share_of_one_rotation_and_a_full_server_leave_no_room() {
    let mut one = pool(1);
    assert_eq!(one.listen(), None);
    assert!(!one.scheduler.may_listen());

    let mut shrinks = pool(2);
    shrinks.listen().expect("a listener");
    let actions = shrinks.event(Event::Share {
        share: 1,
        rotation: Rotation::Off,
    });
    assert!(ended(&actions));

    let mut full = pool(3);
    full.ask(REQUEST);
    let attempt = full.connecting()[0];
    full.fail(attempt, ConnectErrorKind::Full);
    assert_eq!(full.listen(), None);
}

#[test]
fn a_refused_request_gets_the_listeners_place_at_the_server() {
    let mut pool = pool(3);
    pool.listen().expect("a listener");
    pool.ask(REQUEST);
    let attempt = pool.connecting()[0];
    let actions = pool.fail(attempt, ConnectErrorKind::Full);
    assert!(ended(&actions), "the limit is lower than the share says");
}

#[test]
fn a_listener_ends_when_it_is_dismissed_and_when_the_pool_closes() {
    let mut dismissed = pool(2);
    dismissed.listen().expect("a listener");
    assert!(ended(&dismissed.event(Event::Listen(false))));
    let mut closing = pool(2);
    let listener = closing.listen().expect("a listener");
    assert!(ended(&closing.event(Event::Drain)));
    assert!(!closing.scheduler.is_empty());
    closing.event(Event::ListenerEnded(listener));
    assert!(closing.scheduler.is_empty());
}
