use super::*;
use crate::observability::alert::most_urgent;
use crate::observability::idle_pool;

fn settings() -> Settings {
    Settings {
        enabled: true,
        interval: Duration::from_secs(1),
        usage_warning_ratio: 0.8,
        usage_warning_after: Duration::from_secs(10),
        leak_detection_threshold: Duration::from_secs(10),
        slow_request: Duration::from_secs(5),
    }
}

fn rules() -> AlertRules {
    AlertRules::new(settings())
}

fn holder(slot: u64, held: u64) -> Holder {
    Holder {
        slot,
        label: "GET /report".into(),
        request_id: Some(format!("request-{slot}")),
        held: Duration::from_secs(held),
        state: HolderState::InTransaction,
        for_time: Duration::from_secs(1),
        statement: None,
        statements: 1,
        pid: None,
    }
}

fn causes(all: &[Warning]) -> Vec<Cause> {
    all.iter().map(|warning| warning.alert.cause).collect()
}

#[tokio::test]
async fn high_use_is_reported_only_if_it_lasts() {
    let (mut rules, mut status) = (rules(), idle_pool());
    status.slots.leased = 5;
    let at = Duration::from_secs;
    assert!(rules.check(at(0), &status, &[]).is_empty());
    status.slots.leased = 4;
    assert!(
        rules.check(at(9), &status, &[]).is_empty(),
        "80 % is not above 80 %"
    );
    status.slots.leased = 5;
    assert!(rules.check(at(10), &status, &[]).is_empty());
    assert_eq!(causes(&rules.check(at(20), &status, &[])), [Cause::HighUse]);
}

#[tokio::test]
async fn each_long_lease_of_a_slot_is_reported_once() {
    let (mut rules, status) = (rules(), idle_pool());
    let at = Duration::from_secs;
    assert!(rules.check(at(9), &status, &[holder(1, 9)]).is_empty());
    let named = rules.check(at(10), &status, &[holder(1, 10)]);
    assert_eq!(causes(&named), [Cause::LongLease]);
    let seen = &named[0].alert.seen;
    assert!(
        seen.contains("GET /report (request request-1), idle in a transaction for 10.0 s"),
        "{named:?}"
    );
    assert!(rules.check(at(80), &status, &[holder(1, 80)]).is_empty());
    let both = rules.check(at(100), &status, &[holder(1, 12)]);
    assert_eq!(causes(&both), [Cause::LongLease, Cause::LeaseReturned]);
    let back = rules.check(at(200), &status, &[]);
    assert_eq!(causes(&back), [Cause::LeaseReturned]);
    assert!(rules.check(at(300), &status, &[]).is_empty());
}

#[tokio::test]
async fn long_leases_are_throttled_by_route() {
    let (mut rules, status) = (rules(), idle_pool());
    let at = Duration::from_secs;
    assert_eq!(rules.check(at(10), &status, &[holder(1, 10)]).len(), 1);
    let other = Holder {
        label: "POST /orders".into(),
        ..holder(2, 10)
    };
    let named = rules.check(
        at(20),
        &status,
        &[holder(1, 20), other.clone(), holder(3, 10), holder(4, 10)],
    );
    assert_eq!(named.len(), 1);
    assert!(
        named[0].alert.seen.contains("POST /orders (request request-2)"),
        "{named:?}"
    );
    // The lease of slot 4 ends before it is reported.
    let later = Holder {
        held: Duration::from_secs(60),
        ..other
    };
    let named = rules.check(at(70), &status, &[holder(1, 70), later, holder(3, 60)]);
    assert_eq!(named.len(), 1);
    let seen = &named[0].alert.seen;
    assert!(
        seen.contains("request-3") && !seen.contains("request-1"),
        "{named:?}"
    );
    assert_eq!(named[0].left_out, 1);
}

#[tokio::test]
async fn long_leases_of_a_route_are_reported_in_one_warning() {
    let (mut rules, status) = (rules(), idle_pool());
    let holders: Vec<_> = (0..8).map(|slot| holder(slot, 60)).collect();
    let named = rules.check(Duration::ZERO, &status, &holders);
    assert_eq!(named.len(), 1);
    let seen = &named[0].alert.seen;
    assert!(
        seen.contains("request-4") && seen.ends_with("and 3 more"),
        "{named:?}"
    );
}

