//! What time it is, and keys that follow it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

/// Tells the time and makes keys. Clones share both.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    now: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    keys: Mutex<ContextV7>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Clock::from_fn(Utc::now)
    }

    /// A clock that shows what the function returns, for tests.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Clock(Arc::new(Inner {
            now: Box::new(now),
            keys: Mutex::default(),
        }))
    }

    /// The time to the microsecond, which is what PostgreSQL stores: a row then reads as it was written.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0.now)().trunc_subsecs(6)
    }

    /// A key that is greater than every key this clock made before, even if the time went back.
    pub fn key(&self) -> Uuid {
        let now = (self.0.now)();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        let keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Uuid::new_v7(Timestamp::from_unix(
            &*keys,
            seconds,
            now.timestamp_subsec_nanos(),
        ))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_within_a_moment_and_when_the_clock_is_set_back() {
        let moments = Mutex::new(vec![1_000_i64, 1_000, 1_000, 400, 2_000].into_iter());
        let clock = Clock::from_fn(move || {
            let seconds = moments.lock().unwrap().next().unwrap();
            DateTime::from_timestamp(seconds, 0).unwrap()
        });
        let keys: Vec<Uuid> = (0..5).map(|_| clock.key()).collect();
        assert!(keys.is_sorted_by(|earlier, later| earlier < later), "{keys:?}");
    }
}
