//! Throttle: limits how often a warning is logged.

use std::collections::HashMap;
use std::time::Duration;

use super::alert::Cause;

/// The interval between two warnings of one cause.
const PAUSE: Duration = Duration::from_secs(60);

/// Allows one warning per minute, cause and route; counts the rest.
#[derive(Debug, Default)]
pub(super) struct Throttle(HashMap<(Cause, String), LastWarning>);

#[derive(Debug, Default)]
struct LastWarning {
    at: Option<Duration>,
    left_out: u64,
}

impl Throttle {
    /// Returns the count left out since the last warning, if another warning is due.
    pub(super) fn open(&mut self, now: Duration, cause: Cause, whose: &str) -> Option<u64> {
        let last = self.last(cause, whose);
        if last.at.is_some_and(|at| now < at + PAUSE) {
            return None;
        }
        last.at = Some(now);
        Some(std::mem::take(&mut last.left_out))
    }

    /// Counts occurrences that are not logged.
    pub(super) fn leave_out(&mut self, cause: Cause, whose: &str, count: u64) {
        self.last(cause, whose).left_out += count;
    }

    /// Opens, or counts the occurrences as left out.
    pub(super) fn admit(&mut self, now: Duration, cause: Cause, whose: &str, count: u64) -> Option<u64> {
        let admitted = self.open(now, cause, whose);
        if admitted.is_none() {
            self.leave_out(cause, whose, count);
        }
        admitted
    }

    fn last(&mut self, cause: Cause, whose: &str) -> &mut LastWarning {
        self.0.entry((cause, whose.to_owned())).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_warns_once_a_minute_with_the_count_left_out() {
        let mut throttle = Throttle::default();
        let at = Duration::from_secs;
        assert_eq!(throttle.admit(at(0), Cause::Waiting, "", 1), Some(0));
        assert_eq!(throttle.admit(at(1), Cause::Waiting, "", 1), None);
        assert_eq!(throttle.admit(at(1), Cause::Refused, "", 1), Some(0));
        assert_eq!(throttle.admit(at(59), Cause::Waiting, "", 2), None);
        assert_eq!(throttle.admit(at(60), Cause::Waiting, "", 1), Some(3));
        assert_eq!(throttle.admit(at(120), Cause::Waiting, "", 1), Some(0));
    }

    #[test]
    fn routes_are_throttled_apart() {
        let mut throttle = Throttle::default();
        let now = Duration::ZERO;
        assert_eq!(throttle.admit(now, Cause::SlowRequest, "GET /a", 1), Some(0));
        assert_eq!(throttle.admit(now, Cause::SlowRequest, "GET /b", 1), Some(0));
        assert_eq!(throttle.admit(now, Cause::SlowRequest, "GET /a", 1), None);
    }
}
