//! The pool over the last minutes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use berth_database::Status;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// The number of samples kept: five minutes at one a second.
const CAPACITY: usize = 300;

/// The pool over the last minutes, so that a page opened during a problem shows how it began.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<VecDeque<Sample>>);

/// The pool at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    at: DateTime<Utc>,
    slots: Slots,
    waiting: usize,
    share: usize,
    refused: u64,
}

/// The slots by state.
#[derive(Clone, Copy, Debug, Serialize)]
struct Slots {
    connecting: usize,
    idle: usize,
    leased: usize,
    listening: usize,
    closing: usize,
    cooling_down: usize,
}

impl Slots {
    fn of(status: &Status) -> Self {
        let slots = status.slots;
        Self {
            connecting: slots.connecting,
            idle: slots.idle,
            leased: slots.leased,
            listening: slots.listening,
            closing: slots.closing,
            cooling_down: slots.cooling_down,
        }
    }
}

impl Sample {
    pub(crate) fn of(status: &Status) -> Self {
        Self {
            at: Utc::now(),
            slots: Slots::of(status),
            waiting: status.waiting + status.waiting_background,
            share: status.share,
            refused: status.counters.refused,
        }
    }
}

impl History {
    pub(crate) fn record(&self, status: &Status) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == CAPACITY {
            samples.pop_front();
        }
        samples.push_back(Sample::of(status));
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect()
    }
}
