use std::collections::HashMap;
use std::time::Duration;

use super::advice::Cause;

/// How long a cause keeps silent after it was told.
const PAUSE: Duration = Duration::from_secs(60);

/// Lets one warning of each cause through in a minute, and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle(HashMap<Cause, Told>);

#[derive(Debug)]
struct Told {
    at: Duration,
    left_out: u64,
}

impl Throttle {
    /// How many were left out since the last one that was told, if this one may be.
    pub(super) fn admit(&mut self, now: Duration, cause: Cause) -> Option<u64> {
        match self.0.get_mut(&cause) {
            Some(told) if now < told.at + PAUSE => {
                told.left_out += 1;
                None
            }
            told => {
                let left_out = told.map_or(0, |told| told.left_out);
                self.0.insert(cause, Told { at: now, left_out: 0 });
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_and_cause_with_the_count_of_the_others() {
        let mut throttle = Throttle::default();
        let at = Duration::from_secs;
        assert_eq!(throttle.admit(at(0), Cause::Waiting), Some(0));
        assert_eq!(throttle.admit(at(1), Cause::Waiting), None);
        assert_eq!(throttle.admit(at(1), Cause::Refused), Some(0));
        assert_eq!(throttle.admit(at(59), Cause::Waiting), None);
        assert_eq!(throttle.admit(at(60), Cause::Waiting), Some(2));
        assert_eq!(throttle.admit(at(120), Cause::Waiting), Some(0));
    }
}
