//! Who gets a connection, and when: order, lanes, bounds.

use berth_pool::{AcquireError, ReleaseOutcome, SchedulerConfig, Writers};

use crate::helpers::*;
use crate::simulation::{Event, World};

#[test]
fn callers_are_served_in_order_of_arrival() {
    let mut pool = pool(1);
    let slot = pool.lend(1)[0];
    let callers = [pool.ask(REQUEST), pool.ask(REQUEST), pool.ask(REQUEST)];
    for caller in callers {
        assert_eq!(pool.answer(caller), None);
        pool.give(slot, ReleaseOutcome::Clean);
        assert!(pool.is_granted(caller));
    }
}

#[test]
fn attempts_are_single_before_the_first_success_and_concurrent_afterwards() {
    let mut pool = pool(5);
    for _ in 0..7 {
        pool.ask(REQUEST);
    }
    assert_eq!(pool.connecting().len(), 1);
    pool.event(Event::Connected(pool.connecting()[0]));
    assert_eq!((pool.leased().len(), pool.connecting().len()), (1, 4));
    pool.open_all();
    assert_eq!((pool.leased().len(), pool.waiting.len()), (5, 2));
}

#[test]
fn a_caller_that_leaves_wastes_no_connection_attempt() {
    let mut pool = pool(5);
    let caller = pool.ask(REQUEST);
    pool.event(Event::Cancel(caller));
    pool.open_all();
    assert_eq!(pool.idle().len(), 1);
    let next = pool.ask(REQUEST);
    assert!(pool.is_granted(next) && pool.connecting().is_empty());
}

#[test]
fn a_slot_is_free_only_when_its_connection_is_closed() {
    let mut pool = pool(1);
    let slot = pool.lend(1)[0];
    pool.ask(REQUEST);
    pool.give(slot, ReleaseOutcome::Closing);
    assert!(pool.connecting().is_empty());
    let actions = pool.event(Event::Closed(slot));
    assert_eq!(began(&actions).len(), 1);
}

#[test]
fn background_work_leaves_requests_a_slot_unless_the_share_is_one() {
    let mut shared = pool(3);
    shared
        .lend(3)
        .into_iter()
        .for_each(|slot| drop(shared.give(slot, ReleaseOutcome::Clean)));
    let jobs = [JOB; 3].map(|job| shared.ask(job));
    assert_eq!(jobs.map(|job| shared.is_granted(job)), [true, true, false]);
    let request = shared.ask(REQUEST);
    assert!(shared.is_granted(request));

    let mut single = pool(1);
    single.ask(JOB);
    single.open_all();
    assert_eq!(single.leased().len(), 1);
}

#[test]
fn background_work_past_its_timeout_is_served_once_before_requests() {
    let mut pool = pool(1);
    let slot = pool.lend(1)[0];
    let jobs = [pool.ask(JOB), pool.ask(JOB)];
    let requests = [pool.ask(REQUEST), pool.ask(REQUEST)];
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(requests[0]), "requests come first");
    pool.wait(config().background_timeout);
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(jobs[0]), "the first job's turn has come");
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(requests[1]), "one turn, not all");
    assert_eq!(pool.answer(jobs[1]), None);
}

#[test]
fn one_writer_at_a_time_and_readers_overtake_waiting_writers() {
    let single_writer = SchedulerConfig {
        writers: Writers::One,
        ..config()
    };
    let mut pool = World::new(single_writer, 2, 7);
    let slots = pool.keep_idle(2);
    let first = pool.ask(WRITER);
    let (second, third, reader) = (pool.ask(WRITER), pool.ask(WRITER), pool.ask(REQUEST));
    assert!(pool.is_granted(first) && pool.is_granted(reader));
    assert_eq!((pool.answer(second), pool.connecting().len()), (None, 0));
    pool.give(slots[1], ReleaseOutcome::Clean);
    assert!(pool.is_granted(second) && pool.answer(third).is_none());
}

#[test]
fn a_caller_is_denied_at_once_when_the_queue_is_full() {
    let mut pool = World::new(
        SchedulerConfig {
            max_waiting: 2,
            ..config()
        },
        1,
        7,
    );
    pool.lend(1);
    pool.ask(REQUEST);
    pool.ask(REQUEST);
    assert_eq!(pool.ask_denied(REQUEST), AcquireError::Full);
}

#[test]
fn a_queue_full_of_writers_does_not_keep_a_reader_from_an_idle_connection() {
    let config = SchedulerConfig {
        max_waiting: 2,
        writers: Writers::One,
        ..config()
    };
    let mut pool = World::new(config, 3, 7);
    pool.keep_idle(2);
    for _ in 0..3 {
        pool.ask(WRITER);
    }
    assert_eq!(
        pool.ask_denied(WRITER),
        AcquireError::Full,
        "the bound holds beside an idle connection"
    );
    let reader = pool.ask(REQUEST);
    assert!(pool.is_granted(reader));
}

#[test]
fn maintenance_borrows_only_connections_that_no_caller_waits_for() {
    let mut pool = pool(1);
    let slot = pool.keep_idle(1)[0];
    pool.event(Event::Borrow);
    assert_eq!(pool.leased(), [slot]);
    let caller = pool.ask(REQUEST);
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(caller));
    pool.ask(REQUEST);
    pool.event(Event::Borrow);
    assert_eq!(pool.leased(), [slot]);
}

#[test]
fn a_timeout_that_passed_since_the_last_event_is_not_forgotten() {
    let mut pool = pool(1);
    pool.keep_idle(1);
    let due = pool
        .scheduler
        .next_timeout(pool.now)
        .expect("an idle connection has its end");
    let late = due + seconds(1);
    assert_eq!(pool.scheduler.next_timeout(late), Some(late));
}

#[test]
fn a_caller_that_was_served_before_keeps_its_place_in_the_queue() {
    let mut pool = pool(1);
    let first = pool.ask(REQUEST);
    pool.open_all();
    let later = pool.ask(REQUEST);
    let latest = pool.ask(REQUEST);
    let slot = pool.leased()[0];
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(later));
    pool.event(Event::RequestAgain(REQUEST, first));
    assert_eq!(pool.answer(first), None);
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(first), "before the caller that arrived later");
    assert!(!pool.is_granted(latest));
}

#[test]
fn a_caller_that_was_served_before_is_not_denied_by_a_full_queue() {
    let mut pool = World::new(
        SchedulerConfig {
            max_waiting: 1,
            ..config()
        },
        1,
        7,
    );
    let first = pool.ask(REQUEST);
    pool.open_all();
    pool.ask(REQUEST);
    assert_eq!(pool.ask_denied(REQUEST), AcquireError::Full);
    pool.event(Event::RequestAgain(REQUEST, first));
    assert_eq!(pool.rejected, None);
}
