//! The state of one client's connection as the network sees it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Closed with FIN.
    Close,
    /// Reset (RST).
    Reset,
}

/// What becomes of the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    /// They pass.
    Open,
    /// They are kept until it is healed: a black hole.
    Silent,
    /// The connection is closed.
    Closed(Cut),
}

#[derive(Debug)]
pub(super) struct ConnectionState {
    link: AtomicU8,
    busy: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl ConnectionState {
    pub(super) fn new(link: LinkState) -> ConnectionState {
        let connection = ConnectionState {
            link: AtomicU8::new(0),
            busy: AtomicBool::new(false),
            waker: Mutex::new(None),
        };
        connection.set(link);
        connection
    }

    pub(super) fn link(&self) -> LinkState {
        match self.link.load(Ordering::Acquire) {
            0 => LinkState::Open,
            1 => LinkState::Silent,
            2 => LinkState::Closed(Cut::Close),
            _ => LinkState::Closed(Cut::Reset),
        }
    }

    /// Changes the link and wakes the task that serves the connection. A closed one stays closed.
    pub(super) fn set(&self, link: LinkState) {
        let number = match link {
            LinkState::Open => 0,
            LinkState::Silent => 1,
            LinkState::Closed(Cut::Close) => 2,
            LinkState::Closed(Cut::Reset) => 3,
        };
        let _ = self
            .link
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                (old < 2).then_some(number)
            });
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// Has the current task woken when the link changes.
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
