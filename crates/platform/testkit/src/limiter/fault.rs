//! Faults that strike when a certain message passes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pooler_kind::Refusal;

/// The message at which a fault strikes.
///
/// Messages are counted from the moment the fault is armed, over all connections, from the first one after the
/// startup packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The server's CommandComplete whose tag begins so: `COMMIT`, `INSERT`.
    CommandComplete(&'static str),
    /// The client's Query or Parse whose text contains this, in any case. A prepared statement that is run
    /// again has no text.
    Statement(&'static str),
    /// The server's n-th message, counted from 1.
    BackendMessage(u64),
    /// The client's n-th message, counted from 1.
    FrontendMessage(u64),
}

/// What a fault does to the connection, in place of passing the message on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Closes it.
    Cut,
    /// Resets it.
    Reset,
    /// Lets nothing through any more and closes nothing, until it is healed.
    Silence,
    /// Tells the client this error and closes it.
    Answer(Refusal),
}

/// A fault that was armed; it strikes once.
#[derive(Clone, Debug)]
pub struct ArmedFault {
    struck: Arc<AtomicBool>,
}

impl ArmedFault {
    /// Whether it has struck.
    pub fn has_struck(&self) -> bool {
        self.struck.load(Ordering::Acquire)
    }
}

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Mutex<Vec<Fault>>,
    count: AtomicUsize,
}

#[derive(Debug)]
struct Fault {
    trigger: Trigger,
    action: Action,
    seen: u64,
    struck: Arc<AtomicBool>,
}

impl Faults {
    pub(super) fn arm(&self, trigger: Trigger, action: Action) -> ArmedFault {
        let struck = Arc::new(AtomicBool::new(false));
        let mut list = self.lock();
        list.push(Fault {
            trigger,
            action,
            seen: 0,
            struck: Arc::clone(&struck),
        });
        self.count.store(list.len(), Ordering::Release);
        ArmedFault { struck }
    }

    pub(super) fn disarm(&self) {
        self.lock().clear();
        self.count.store(0, Ordering::Release);
    }

    pub(super) fn are_armed(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Shows a whole message to the armed faults, and returns what the first one that it triggers does.
    pub(super) fn look(&self, sender: Sender, message: &[u8]) -> Option<Action> {
        let mut list = self.lock();
        let struck = list.iter_mut().position(|fault| fault.sees(sender, message))?;
        let fault = list.remove(struck);
        self.count.store(list.len(), Ordering::Release);
        fault.struck.store(true, Ordering::Release);
        Some(fault.action)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    fn sees(&mut self, sender: Sender, message: &[u8]) -> bool {
        let [tag, _, _, _, _, body @ ..] = message else {
            return false;
        };
        match (&self.trigger, sender) {
            (Trigger::CommandComplete(command), Sender::Server) => {
                *tag == b'C' && body.starts_with(command.as_bytes())
            }
            (Trigger::Statement(text), Sender::Client) => matches!(tag, b'Q' | b'P') && contains(body, text),
            (Trigger::BackendMessage(number), Sender::Server)
            | (Trigger::FrontendMessage(number), Sender::Client) => {
                self.seen += 1;
                self.seen == *number
            }
            _ => false,
        }
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len().max(1))
        .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}
