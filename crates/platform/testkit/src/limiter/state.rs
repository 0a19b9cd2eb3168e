//! State shared by the limiter's connections and its handle: settings, slots and counts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::connection_state::{ConnectionState, Cut, LinkState};
use super::fault::{Faults, Sender};
use super::options::{CancelRequests, LimiterOptions, TlsSupport};
use super::pooler_kind::{Phase, PoolerKind, Refusal};
use super::timer::Timer;

/// What the limiter has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// TCP connections accepted.
    pub connections: u64,
    /// TCP connections that are open now, with or without a slot.
    pub open: usize,
    /// Startup packets, each an attempt to get a slot.
    pub startups: u64,
    /// Clients that got a slot.
    pub admitted: u64,
    /// Clients that were refused.
    pub refused: u64,
    /// Clients that had a slot and closed, before the release delay.
    pub closed: u64,
    /// Cancel requests, forwarded or dropped.
    pub cancels: u64,
    /// Places occupied now, those that rest after a close included.
    pub concurrent: usize,
    /// The most slots occupied at once.
    pub peak: usize,
    /// Clients that are logged in and wait for a slot now ([`PoolerKind::PgBouncerWait`]).
    pub waiting: usize,
    /// Round trips for which clients have waited: the handshake of each TCP connection, and each answer to what was sent
    /// since the last. Exact where there is a latency; without one a client may be answered in parts.
    pub round_trips: u64,
    /// Bytes passed on to the server.
    pub received: u64,
    /// Bytes passed on to clients.
    pub sent: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) timer: Arc<Timer>,
    pub(super) faults: Faults,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    counts: Counts,
    settings: Settings,
    waiters: VecDeque<oneshot::Sender<SlotGuard>>,
    connections: HashMap<u64, Arc<ConnectionState>>,
}

/// What a test can change while the limiter runs.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) options: LimiterOptions,
    pub(super) tls: TlsSupport,
    pub(super) cancel_requests: CancelRequests,
    /// The link of connections that are accepted from now on.
    pub(super) new_links: LinkState,
}

/// Which connections a fault of the network concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connections {
    All,
    /// Those that wait for no answer.
    Idle,
}

/// The answer to a startup packet.
#[derive(Debug)]
pub(super) enum Admission {
    Admitted(SlotGuard),
    Refused(Refusal, Phase),
    /// Logged in without a slot, to wait for one at most this long.
    Waits(Duration),
}

/// An occupied slot. Dropping this value frees it after the release delay.
#[derive(Debug)]
pub(super) struct SlotGuard {
    state: Arc<State>,
}

/// Keeps a connection in the list of open ones from accepting to closing.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    pub(super) connection: Arc<ConnectionState>,
    number: u64,
    state: Arc<State>,
}

