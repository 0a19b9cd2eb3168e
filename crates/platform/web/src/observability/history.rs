//! The pool over the last minutes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use berth_database::SlotCounts;
use berth_database::Status;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// How many samples are kept: five minutes of one a second.
const KEPT: usize = 300;

/// The pool over the last minutes, so that a page opened in trouble shows how it began.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<VecDeque<Sample>>);

/// The pool at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    at: DateTime<Utc>,
    slots: SlotCounts,
    waiting: usize,
    share: usize,
    refused: u64,
}

impl Sample {
    pub(crate) fn of(status: &Status) -> Self {
        Self {
            at: Utc::now(),
            slots: status.slots,
            waiting: status.waiting + status.waiting_background,
            share: status.share,
            refused: status.counters.refused,
        }
    }
}

impl History {
    pub(crate) fn record(&self, status: &Status) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == KEPT {
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
