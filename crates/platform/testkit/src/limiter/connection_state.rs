//! The state of one client's connection as the network sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    link: Mutex<Link>,
    busy: AtomicBool,
}

#[derive(Debug)]
struct Link {
    state: LinkState,
    waker: Option<Waker>,
}

impl ConnectionState {
    pub(super) fn new(state: LinkState) -> ConnectionState {
        ConnectionState {
            link: Mutex::new(Link { state, waker: None }),
            busy: AtomicBool::new(false),
        }
    }

    pub(super) fn link(&self) -> LinkState {
        self.lock().state
    }

    /// Changes the link and wakes the task that serves the connection. A closed one stays closed.
    pub(super) fn set(&self, state: LinkState) {
        let mut link = self.lock();
        if !matches!(link.state, LinkState::Closed(_)) {
            link.state = state;
        }
        let waker = link.waker.take();
        drop(link);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has the current task woken when the link changes.
    pub(super) fn watch(&self, context: &Context<'_>) {
        self.lock().waker = Some(context.waker().clone());
    }

    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request has been seen that is not answered yet.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    pub(super) fn asked(&self) {
        self.busy.store(true, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) {
        self.busy.store(false, Ordering::Relaxed);
    }
}