impl State {
    pub(super) fn new(timer: Arc<Timer>, options: LimiterOptions) -> State {
        let settings = Settings {
            options,
            tls: TlsSupport::Offered,
            cancel_requests: CancelRequests::Forwarded,
            new_links: LinkState::Open,
        };
        let inner = Inner {
            counts: Counts::default(),
            settings,
            waiters: VecDeque::new(),
            connections: HashMap::new(),
        };
        State {
            timer,
            faults: Faults::default(),
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn latency(&self) -> Duration {
        self.lock().settings.options.latency
    }

    pub(super) fn tls(&self) -> TlsSupport {
        self.lock().settings.tls
    }

    /// Changes the settings, and serves waiting clients if the limit has grown.
    pub(super) fn change(self: &Arc<Self>, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock().settings);
        self.serve_waiters();
    }

    /// Sets the link of all connections or of the idle ones; returns how many.
    pub(super) fn set_links(&self, link: LinkState, which: Connections) -> usize {
        let connections: Vec<_> = self.lock().connections.values().cloned().collect();
        let chosen = connections
            .iter()
            .filter(|connection| which == Connections::All || !connection.is_busy());
        chosen.map(|connection| connection.set(link)).count()
    }

    /// Opens every black hole.
    pub(super) fn heal(&self) {
        self.lock().settings.new_links = LinkState::Open;
        self.set_links(LinkState::Open, Connections::All);
    }

    pub(super) fn counts(&self) -> Counts {
        let inner = self.lock();
        let waiting = inner.waiters.iter().filter(|waiter| !waiter.is_closed()).count();
        Counts {
            open: inner.connections.len(),
            waiting,
            ..inner.counts
        }
    }

    /// Resets the counts; occupied slots stay occupied.
    pub(super) fn reset_counts(&self) {
        let mut inner = self.lock();
        let concurrent = inner.counts.concurrent;
        inner.counts = Counts {
            concurrent,
            peak: concurrent,
            ..Counts::default()
        };
    }

    /// Enters a connection that was just accepted.
    pub(super) fn enter(self: &Arc<Self>) -> ConnectionGuard {
        let mut inner = self.lock();
        inner.counts.connections += 1;
        let number = inner.counts.connections;
        let connection = Arc::new(ConnectionState::new(inner.settings.new_links));
        inner.connections.insert(number, Arc::clone(&connection));
        ConnectionGuard {
            connection,
            number,
            state: Arc::clone(self),
        }
    }

    /// Counts a cancel request, and returns what becomes of it.
    pub(super) fn count_cancel(&self) -> CancelRequests {
        let mut inner = self.lock();
        inner.counts.cancels += 1;
        inner.settings.cancel_requests
    }

    /// Counts a client that a fault refuses, and returns when.
    pub(super) fn refuse_startup(&self) -> Phase {
        let mut inner = self.lock();
        inner.counts.startups += 1;
        inner.counts.refused += 1;
        inner
            .settings
            .options
            .phase
            .unwrap_or(Phase::BeforeAuthentication)
    }

    pub(super) fn count_bytes(&self, sender: Sender, bytes: usize) {
        let counts = &mut self.lock().counts;
        match sender {
            Sender::Client => counts.received += bytes as u64,
            Sender::Server => counts.sent += bytes as u64,
        }
    }

    pub(super) fn count_round_trip(&self) {
        self.lock().counts.round_trips += 1;
    }

    /// Counts an answer before it leaves, so that the client that has it finds it counted.
    pub(super) fn count_answer(&self, asked: &mut bool) {
        if std::mem::take(asked) {
            self.count_round_trip();
        }
    }

    /// Decides about a client that sent its startup packet.
    pub(super) fn admit(self: &Arc<Self>) -> Admission {
        let mut inner = self.lock();
        inner.counts.startups += 1;
        if inner.counts.concurrent < inner.settings.options.limit {
            inner.occupy();
            return Admission::Admitted(SlotGuard {
                state: Arc::clone(self),
            });
        }
        if let PoolerKind::PgBouncerWait(timeout) = inner.settings.options.pooler_kind {
            return Admission::Waits(timeout);
        }
        inner.counts.refused += 1;
        let options = &inner.settings.options;
        let phase = options.phase.unwrap_or(options.pooler_kind.phase());
        Admission::Refused(options.pooler_kind.refusal(options.limit), phase)
    }

    /// Joins the queue for a slot.
    pub(super) fn queue(self: &Arc<Self>) -> oneshot::Receiver<SlotGuard> {
        let (sender, receiver) = oneshot::channel();
        self.lock().waiters.push_back(sender);
        self.serve_waiters();
        receiver
    }

    /// Counts a waiting client that was refused.
    pub(super) fn count_refused(&self) {
        self.lock().counts.refused += 1;
    }

    fn release(self: &Arc<Self>) {
        self.lock().counts.concurrent -= 1;
        self.serve_waiters();
    }

    fn serve_waiters(self: &Arc<Self>) {
        loop {
            let mut inner = self.lock();
            inner.waiters.retain(|waiter| !waiter.is_closed());
            if inner.counts.concurrent >= inner.settings.options.limit {
                return;
            }
            let Some(waiter) = inner.waiters.pop_front() else {
                return;
            };
            inner.occupy();
            // Unlocked first: a slot whose waiter has gone is released at once.
            drop(inner);
            drop(waiter.send(SlotGuard {
                state: Arc::clone(self),
            }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn occupy(&mut self) {
        self.counts.admitted += 1;
        self.counts.concurrent += 1;
        self.counts.peak = self.counts.peak.max(self.counts.concurrent);
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let delay = {
            let mut inner = self.state.lock();
            inner.counts.closed += 1;
            inner.settings.options.release_delay
        };
        let state = Arc::clone(&self.state);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !delay.is_zero() => {
                runtime.spawn(async move {
                    tokio::time::sleep(delay).await;
                    state.release();
                });
            }
            _ => state.release(),
        }
    }
}

impl ConnectionGuard {
    /// Cuts the connection.
    pub(super) fn cut(&self, how: Cut) {
        self.connection.set(LinkState::Closed(how));
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.state.lock().connections.remove(&self.number);
    }
}