#[tokio::test]
async fn throttled_counts_are_reported_in_the_next_warning() {
    let (mut rules, mut status) = (rules(), idle_pool());
    let at = Duration::from_secs;
    status.counters.refused = 7;
    assert!(
        rules.check(at(0), &status, &[]).is_empty(),
        "counted before the first check"
    );
    status.counters.refused = 9;
    status.counters.timed_out = 1;
    status.counters.rejected = 1;
    let reported = rules.check(at(1), &status, &[]);
    assert_eq!(causes(&reported), [Cause::Refused, Cause::TimedOut]);
    let seen = |reported: &[Warning], at: usize| reported[at].alert.seen.clone();
    assert!(
        seen(&reported, 0).starts_with("2 connection attempts")
            && seen(&reported, 1).starts_with("2 callers"),
        "{reported:?}"
    );
    status.counters.refused = 509;
    assert!(
        rules.check(at(2), &status, &[]).is_empty(),
        "one warning per minute"
    );
    let reported = rules.check(at(61), &status, &[]);
    assert_eq!(causes(&reported), [Cause::Refused]);
    assert!(
        seen(&reported, 0).starts_with("500 connection attempts"),
        "{reported:?}"
    );
    assert!(rules.check(at(200), &status, &[]).is_empty());
}

#[tokio::test]
async fn a_queue_is_reported_along_with_refusals() {
    let (mut rules, mut status) = (rules(), idle_pool());
    rules.check(Duration::ZERO, &status, &[]);
    (
        status.waiting,
        status.consecutive_refusals,
        status.counters.refused,
    ) = (3, 2, 2);
    status.oldest_wait = Duration::from_millis(100);
    let reported = rules.check(Duration::ZERO, &status, &[]);
    assert_eq!(causes(&reported), [Cause::Refused, Cause::Waiting]);
}

#[tokio::test]
async fn callers_that_have_waited_for_milliseconds_are_no_alert() {
    let mut status = idle_pool();
    (status.waiting, status.oldest_wait) = (9, Duration::from_millis(5));
    assert_eq!(most_urgent(&status, &[], &settings()), None);
    assert!(rules().check(Duration::ZERO, &status, &[]).is_empty());
    status.oldest_wait = Duration::from_millis(300);
    let alert = most_urgent(&status, &[], &settings()).unwrap();
    assert_eq!(
        alert.seen,
        "9 callers wait for a connection, the oldest for 0.3 s"
    );
}

#[tokio::test]
async fn an_open_breaker_is_the_most_urgent_alert() {
    let mut status = idle_pool();
    (status.waiting, status.consecutive_refusals) = (3, 2);
    let most_urgent = |status: &Status| most_urgent(status, &[], &settings()).unwrap();
    assert_eq!(most_urgent(&status).cause, Cause::Refused);
    status.breaker = Some(berth_database::Outage::Permanent);
    status.last_connect_error = Some(berth_database::Reason::Credentials);
    let alert = most_urgent(&status);
    assert_eq!(alert.cause, Cause::Permanent);
    assert_eq!(alert.seen, "the server rejected the user or password");
}

#[tokio::test]
async fn past_failures_are_not_alerts_while_requests_are_served() {
    let mut status = idle_pool();
    let most_urgent = |status: &Status, holders: &[Holder]| {
        most_urgent(status, holders, &settings()).map(|alert| alert.cause)
    };
    status.consecutive_refusals = 4;
    assert_eq!(most_urgent(&status, &[]), None, "no caller waits");
    status.last_connect_error = Some(berth_database::Reason::NoAnswer);
    status.last_success = Some(Duration::from_millis(10));
    assert_eq!(most_urgent(&status, &[]), None, "others are served");
    status.last_success = Some(Duration::from_secs(60));
    assert_eq!(most_urgent(&status, &[]), Some(Cause::Unreachable));
    status.last_connect_error = Some(berth_database::Reason::Credentials);
    assert_eq!(most_urgent(&status, &[]), Some(Cause::Permanent));
    status.last_connect_error = None;
    assert_eq!(most_urgent(&status, &[holder(1, 9)]), None);
    assert_eq!(most_urgent(&status, &[holder(1, 10)]), Some(Cause::LongLease));
}
