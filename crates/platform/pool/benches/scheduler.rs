//! Measures what a decision of the scheduler costs: `cargo bench -p berth-pool --bench scheduler`.
//!
//! Each figure is the median of many batches, so that a busy machine disturbs it little. As in the pool, actions
//! are polled and the next timeout is computed after each event.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use berth_pool::{
    Action, Lane, ReleaseOutcome, Reuse, Scheduler, SchedulerConfig, SlotId, Timestamp, WaiterId, Writers,
};

const BATCHES: usize = 200;
const BATCH: u32 = 1_000;

fn main() {
    let mut pool = Pool::new(1);
    pool.ask();
    pool.give_back();
    measure("request, grant, release; no caller waits", || {
        pool.ask();
        pool.give_back();
    });
    for waiting in [5, 10_000] {
        let mut pool = Pool::new(5);
        for _ in 0..5 + waiting {
            pool.ask();
        }
        measure(&format!("request, release, grant; {waiting} wait"), || {
            pool.ask();
            pool.give_back();
        });
        let mut pool = Pool::new(5);
        for _ in 0..5 + waiting {
            pool.ask();
        }
        measure(&format!("request, cancel in the middle; {waiting} wait"), || {
            pool.ask();
            pool.cancel_in_the_middle();
        });
    }
}

fn measure(what: &str, mut work: impl FnMut()) {
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for _ in 0..BATCH {
            work();
        }
        batches.push(begun.elapsed() / BATCH);
    }
    batches.sort();
    println!("{what:<45} {:>6} ns", batches[BATCHES / 2].as_nanos());
}

/// A scheduler whose connections open at once.
struct Pool {
    scheduler: Scheduler,
    now: Timestamp,
    leased: VecDeque<SlotId>,
    waiting: VecDeque<WaiterId>,
}

impl Pool {
    fn new(share: usize) -> Self {
        let config = SchedulerConfig {
            pool_size: 3,
            reuse: Reuse::Pooled,
            writers: Writers::Many,
            max_waiting: 100_000,
            max_lifetime: Duration::from_secs(1800),
            idle_timeout: Duration::from_secs(240),
            overflow_linger: Duration::from_secs(5),
            validate_after_idle: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(15),
            grace: Duration::from_secs(3),
            background_timeout: Duration::from_secs(5),
        };
        Self {
            scheduler: Scheduler::new(config, share, 7),
            now: Timestamp::from_secs(1),
            leased: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    fn ask(&mut self) {
        self.now += Duration::from_nanos(1);
        if let Ok(waiter_id) = self.scheduler.request(self.now, Lane::default()) {
            self.waiting.push_back(waiter_id);
        }
        self.advance();
    }

    fn give_back(&mut self) {
        self.now += Duration::from_nanos(1);
        if let Some(slot) = self.leased.pop_front() {
            self.scheduler.released(self.now, slot, ReleaseOutcome::Clean);
        }
        self.advance();
    }

    fn cancel_in_the_middle(&mut self) {
        let middle = self.waiting.len() / 2;
        if let Some(waiter_id) = self.waiting.swap_remove_back(middle) {
            self.scheduler.cancel(self.now, waiter_id);
        }
        self.advance();
    }

    fn advance(&mut self) {
        let actions: Vec<_> = self.scheduler.poll_actions().collect();
        for action in actions {
            match action {
                Action::Grant { slot, .. } => {
                    self.leased.push_back(slot);
                    self.waiting.pop_front();
                }
                Action::Connect { slot, .. } => {
                    self.scheduler
                        .connected(self.now, slot, Duration::from_secs(1800));
                    self.advance();
                }
                _ => {}
            }
        }
        black_box(self.scheduler.next_timeout(self.now));
    }
}
