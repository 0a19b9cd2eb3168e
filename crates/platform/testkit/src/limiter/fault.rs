//! Faults that fire when a certain message passes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error_text::ErrorTexts;
use super::pooler_kind::Refusal;

/// The message at which a fault fires.
///
/// Messages are counted from the moment the fault is armed, over all connections, from the first one after the
/// startup packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The client's startup packet.
    Startup,
    /// The first Query or Parse of each connection.
    FirstStatement,
    /// The client's Query or Parse whose text contains this, in any case. A prepared statement that is run
    /// again has no text.
    Statement(&'static str),
    /// The server's CommandComplete whose tag begins so: `COMMIT`, `INSERT`.
    CommandComplete(&'static str),
    /// The server's n-th message, counted from 1.
    BackendMessage(u64),
    /// The client's n-th message, counted from 1.
    FrontendMessage(u64),
}

/// What a fault does in place of passing the message on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Closes the connection.
    Cut,
    /// Resets the connection.
    Reset,
    /// Lets nothing through any more and closes nothing, until it is healed.
    Silence,
    /// Sends the client this error with severity FATAL and closes the connection.
    Fatal(Refusal),
    /// Sends the client this error with severity ERROR.
    ///
    /// In place of a statement, the server itself fails a statement, so the transaction is in the state that
    /// the client expects and the connection goes on. In place of an answer to the startup packet the
    /// connection is closed.
    Error(Refusal),
    /// Passes the message on after a while. What the same side sends after it waits too, and so does
    /// the end of its connection.
    Delay(Duration),
    /// Passes the message on after [`Limiter::disarm`](super::Limiter::disarm).
    Hold,
}

/// How often a fault fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// At the first message that fits.
    #[default]
    Once,
    /// At the first so many messages that fit.
    First(u64),
    /// At each n-th message that fits.
    Every(u64),
    /// At each message that fits, for so long from the first one on.
    For(Duration),
    /// At each message that fits.
    Always,
}

/// A fault that was armed.
#[derive(Clone, Debug)]
pub struct ArmedFault {
    firings: Arc<AtomicU64>,
}

impl ArmedFault {
    /// Returns whether it has fired.
    pub fn has_fired(&self) -> bool {
        self.firings() > 0
    }

    /// Returns how often it has fired.
    pub fn firings(&self) -> u64 {
        self.firings.load(Ordering::Acquire)
    }
}

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// A message as the faults see it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Passing<'a> {
    Startup,
    Message {
        sender: Sender,
        /// The whole message with its tag.
        bytes: &'a [u8],
        /// Whether it is the first Query or Parse of its connection.
        is_first_statement: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Mutex<Vec<Fault>>,
    pub(super) texts: ErrorTexts,
    watches_messages: AtomicBool,
    /// Changes when held messages are passed on.
    release: watch::Sender<()>,
}

#[derive(Debug)]
struct Fault {
    trigger: Trigger,
    action: Action,
    times: Times,
    seen: u64,
    fitted: u64,
    first_fit: Option<Instant>,
    firings: Arc<AtomicU64>,
}

impl Faults {
    pub(super) fn arm(&self, trigger: Trigger, action: Action, times: Times) -> ArmedFault {
        let is_statement = matches!(
            trigger,
            Trigger::Startup | Trigger::FirstStatement | Trigger::Statement(_)
        );
        assert!(
            is_statement || !matches!(action, Action::Error(_)),
            "Action::Error answers a statement or a startup packet, not {trigger:?}"
        );
        let firings = Arc::new(AtomicU64::new(0));
        if trigger != Trigger::Startup {
            self.watch_messages();
        }
        self.lock().push(Fault {
            trigger,
            action,
            times,
            seen: 0,
            fitted: 0,
            first_fit: None,
            firings: Arc::clone(&firings),
        });
        ArmedFault { firings }
    }

    /// Forgets all faults and lets what is held go on; texts stay translated.
    pub(super) fn disarm(&self) {
        self.lock().clear();
        self.watches_messages
            .store(!self.texts.is_empty(), Ordering::Release);
        self.release.send_replace(());
    }

    pub(super) fn translate(&self, from: &str, to: &str) {
        self.texts.translate(from, to);
        self.watch_messages();
    }

    /// Whether messages have to be shown to the faults whole and one by one.
    pub(super) fn watch_each_message(&self) -> bool {
        self.watches_messages.load(Ordering::Acquire)
    }

    /// Shows a message to the armed faults, and returns what the first one that it triggers does.
    pub(super) fn look(&self, passing: Passing<'_>) -> Option<Action> {
        let mut list = self.lock();
        let fired = list.iter_mut().position(|fault| fault.fires_at(passing))?;
        let fault = &list[fired];
        fault.firings.fetch_add(1, Ordering::Release);
        let action = fault.action.clone();
        if fault.times == Times::Once {
            list.remove(fired);
        }
        Some(action)
    }

    /// Waits as [`Action::Delay`] and [`Action::Hold`] say; any other action is over at once.
    pub(super) fn pause(&self, action: &Action) -> impl Future<Output = ()> + Send + 'static {
        let mut release = self.release.subscribe();
        let delay = match action {
            Action::Delay(delay) => Some(*delay),
            Action::Hold => None,
            _ => Some(Duration::ZERO),
        };
        async move {
            match delay {
                Some(delay) => tokio::time::sleep(delay).await,
                // It ends in any case when the limiter does.
                None => drop(release.changed().await),
            }
        }
    }

    fn watch_messages(&self) {
        self.watches_messages.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    fn fires_at(&mut self, passing: Passing<'_>) -> bool {
        if !self.fits(passing) {
            return false;
        }
        self.fitted += 1;
        let first_fit = *self.first_fit.get_or_insert_with(Instant::now);
        match self.times {
            Times::Once | Times::Always => true,
            Times::First(count) => self.fitted <= count,
            Times::Every(nth) => self.fitted.is_multiple_of(nth.max(1)),
            Times::For(time) => first_fit.elapsed() < time,
        }
    }

    fn fits(&mut self, passing: Passing<'_>) -> bool {
        let Passing::Message {
            sender,
            bytes,
            is_first_statement,
        } = passing
        else {
            return self.trigger == Trigger::Startup;
        };
        let [tag, _, _, _, _, body @ ..] = bytes else {
            return false;
        };
        match (&self.trigger, sender) {
            (Trigger::FirstStatement, Sender::Client) => is_first_statement,
            (Trigger::Statement(text), Sender::Client) => matches!(tag, b'Q' | b'P') && contains(body, text),
            (Trigger::CommandComplete(command), Sender::Server) => {
                *tag == b'C' && body.starts_with(command.as_bytes())
            }
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
