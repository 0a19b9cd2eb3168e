//! What the limiter's connections and its handle share: the settings, the places and the counts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::clock::Clock;
use super::connection_state::{ConnectionState, Cut, Fate};
use super::fault::Faults;
use super::options::CancelRequests;
use super::pooler_kind::{Phase, PoolerKind, Refusal};

/// What the limiter has seen, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// TCP connections accepted.
    pub connections: u64,
    /// Those of them that are open now, with or without a place.
    pub open: usize,
    /// Startup packets, each an attempt to get a place.
    pub startups: u64,
    /// Clients that got a place.
    pub admitted: u64,
    /// Clients that were turned away.
    pub refused: u64,
    /// Clients that left their place, counted when both sides are closed, before the release delay.
    pub closed: u64,
    /// Cancel requests, forwarded or dropped.
    pub cancels: u64,
    /// Places occupied now, those that rest after a close included.
    pub concurrent: usize,
    /// The most places that were ever occupied at once.
    pub peak: usize,
    /// Clients that were let in and wait for a place now ([`PoolerKind::PgBouncerWait`]).
    pub waiting: usize,
    /// Bytes passed on to the server.
    pub received: u64,
    /// Bytes passed on to clients.
    pub sent: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) clock: Arc<Clock>,
    pub(super) faults: Faults,
    books: Mutex<Books>,
    latency: AtomicU64,
    refuses_tls: AtomicBool,
    keeps_ghosts: AtomicBool,
    received: AtomicU64,
    sent: AtomicU64,
}

#[derive(Debug)]
struct Books {
    counts: Counts,
    limit: usize,
    pooler_kind: PoolerKind,
    phase: Option<Phase>,
    release_delay: Duration,
    swallows_new: bool,
    cancel_requests: CancelRequests,
    waiters: VecDeque<oneshot::Sender<Place>>,
    flows: HashMap<u64, Arc<ConnectionState>>,
}

/// The answer to a startup packet.
#[derive(Debug)]
pub(super) enum Admission {
    Admitted(Place),
    Refused(Refusal, Phase),
    /// Let in without a place, to wait for one for so long.
    Waits(Duration),
}

/// An occupied place, free again a release delay after this value is dropped.
#[derive(Debug)]
pub(super) struct Place {
    state: Arc<State>,
}

/// A flow's entry in the books, from accepting to closing.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) flow: Arc<ConnectionState>,
    number: u64,
    state: Arc<State>,
}

