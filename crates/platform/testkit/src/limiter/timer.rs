//! Wakes tasks at exact times: the runtime's timer counts in milliseconds, which is too coarse for a delayed stream.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Timer {
    wakeups: Mutex<Wakeups>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wakeups {
    set: BTreeMap<(Instant, u64), Waker>,
    counter: u64,
    stopped: bool,
}

impl Timer {
    /// Starts the timer's thread, which ends with [`Timer::stop`].
    pub(super) fn start() -> Arc<Timer> {
        let timer = Arc::new(Timer::default());
        let runner = Arc::clone(&timer);
        thread::Builder::new()
            .name("limiter-timer".to_owned())
            .spawn(move || runner.run())
            .expect("a thread can be started");
        timer
    }

    /// Wakes the task once `at` has come.
    pub(super) fn wake_at(&self, at: Instant, waker: Waker) {
        let mut wakeups = self.lock();
        wakeups.counter += 1;
        let key = (at, wakeups.counter);
        let first = wakeups
            .set
            .first_key_value()
            .is_none_or(|(first, _)| key < *first);
        wakeups.set.insert(key, waker);
        if first {
            self.changed.notify_one();
        }
    }

    /// Ends the timer's thread.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_one();
    }

    fn run(&self) {
        let mut wakeups = self.lock();
        while !wakeups.stopped {
            let now = Instant::now();
            let Some(wakeup) = wakeups.set.first_entry() else {
                wakeups = self.changed.wait(wakeups).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let at = wakeup.key().0;
            if at <= now {
                let waker = wakeup.remove();
                drop(wakeups);
                waker.wake();
                wakeups = self.lock();
            } else {
                let waited = self.changed.wait_timeout(wakeups, at - now);
                wakeups = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        wakeups.set.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Wakeups> {
        self.wakeups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
