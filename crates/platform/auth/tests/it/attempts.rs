//! The limit of failed logins.

use std::net::IpAddr;
use std::time::Duration;

use berth_auth::{Attempts, Error, Settings};

fn attempts() -> Attempts {
    Attempts::new(&Settings {
        attempts_per_account: 3,
        attempts_per_address: 5,
        attempts_period: Duration::from_secs(60),
        ..Settings::default()
    })
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn fail(attempts: &Attempts, account: &str, from: &str) -> Result<(), Error> {
    attempts
        .begin(account, address(from))
        .map(|attempt| attempt.failed())
}

#[test]
fn failed_logins_of_an_account_are_limited_wherever_they_come_from() {
    let attempts = attempts();
    for from in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        fail(&attempts, "a@example.com", from).unwrap();
    }
    let Err(Error::TooManyAttempts { retry_after }) = fail(&attempts, "a@example.com", "10.0.0.4") else {
        panic!("a fourth login is allowed");
    };
    assert!(
        (Duration::from_secs(50)..=Duration::from_secs(60)).contains(&retry_after),
        "{retry_after:?}"
    );
    fail(&attempts, "b@example.com", "10.0.0.4").unwrap();
}

#[test]
fn failed_logins_from_an_address_are_limited_whatever_their_account() {
    let attempts = attempts();
    // The /64 of a client counts as one address.
    for (account, from) in [
        ("a", "2001:db8::1"),
        ("b", "2001:db8::2"),
        ("c", "2001:db8::3"),
        ("d", "2001:db8::4"),
    ] {
        fail(&attempts, account, from).unwrap();
    }
    fail(&attempts, "e", "2001:db8::5").unwrap();
    assert!(fail(&attempts, "f", "2001:db8::6").is_err());
    fail(&attempts, "f", "2001:db8:0:1::6").unwrap();
}

#[test]
fn a_success_forgets_the_mistakes_of_the_account() {
    let attempts = attempts();
    for round in 0..3 {
        for _ in 0..2 {
            fail(&attempts, "a", &format!("10.0.0.{round}")).unwrap();
        }
        attempts.begin("a", address("10.0.1.1")).unwrap().succeeded();
    }
}

#[test]
fn logins_under_way_count_and_unanswered_ones_do_not() {
    let attempts = attempts();
    let under_way: Vec<_> = (0..3).map(|_| attempts.begin("a", None).unwrap()).collect();
    let Err(Error::TooManyAttempts { retry_after }) = attempts.begin("a", None) else {
        panic!("guesses at the same time count too");
    };
    assert_eq!(retry_after, Duration::from_secs(1), "none has failed yet");
    drop(under_way);
    fail(&attempts, "a", "10.0.0.1").unwrap();
}
