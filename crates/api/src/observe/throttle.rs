use std::collections::HashMap;
use std::time::Duration;

use super::advice::Cause;

/// How long a cause keeps silent after it was told.
const PAUSE: Duration = Duration::from_secs(60);

/// Lets one warning in a minute through for each cause and each route or job, where it is one's own, and counts the
/// others.
#[derive(Debug, Default)]
pub(super) struct Throttle(HashMap<(Cause, String), Told>);

#[derive(Debug, Default)]
struct Told {
    at: Option<Duration>,
    left_out: u64,
}

impl Throttle {
    /// How many were left out since the last one that was told, if another one may be.
    pub(super) fn open(&mut self, now: Duration, cause: Cause, whose: &str) -> Option<u64> {
        let told = self.told(cause, whose);
        if told.at.is_some_and(|at| now < at + PAUSE) {
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.left_out))
    }

    /// Counts those that nobody will be told of.
    pub(super) fn leave_out(&mut self, cause: Cause, whose: &str, count: u64) {
        self.told(cause, whose).left_out += count;
    }

    /// Either of both.
    pub(super) fn admit(&mut self, now: Duration, cause: Cause, whose: &str, count: u64) -> Option<u64> {
        let admitted = self.open(now, cause, whose);
        if admitted.is_none() {
            self.leave_out(cause, whose, count);
        }
        admitted
    }

    fn told(&mut self, cause: Cause, whose: &str) -> &mut Told {
        self.0.entry((cause, whose.to_owned())).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_and_cause_with_the_count_of_the_others() {
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
    fn one_route_does_not_silence_another() {
        let mut throttle = Throttle::default();
        let now = Duration::ZERO;
        assert_eq!(throttle.admit(now, Cause::SlowRequest, "GET /a", 1), Some(0));
        assert_eq!(throttle.admit(now, Cause::SlowRequest, "GET /b", 1), Some(0));
        assert_eq!(throttle.admit(now, Cause::SlowRequest, "GET /a", 1), None);
    }
}
