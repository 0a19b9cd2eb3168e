//! The state of one client's connection as the network sees it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Closed in order (FIN).
    Close,
    /// Reset (RST).
    Reset,
}

/// What becomes of the bytes of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They travel.
    Open,
    /// They are kept and nobody hears of it: a black hole, until it is healed.
    Silent,
    /// The connection is over.
    Over(Cut),
}

#[derive(Debug)]
pub(super) struct ConnectionState {
    fate: AtomicU8,
    busy: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl ConnectionState {
    pub(super) fn new(fate: Fate) -> ConnectionState {
        let flow = ConnectionState {
            fate: AtomicU8::new(0),
            busy: AtomicBool::new(false),
            waker: Mutex::new(None),
        };
        flow.set(fate);
        flow
    }

    pub(super) fn fate(&self) -> Fate {
        match self.fate.load(Ordering::Acquire) {
            0 => Fate::Open,
            1 => Fate::Silent,
            2 => Fate::Over(Cut::Close),
            _ => Fate::Over(Cut::Reset),
        }
    }

    /// Changes the fate and wakes the task that serves the flow. What is over stays over.
    pub(super) fn set(&self, fate: Fate) {
        let number = match fate {
            Fate::Open => 0,
            Fate::Silent => 1,
            Fate::Over(Cut::Close) => 2,
            Fate::Over(Cut::Reset) => 3,
        };
        let _ = self
            .fate
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                (old < 2).then_some(number)
            });
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// Has the current task woken when the fate changes.
    pub(super) fn watch(&self, context: &Context<'_>) {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
    }

    /// Whether a request has been seen that is not answered yet.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }
}