impl State {
    pub(super) fn new(clock: Arc<Clock>, limit: usize, pooler_kind: PoolerKind) -> State {
        let books = Books {
            counts: Counts::default(),
            limit,
            pooler_kind,
            phase: None,
            release_delay: Duration::ZERO,
            swallows_new: false,
            cancel_requests: CancelRequests::Forwarded,
            waiters: VecDeque::new(),
            flows: HashMap::new(),
        };
        State {
            clock,
            faults: Faults::default(),
            books: Mutex::new(books),
            latency: AtomicU64::new(0),
            refuses_tls: AtomicBool::new(false),
            keeps_ghosts: AtomicBool::new(false),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    pub(super) fn latency(&self) -> Duration {
        Duration::from_nanos(self.latency.load(Ordering::Relaxed))
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.store(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn refuses_tls(&self) -> bool {
        self.refuses_tls.load(Ordering::Relaxed)
    }

    pub(super) fn set_refuses_tls(&self, refuses: bool) {
        self.refuses_tls.store(refuses, Ordering::Relaxed);
    }

    pub(super) fn keeps_ghosts(&self) -> bool {
        self.keeps_ghosts.load(Ordering::Relaxed)
    }

    pub(super) fn set_keeps_ghosts(&self, keeps: bool) {
        self.keeps_ghosts.store(keeps, Ordering::Relaxed);
    }

    pub(super) fn set_limit(self: &Arc<Self>, limit: usize) {
        self.lock().limit = limit;
        self.serve_waiters();
    }

    pub(super) fn set_pooler_kind(&self, pooler_kind: PoolerKind) {
        self.lock().pooler_kind = pooler_kind;
    }

    pub(super) fn set_phase(&self, phase: Option<Phase>) {
        self.lock().phase = phase;
    }

    pub(super) fn set_release_delay(&self, delay: Duration) {
        self.lock().release_delay = delay;
    }

    pub(super) fn swallow_new(&self) {
        self.lock().swallows_new = true;
    }

    /// Sets the fate of all connections, or of those without a request under way; returns how many.
    pub(super) fn set_fates(&self, fate: Fate, only_idle: bool) -> usize {
        let flows: Vec<_> = self.lock().flows.values().cloned().collect();
        let chosen = flows.iter().filter(|flow| !only_idle || !flow.is_busy());
        chosen.map(|flow| flow.set(fate)).count()
    }

    /// Opens every black hole.
    pub(super) fn heal(&self) {
        self.lock().swallows_new = false;
        self.set_fates(Fate::Open, false);
    }

    pub(super) fn counts(&self) -> Counts {
        let books = self.lock();
        let waiting = books.waiters.iter().filter(|waiter| !waiter.is_closed()).count();
        let (received, sent) = (
            self.received.load(Ordering::Relaxed),
            self.sent.load(Ordering::Relaxed),
        );
        Counts {
            open: books.flows.len(),
            waiting,
            received,
            sent,
            ..books.counts
        }
    }

    /// Starts counting anew; what is occupied stays so.
    pub(super) fn reset_counts(&self) {
        let mut books = self.lock();
        let concurrent = books.counts.concurrent;
        books.counts = Counts {
            concurrent,
            peak: concurrent,
            ..Counts::default()
        };
        self.received.store(0, Ordering::Relaxed);
        self.sent.store(0, Ordering::Relaxed);
    }

    /// Enters a connection that was just accepted.
    pub(super) fn enter(self: &Arc<Self>) -> Entry {
        let mut books = self.lock();
        books.counts.connections += 1;
        let number = books.counts.connections;
        let fate = if books.swallows_new {
            Fate::Silent
        } else {
            Fate::Open
        };
        let flow = Arc::new(ConnectionState::new(fate));
        books.flows.insert(number, Arc::clone(&flow));
        Entry {
            flow,
            number,
            state: Arc::clone(self),
        }
    }

    /// Counts a cancel request, and returns what becomes of it.
    pub(super) fn count_cancel(&self) -> CancelRequests {
        let mut books = self.lock();
        books.counts.cancels += 1;
        books.cancel_requests
    }

    pub(super) fn set_cancel_requests(&self, cancel_requests: CancelRequests) {
        self.lock().cancel_requests = cancel_requests;
    }

    /// Counts a client that a fault refuses, and returns when.
    pub(super) fn refuse_startup(&self) -> Phase {
        let mut books = self.lock();
        books.counts.startups += 1;
        books.counts.refused += 1;
        books.phase.unwrap_or(Phase::BeforeAuthentication)
    }

    pub(super) fn count_bytes(&self, sender: super::fault::Sender, bytes: usize) {
        let counter = match sender {
            super::fault::Sender::Client => &self.received,
            super::fault::Sender::Server => &self.sent,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Decides about a client that sent its startup packet.
    pub(super) fn admit(self: &Arc<Self>) -> Admission {
        let mut books = self.lock();
        books.counts.startups += 1;
        if books.counts.concurrent < books.limit {
            books.occupy();
            return Admission::Admitted(Place {
                state: Arc::clone(self),
            });
        }
        if let PoolerKind::PgBouncerWait(timeout) = books.pooler_kind {
            return Admission::Waits(timeout);
        }
        books.counts.refused += 1;
        let phase = books.phase.unwrap_or(books.pooler_kind.phase());
        Admission::Refused(books.pooler_kind.refusal(books.limit), phase)
    }

    /// Joins the queue for a place.
    pub(super) fn queue(self: &Arc<Self>) -> oneshot::Receiver<Place> {
        let (sender, receiver) = oneshot::channel();
        self.lock().waiters.push_back(sender);
        self.serve_waiters();
        receiver
    }

    /// Counts a waiting client that was told to go.
    pub(super) fn count_refused(&self) {
        self.lock().counts.refused += 1;
    }

    fn release(self: &Arc<Self>) {
        self.lock().counts.concurrent -= 1;
        self.serve_waiters();
    }

    fn serve_waiters(self: &Arc<Self>) {
        loop {
            let mut books = self.lock();
            books.waiters.retain(|waiter| !waiter.is_closed());
            if books.counts.concurrent >= books.limit {
                return;
            }
            let Some(waiter) = books.waiters.pop_front() else {
                return;
            };
            books.occupy();
            // Unlocked first: a place that nobody takes any more comes back at once.
            drop(books);
            drop(waiter.send(Place {
                state: Arc::clone(self),
            }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn occupy(&mut self) {
        self.counts.admitted += 1;
        self.counts.concurrent += 1;
        self.counts.peak = self.counts.peak.max(self.counts.concurrent);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let delay = {
            let mut books = self.state.lock();
            books.counts.closed += 1;
            books.release_delay
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

impl Entry {
    /// Cuts the connection.
    pub(super) fn cut(&self, how: Cut) {
        self.flow.set(Fate::Over(how));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.state.lock().flows.remove(&self.number);
    }
}
