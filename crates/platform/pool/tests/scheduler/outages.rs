//! What the scheduler does when attempts fail: backoff, failing fast, recovery.

use std::time::Duration;

use berth_pool::Outage;
use berth_pool::{AcquireError, ConnectErrorKind, ReleaseOutcome, SchedulerConfig, SlotId, Timestamp};

use crate::helpers::*;
use crate::simulation::{Answer, Event, World};

/// Fails each attempt for a time, at once or (without a `failure`) at its timeout; returns when each began.
#[track_caller]
fn fail_all(pool: &mut World, failure: Option<ConnectErrorKind>, time: Duration) -> Vec<Timestamp> {
    let end = pool.now + time;
    let mut began_at = Vec::new();
    let mut known = pool.connecting().last().copied();
    loop {
        let fresh: Vec<SlotId> = pool
            .connecting()
            .into_iter()
            .filter(|slot| Some(*slot) > known)
            .collect();
        known = fresh.last().copied().or(known);
        began_at.extend(fresh.iter().map(|_| pool.now));
        if let Some(failure) = failure {
            for slot in pool.connecting() {
                pool.fail(slot, failure);
            }
        }
        let leaving: Vec<_> = pool.slots(|held| held.is_cancelled()).collect();
        for slot in leaving {
            pool.fail(slot, ConnectErrorKind::Cancelled);
        }
        let opened = pool.connecting().last().copied() > known;
        match pool.next_due().filter(|due| *due <= end) {
            _ if opened => {}
            Some(due) => drop(pool.wait(due - pool.now)),
            None => break,
        }
    }
    pool.wait(end - pool.now);
    began_at
}

/// Refuses all attempts but the oldest, which hangs; returns how many.
#[track_caller]
fn fail_newest(pool: &mut World, time: Duration) -> usize {
    let (end, mut refused) = (pool.now + time, 0);
    while pool.now < end {
        for slot in pool.connecting().into_iter().skip(1) {
            pool.fail(slot, ConnectErrorKind::Full);
            refused += 1;
        }
        pool.wait(millis(10));
    }
    refused
}

