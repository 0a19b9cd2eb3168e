//! Who gets a connection, and when: order, lanes, bounds.

use berth_pool::{AcquireError, ReleaseOutcome, SchedulerConfig};

use crate::helpers::*;
use crate::simulation::{Event, World};

#[test]
fn callers_are_served_in_the_order_in_which_they_came() {
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
fn one_opens_before_the_first_success_and_then_as_many_as_can_be_used() {
    let mut pool = pool(5);
    for _ in 0..7 {
        pool.ask(REQUEST);
    }
    assert_eq!(pool.opening().len(), 1);
    pool.let_happen(Event::Opened(pool.opening()[0]));
    assert_eq!((pool.leased().len(), pool.opening().len()), (1, 4));
    pool.open_all();
    assert_eq!((pool.leased().len(), pool.waiting.len()), (5, 2));
}

#[test]
fn a_caller_that_leaves_wastes_no_opening() {
    let mut pool = pool(5);
    let caller = pool.ask(REQUEST);
    pool.let_happen(Event::Cancel(caller));
    pool.open_all();
    assert_eq!(pool.idle().len(), 1);
    let next = pool.ask(REQUEST);
    assert!(pool.is_granted(next) && pool.opening().is_empty());
}

#[test]
fn a_slot_is_free_only_when_its_connection_is_gone() {
    let mut pool = pool(1);
    let slot = pool.lend(1)[0];
    pool.ask(REQUEST);
    pool.give(slot, ReleaseOutcome::Closing);
    assert!(pool.opening().is_empty());
    let actions = pool.let_happen(Event::Gone(slot));
    assert_eq!(began(&actions).len(), 1);
}

#[test]
fn background_work_leaves_requests_a_slot_but_for_a_share_of_one() {
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
fn background_work_that_waited_for_long_gets_one_turn_before_requests() {
    let mut pool = pool(1);
    let slot = pool.lend(1)[0];
    let jobs = [pool.ask(JOB), pool.ask(JOB)];
    let requests = [pool.ask(REQUEST), pool.ask(REQUEST)];
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(requests[0]), "requests come first");
    pool.wait(config().patience);
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(jobs[0]), "the first job's turn has come");
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(requests[1]), "one turn, not all");
    assert_eq!(pool.answer(jobs[1]), None);
}

#[test]
fn one_writes_at_a_time_and_readers_pass_those_who_wait_to_write() {
    let single_writer = SchedulerConfig {
        single_writer: true,
        ..config()
    };
    let mut pool = World::new(single_writer, 2, 7);
    let slots = pool.keep_idle(2);
    let first = pool.ask(WRITER);
    let (second, third, reader) = (pool.ask(WRITER), pool.ask(WRITER), pool.ask(REQUEST));
    assert!(pool.is_granted(first) && pool.is_granted(reader));
    assert_eq!((pool.answer(second), pool.opening().len()), (None, 0));
    pool.give(slots[1], ReleaseOutcome::Clean);
    assert!(pool.is_granted(second) && pool.answer(third).is_none());
}

#[test]
fn who_comes_when_the_queue_is_full_is_told_at_once() {
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
    assert_eq!(pool.ask_in_vain(REQUEST), AcquireError::Full);
}

#[test]
fn a_queue_full_of_writers_keeps_no_reader_from_an_idle_connection() {
    let config = SchedulerConfig {
        max_waiting: 2,
        single_writer: true,
        ..config()
    };
    let mut pool = World::new(config, 3, 7);
    pool.keep_idle(2);
    for _ in 0..3 {
        pool.ask(WRITER);
    }
    assert_eq!(
        pool.ask_in_vain(WRITER),
        AcquireError::Full,
        "the bound holds beside an idle connection"
    );
    let reader = pool.ask(REQUEST);
    assert!(pool.is_granted(reader));
}

#[test]
fn errands_borrow_only_what_nobody_waits_for() {
    let mut pool = pool(1);
    let slot = pool.keep_idle(1)[0];
    pool.let_happen(Event::Borrow);
    assert_eq!(pool.leased(), [slot]);
    let caller = pool.ask(REQUEST);
    pool.give(slot, ReleaseOutcome::Clean);
    assert!(pool.is_granted(caller));
    pool.ask(REQUEST);
    pool.let_happen(Event::Borrow);
    assert_eq!(pool.leased(), [slot]);
}

#[test]
fn what_became_due_since_the_last_event_is_not_forgotten() {
    let mut pool = pool(1);
    pool.keep_idle(1);
    let due = pool
        .scheduler
        .next_timeout(pool.now)
        .expect("an idle connection has its end");
    let late = due + seconds(1);
    assert_eq!(pool.scheduler.next_timeout(late), Some(late));
}
