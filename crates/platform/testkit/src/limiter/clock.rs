//! Wakes tasks at exact times: the runtime's timer counts in milliseconds, which is too coarse for a delay line.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Clock {
    alarms: Mutex<Alarms>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Alarms {
    set: BTreeMap<(Instant, u64), Waker>,
    counter: u64,
    stopped: bool,
}

impl Clock {
    /// Starts the clock's thread, which ends with [`Clock::stop`].
    pub(super) fn start() -> Arc<Clock> {
        let clock = Arc::new(Clock::default());
        let runner = Arc::clone(&clock);
        thread::Builder::new()
            .name("limiter-clock".to_owned())
            .spawn(move || runner.run())
            .expect("a thread can be started");
        clock
    }

    /// Wakes the task once `at` has come.
    pub(super) fn wake_at(&self, at: Instant, waker: Waker) {
        let mut alarms = self.lock();
        alarms.counter += 1;
        let key = (at, alarms.counter);
        let first = alarms.set.first_key_value().is_none_or(|(first, _)| key < *first);
        alarms.set.insert(key, waker);
        if first {
            self.changed.notify_one();
        }
    }

    /// Ends the clock's thread.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }

    fn run(&self) {
        let mut alarms = self.lock();
        while !alarms.stopped {
            let now = Instant::now();
            let Some(alarm) = alarms.set.first_entry() else {
                alarms = self.changed.wait(alarms).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let at = alarm.key().0;
            if at <= now {
                let waker = alarm.remove();
                drop(alarms);
                waker.wake();
                alarms = self.lock();
            } else {
                let waited = self.changed.wait_timeout(alarms, at - now);
                alarms = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        alarms.set.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