fn gaps(moments: &[Timestamp]) -> Vec<Duration> {
    moments.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A pool that has connected once and leases that connection.
fn seasoned(share: usize) -> (World, SlotId) {
    let mut pool = pool(share);
    let slot = pool.lend(1)[0];
    (pool, slot)
}

#[test]
fn refusals_back_off_from_5_to_250_milliseconds_with_one_attempt_at_a_time() {
    let mut pool = pool(5);
    let callers = [REQUEST; 4].map(|request| pool.ask(request));
    let attempts = fail_all(&mut pool, Some(ConnectErrorKind::Full), seconds(3));
    for (times, gap) in gaps(&attempts).into_iter().enumerate() {
        let full = millis(10 << times.min(10)).min(millis(250));
        assert!(
            gap >= full / 2 && gap <= full,
            "after {} refusals: {gap:?}",
            times + 2
        );
    }
    assert!(attempts.len() > 12, "{attempts:?}");
    assert_eq!(
        callers.map(|caller| pool.answer(caller)),
        [None; 4],
        "no caller loses a place"
    );
}

#[test]
fn a_success_ends_the_backoff_and_concurrent_attempts_grow_by_one() {
    let mut pool = pool(8);
    for _ in 0..8 {
        pool.ask(REQUEST);
    }
    fail_all(&mut pool, Some(ConnectErrorKind::Full), seconds(1));
    pool.wait(millis(250));
    for expected in [1, 2, 3] {
        assert_eq!(pool.connecting().len(), expected);
        pool.event(Event::Connected(pool.connecting()[0]));
    }
}

#[test]
fn closing_a_connection_makes_the_next_attempt_due() {
    let (mut pool, slot) = seasoned(2);
    pool.ask(REQUEST);
    fail_all(&mut pool, Some(ConnectErrorKind::Full), seconds(1));
    assert!(pool.connecting().is_empty());
    let actions = pool.give(slot, ReleaseOutcome::Dropped);
    assert_eq!(began(&actions).len(), 1);
}

#[test]
fn closed_slots_cool_down_once_a_close_was_followed_by_a_refusal() {
    let (mut pool, slot) = seasoned(1);
    pool.ask(REQUEST);
    pool.give(slot, ReleaseOutcome::Dropped);
    assert_eq!(
        pool.scheduler.slot_counts().cooling_down,
        0,
        "none until the pooler was seen to need it"
    );
    pool.fail(pool.connecting()[0], ConnectErrorKind::Full);
    pool.wait(millis(250));
    pool.open_all();
    let again = pool.leased()[0];
    pool.ask(REQUEST);
    pool.give(again, ReleaseOutcome::Dropped);
    assert_eq!(
        (pool.scheduler.slot_counts().cooling_down, pool.connecting().len()),
        (1, 0)
    );
    let actions = pool.wait(millis(2));
    assert_eq!(began(&actions).len(), 1);
}

#[test]
fn a_permanent_failure_is_reported_at_once_and_retried_five_times_in_150_seconds() {
    let mut pool = pool(5);
    let mut attempts = Vec::new();
    let denied = AcquireError::CircuitOpen(Outage::Permanent);
    for _ in 0..6_000 {
        pool.event(Event::Request(REQUEST));
        assert!(pool.rejected.is_none_or(|error| error == denied));
        for slot in pool.connecting() {
            attempts.push(pool.now);
            pool.fail(slot, ConnectErrorKind::Permanent);
        }
        assert!(pool.waiting.is_empty(), "no caller waits for what will not be");
        pool.wait(millis(100));
    }
    for (first, sixth) in attempts.iter().zip(&attempts[5..]) {
        assert!(*sixth - *first >= seconds(150), "{attempts:?}");
    }
    assert!(attempts.len() >= 20, "{attempts:?}");
}

#[test]
fn a_burst_of_permanent_failures_is_followed_by_a_pause() {
    let (mut pool, _) = seasoned(9);
    for _ in 0..8 {
        pool.ask(REQUEST);
    }
    let burst = pool.connecting();
    assert_eq!(burst.len(), 8);
    for slot in burst {
        pool.fail(slot, ConnectErrorKind::Permanent);
    }
    let attempts = fail_all(&mut pool, Some(ConnectErrorKind::Permanent), seconds(149));
    assert!(attempts.is_empty(), "{attempts:?}");
}

#[test]
fn a_ban_lasts_two_minutes_whatever_else_fails_meanwhile() {
    let (mut pool, _) = seasoned(3);
    pool.ask(REQUEST);
    pool.ask(REQUEST);
    let attempts = pool.connecting();
    pool.fail(attempts[0], ConnectErrorKind::Banned(seconds(120)));
    pool.fail(attempts[1], ConnectErrorKind::Permanent);
    pool.give(pool.leased()[0], ReleaseOutcome::Dropped);
    assert_eq!(
        pool.ask_denied(REQUEST),
        AcquireError::CircuitOpen(Outage::Banned)
    );
    pool.wait(seconds(120));
    assert_eq!(
        pool.ask_denied(REQUEST),
        AcquireError::CircuitOpen(Outage::Banned)
    );
    pool.wait(seconds(12));
    pool.ask(REQUEST);
    assert_eq!(pool.connecting().len(), 1);
}

#[test]
fn a_refusal_after_a_permanent_failure_backs_off_like_any_other() {
    let mut pool = pool(2);
    pool.ask(REQUEST);
    pool.fail(pool.connecting()[0], ConnectErrorKind::Permanent);
    pool.wait(seconds(30));
    pool.ask(REQUEST);
    let attempts = fail_all(&mut pool, Some(ConnectErrorKind::Full), seconds(1));
    assert!(attempts.len() < 20, "{} attempts in a second", attempts.len());
    assert!(
        pool.scheduler.next_timeout(pool.now).is_some(),
        "and the next one comes"
    );
}

#[test]
fn callers_wait_through_the_grace_and_then_fail_fast() {
    let mut pool = pool(5);
    let caller = pool.ask(REQUEST);
    fail_all(&mut pool, Some(ConnectErrorKind::Unreachable), millis(2_999));
    assert_eq!(pool.answer(caller), None, "a restart is no error");
    fail_all(&mut pool, Some(ConnectErrorKind::Unreachable), millis(1));
    let broken = AcquireError::CircuitOpen(Outage::Unreachable);
    assert_eq!(pool.answer(caller), Some(Answer::Denied(broken)));
    assert_eq!(pool.ask_denied(REQUEST), broken);
}

#[test]
fn probes_go_on_at_most_half_a_second_apart_until_the_first_success() {
    for hanging in [None, Some(ConnectErrorKind::Unreachable)] {
        for (share, most) in [(2, 1000), (3, 500), (5, 500), (13, 500)] {
            let mut pool = pool(share);
            pool.ask(REQUEST);
            fail_all(&mut pool, hanging, seconds(4));
            let probes = fail_all(&mut pool, hanging, seconds(30));
            let longest = gaps(&probes).into_iter().max();
            assert!(
                longest <= Some(millis(most)),
                "share {share}: {:?}",
                gaps(&probes)
            );
            assert!(
                (30_000 / most - 1..=140).contains(&(probes.len() as u64)),
                "share {share}: {} probes",
                probes.len()
            );
            pool.wait(millis(500));
            pool.event(Event::Connected(*pool.connecting().last().expect("a probe")));
            assert_eq!(pool.scheduler.breaker().denies(pool.now), None);
            let caller = pool.ask(REQUEST);
            assert!(pool.is_granted(caller));
        }
    }
}

#[test]
fn a_share_full_of_hanging_attempts_makes_room_for_probes() {
    let (mut pool, slot) = seasoned(5);
    pool.give(slot, ReleaseOutcome::Dropped);
    for _ in 0..5 {
        pool.ask(REQUEST);
    }
    assert_eq!(pool.connecting().len(), 5);
    assert_eq!(cancelled(&pool.wait(millis(2_999))), []);
    let actions = pool.wait(millis(1));
    assert_eq!(cancelled(&actions).len(), 1);
    let actions = pool.fail(cancelled(&actions)[0], ConnectErrorKind::Cancelled);
    assert_eq!(began(&actions).len(), 1, "a probe takes its place");
}

#[test]
fn with_a_share_of_one_a_hanging_attempt_is_cancelled_for_short_probes() {
    let mut pool = pool(1);
    let caller = pool.ask(REQUEST);
    let actions = pool.wait(seconds(3));
    assert_eq!(cancelled(&actions), pool.connecting());
    assert_eq!(
        pool.answer(caller),
        Some(Answer::Denied(AcquireError::CircuitOpen(Outage::Unreachable)))
    );
    let probes = fail_all(&mut pool, None, seconds(60));
    let longest = gaps(&probes).into_iter().filter(|gap| *gap > seconds(1));
    assert!(longest.clone().count() <= 5, "{:?}", gaps(&probes));
    assert_eq!(longest.max(), Some(seconds(5)), "now and then a patient one");
}

#[test]
fn a_server_that_takes_three_seconds_to_connect_is_found_again() {
    for share in [1, 2, 5] {
        let mut pool = pool(share);
        pool.ask(REQUEST);
        pool.wait(seconds(4));
        let healed = pool.now;
        while pool.count().idle == 0 {
            assert!(
                pool.now < healed + seconds(20),
                "share {share}: never found open again"
            );
            let arrived = pool.slots(|held| held.age(pool.now) >= Some(seconds(3))).next();
            let leaving = pool.slots(|held| held.is_cancelled()).next();
            match (leaving, arrived) {
                (Some(slot), _) => drop(pool.fail(slot, ConnectErrorKind::Cancelled)),
                (None, Some(slot)) => drop(pool.event(Event::Connected(slot))),
                (None, None) => drop(pool.wait(millis(10))),
            }
        }
    }
}

#[test]
fn attempts_that_have_logged_in_may_wait_and_are_not_evidence() {
    let mut pool = pool(1);
    let caller = pool.ask(REQUEST);
    pool.event(Event::LoggedIn(pool.connecting()[0]));
    let actions = pool.wait(millis(14_999));
    assert_eq!(actions, []);
    assert_eq!(pool.answer(caller), None);
    pool.open_all();
    assert!(pool.is_granted(caller));
}

#[test]
fn a_newer_hanging_attempt_is_noticed_beside_an_older_one_that_was_overtaken() {
    let (mut pool, slot) = seasoned(3);
    pool.ask(REQUEST);
    pool.wait(seconds(1));
    pool.ask(REQUEST);
    pool.event(Event::Connected(pool.connecting()[1]));
    pool.wait(millis(1));
    pool.give(slot, ReleaseOutcome::Dropped);
    pool.give(pool.leased()[0], ReleaseOutcome::Dropped);
    let caller = pool.ask(REQUEST);
    pool.wait(seconds(3));
    let denied = Some(Answer::Denied(AcquireError::CircuitOpen(Outage::Unreachable)));
    assert_eq!(pool.answer(caller), denied);
}

#[test]
fn one_hanging_attempt_delays_no_caller_while_others_are_answered() {
    let (mut pool, _) = seasoned(3);
    let first = pool.ask(REQUEST);
    pool.wait(seconds(1));
    let second = pool.ask(REQUEST);
    pool.event(Event::Connected(pool.connecting()[1]));
    assert!(pool.is_granted(first));
    let actions = pool.wait(seconds(2));
    assert_eq!(
        cancelled(&actions),
        pool.connecting(),
        "it makes room in a full share"
    );
    pool.fail(pool.connecting()[0], ConnectErrorKind::Cancelled);
    pool.open_all();
    assert!(pool.is_granted(second));
}

#[test]
fn one_hanging_attempt_does_not_turn_refusals_into_an_outage() {
    let (mut pool, slot) = seasoned(4);
    pool.wait(millis(1));
    pool.give(slot, ReleaseOutcome::Dropped);
    let callers = [pool.ask(REQUEST), pool.ask(REQUEST)];
    pool.wait(seconds(1));
    pool.fail(pool.connecting()[1], ConnectErrorKind::Full);
    pool.wait(seconds(2));
    let attempts = fail_newest(&mut pool, seconds(10));
    assert_eq!(callers.map(|caller| pool.answer(caller)), [None; 2]);
    assert!(attempts > 30, "{attempts} attempts beside the one that hangs");
}

#[test]
fn no_caller_is_denied_while_leases_are_released_in_good_order() {
    let (mut pool, slot) = seasoned(2);
    let mut callers = vec![pool.ask(REQUEST), pool.ask(REQUEST)];
    for _ in 0..20 {
        fail_all(&mut pool, Some(ConnectErrorKind::Unreachable), seconds(1));
        callers.push(pool.ask(REQUEST));
        pool.give(slot, ReleaseOutcome::Clean);
    }
    let denied = callers
        .iter()
        .any(|caller| matches!(pool.answer(*caller), Some(Answer::Denied(_))));
    assert!(!denied);
    let last = *callers.last().expect("callers");
    fail_all(&mut pool, Some(ConnectErrorKind::Unreachable), seconds(3));
    assert!(
        matches!(pool.answer(last), Some(Answer::Denied(_))),
        "a lease that stays out is no hope"
    );
}

#[test]
fn a_caller_that_waits_for_a_lease_is_denied_when_it_shows_no_life() {
    let (mut pool, _) = seasoned(2);
    let caller = pool.ask(REQUEST);
    pool.fail(pool.connecting()[0], ConnectErrorKind::Permanent);
    assert_eq!(pool.answer(caller), None);
    pool.wait(seconds(3));
    assert_eq!(
        pool.answer(caller),
        Some(Answer::Denied(AcquireError::CircuitOpen(Outage::Permanent)))
    );
}

#[test]
fn an_old_failure_does_not_fail_the_next_caller_fast() {
    let mut pool = pool(2);
    let caller = pool.ask(REQUEST);
    pool.event(Event::Cancel(caller));
    pool.fail(pool.connecting()[0], ConnectErrorKind::Unreachable);
    pool.wait(seconds(10));
    let caller = pool.ask(REQUEST);
    pool.wait(millis(2_999));
    assert_eq!(pool.answer(caller), None);
}

#[test]
fn a_refusal_during_an_outage_shows_that_the_server_answers() {
    let mut pool = pool(2);
    pool.ask(REQUEST);
    fail_all(&mut pool, Some(ConnectErrorKind::Unreachable), seconds(5));
    pool.wait(millis(500));
    pool.fail(pool.connecting()[0], ConnectErrorKind::Full);
    assert_eq!(pool.scheduler.breaker().denies(pool.now), None);
    let caller = pool.ask(REQUEST);
    fail_all(&mut pool, Some(ConnectErrorKind::Full), seconds(10));
    assert_eq!(pool.answer(caller), None, "a full server is waited for");
}

#[test]
fn an_attempt_that_ends_without_a_reason_is_paced() {
    let mut pool = pool(2);
    let caller = pool.ask(REQUEST);
    let attempts = fail_all(&mut pool, Some(ConnectErrorKind::Cancelled), seconds(4));
    assert!(attempts.len() < 30, "{} attempts", attempts.len());
    assert!(matches!(pool.answer(caller), Some(Answer::Denied(_))));
}

#[test]
fn without_grace_an_attempt_still_gets_the_timeout_of_a_probe() {
    let mut pool = World::new(
        SchedulerConfig {
            grace: seconds(0),
            ..config()
        },
        2,
        7,
    );
    let first = pool.ask(REQUEST);
    pool.wait(millis(500));
    let second = pool.ask(REQUEST);
    pool.open_all();
    assert!(pool.is_granted(first) && pool.is_granted(second));
}
