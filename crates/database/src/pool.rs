//! The shell around the ledger: it locks, asks, and carries out what the ledger decides.
//!
//! Nothing is awaited and nothing is closed, sent or spawned while the lock is held: what has to happen
//! outside is collected as [`Errand`]s first. Openings, closes and rollbacks run as tasks of the runtime
//! that the pool was made on, so that a connection never dies with the runtime of a caller.

mod driver;
mod passage;
mod picture;
mod queue;
mod state;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tracing::Instrument;

use self::driver::drive;
use self::passage::Arriving;
use self::queue::Granted;
use self::state::State;
use crate::connector::Connector;
use crate::error::Error;
use crate::events::{Event, reason};
use crate::fleet::{Division, Presence};
use crate::lease::{Berth, Lease};
use crate::ledger::{Closing, Effect, Ledger, Moment, Purpose, Return, SlotId, Terms};
use crate::settings::{Instances, LONGEST, Settings, SettingsError, Strategy};
use crate::statements::Statements;
use crate::status::{Holder, IdleLease, Server};
use crate::tag::Tag;

/// How long background work waits behind requests before it gets one turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that lives as long as the database handle.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) settings: Settings,
    pub(crate) runtime: Handle,
    pub(crate) presence: Option<Presence>,
    pub(crate) statements: Statements,
    connector: Connector,
    division: Division,
    began: Instant,
    state: Mutex<State>,
    /// The driver sleeps until the ledger's next due time; this wakes it for an earlier one.
    wake: Notify,
    /// Rung whenever a slot may have become free for good.
    emptied: Notify,
}

/// What has to be done once the lock is released.
#[derive(Debug)]
enum Errand {
    Open(SlotId, Duration, oneshot::Receiver<()>),
    Close(SlotId, Berth, bool),
    /// An answer whose caller has left; dropping it gives the lease back.
    Unwanted(Result<Granted, Error>),
}

impl Pool {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>, SettingsError> {
        settings.validate()?;
        if settings.strategy == Strategy::Fresh
            && settings.instances == Instances::Auto
            && settings.url.is_postgres()
        {
            tracing::warn!(
                "fresh connections show no presence: set database.instances to how many share the limit"
            );
        }
        let presence = Presence::new(&settings);
        let connector = Connector::new(&settings, presence.as_ref())
            .map_err(|error| SettingsError::new("database.url", &settings.url, error.to_string()))?;
        let division = Division::new(&settings);
        let runtime = Handle::try_current().map_err(|_| {
            SettingsError::new(
                "database",
                "(runtime)",
                "the database must be made inside a tokio runtime",
            )
        })?;
        let ledger = Ledger::new(terms(&settings), division.first(&settings), fastrand::u64(..));
        let pool = Arc::new(Self {
            presence,
            statements: Statements::default(),
            connector,
            division,
            began: Instant::now(),
            state: Mutex::new(State::new(ledger, &settings)),
            wake: Notify::new(),
            emptied: Notify::new(),
            runtime,
            settings,
        });
        let driver = drive(Arc::downgrade(&pool));
        spawn(&pool.runtime, driver);
        Ok(pool)
    }

    /// Takes a lease back, in whatever condition.
    pub(crate) fn give_back(self: &Arc<Self>, slot: SlotId, berth: Berth, taken: Instant) {
        let mut state = self.lock();
        let now = self.now();
        let held = taken.elapsed();
        state.totals.record(&Event::Returned { slot, held });
        state.uses.record(held);
        state.rate.note(now);
        state.last_success = Some(now);
        if self.look_is_due(&state, now) {
            state.looked = Some(now);
            drop(state);
            return self.look(slot, berth);
        }
        state.release(slot);
        state.berths.insert(slot, berth);
        state.ledger.returned(now, slot, Return::Clean);
        self.settle(state);
    }

    /// Notes the end of a lease whose connection does not come back.
    pub(crate) fn lost(self: &Arc<Self>, slot: SlotId, how: Return, taken: Instant) {
        let mut state = self.lock();
        state.release(slot);
        state.uses.record(taken.elapsed());
        state.totals.record(&if how == Return::Dead {
            Event::Dead { slot }
        } else {
            Event::Cancelled { slot }
        });
        if how != Return::Closing {
            state.totals.record(&Event::Closed { slot, why: "lost" });
        }
        let now = self.now();
        state.ledger.returned(now, slot, how);
        self.settle(state);
    }

    /// Counts an event that belongs to no slot.
    pub(crate) fn record(&self, event: &Event<'_>) {
        self.lock().totals.record(event);
    }

    /// Counts a lease that its session held in a transaction without using it, and remembers whose it was.
    pub(crate) fn lay_idle(&self, label: Cow<'static, str>, idle: Duration) {
        let mut state = self.lock();
        state
            .totals
            .record(&Event::IdleInTransaction { label: &label, idle });
        state.last_idle = Some(IdleLease { label, idle });
    }

    /// Waits until a connection has been opened once, and tells who answered.
    pub(crate) async fn ready(self: &Arc<Self>, within: Duration) -> Result<Server, Error> {
        let tag = Arc::new(Tag::new("start".into(), None));
        // No clock reaches further than some centuries.
        let deadline = Instant::now() + within.min(LONGEST);
        loop {
            let attempt = self.acquire(&tag, Purpose::default(), deadline).await;
            if let Some(server) = self.lock().server.clone().filter(|_| attempt.is_ok()) {
                return Ok(server);
            }
            match attempt {
                // Failing fast is for callers under load; at the start there is time to wait.
                Err(Error::Unreachable { .. }) if Instant::now() + Duration::from_millis(100) < deadline => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error),
                Ok(_) => return Err(Error::ConnectionLost),
            }
        }
    }

    /// Takes no more callers and waits until every connection is closed.
    pub(crate) async fn close(self: &Arc<Self>, within: Duration) -> Result<(), Vec<Holder>> {
        // A block, so that the guard is not part of the future, which has to be `Send`.
        {
            let mut state = self.lock();
            state.draining = true;
            state.ledger.drain(self.now());
            self.settle(state);
        }
        let empty = async {
            loop {
                let emptied = self.emptied.notified();
                if self.lock().ledger.is_empty() {
                    return;
                }
                emptied.await;
            }
        };
        tokio::time::timeout(within, empty)
            .await
            .map_err(|_| self.holders())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    /// Carries out what the ledger has decided: names become connections here, errands run unlocked.
    fn settle(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut errands = Vec::new();
        let effects: Vec<_> = state.ledger.drain_effects().collect();
        for effect in effects {
            errands.extend(self.carry_out(&mut state, effect));
        }
        let wake = state.ledger.wake_at(self.now());
        let sooner = wake.is_some_and(|wake| state.armed.is_none_or(|armed| wake < armed));
        if sooner {
            state.armed = wake;
            self.wake.notify_one();
        }
        if state.draining && state.ledger.is_empty() {
            self.emptied.notify_waiters();
        }
        drop(state);
        for errand in errands {
            self.run(errand);
        }
    }

    fn carry_out(self: &Arc<Self>, state: &mut State, effect: Effect) -> Option<Errand> {
        match effect {
            Effect::Grant { ticket, slot, check } => {
                let berth = state.berths.remove(&slot)?;
                let waiting = state.waiters.remove(&ticket)?;
                let waited = waiting.since.elapsed();
                state.totals.record(&Event::Leased {
                    slot,
                    label: &waiting.tag.label,
                    waited,
                });
                state.waits.record(waited);
                state
                    .holders
                    .insert(slot, (waiting.tag.clone(), Instant::now(), berth.pid));
                let lease = Lease::new(self.clone(), slot, berth);
                waiting
                    .answer
                    .send(Ok(Granted { lease, check }))
                    .err()
                    .map(Errand::Unwanted)
            }
            Effect::Deny { ticket, denial } => {
                let waiting = state.waiters.remove(&ticket)?;
                let answer = Err(state.explain(denial));
                waiting.answer.send(answer).err().map(Errand::Unwanted)
            }
            Effect::Open { slot, within } => {
                let (give_up, given_up) = oneshot::channel();
                state.openings.insert(slot, give_up);
                Some(Errand::Open(slot, within, given_up))
            }
            Effect::Abandon { slot } => {
                state.openings.remove(&slot);
                None
            }
            Effect::Close { slot, polite, why } => {
                let berth = state.berths.remove(&slot)?;
                if why == Closing::Suspect {
                    state.totals.dead += 1;
                }
                state.totals.record(&Event::Closed {
                    slot,
                    why: reason(why),
                });
                Some(Errand::Close(slot, berth, polite))
            }
        }
    }

    fn run(self: &Arc<Self>, errand: Errand) {
        match errand {
            Errand::Open(slot, within, given_up) => {
                let arriving = Arriving {
                    pool: self.clone(),
                    slot,
                    logged_in: false,
                    done: false,
                };
                let span = tracing::debug_span!(parent: None, "db.open", db.slot = slot.0);
                spawn(&self.runtime, arriving.open(within, given_up).instrument(span));
            }
            Errand::Close(slot, berth, polite) => self.close_berth(slot, berth, polite),
            Errand::Unwanted(answer) => drop(answer),
        }
    }
}

/// Starts a task on the pool's own runtime, whatever runtime the caller runs on.
pub(crate) fn spawn(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    drop(runtime.spawn(task));
}

fn terms(settings: &Settings) -> Terms {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Terms {
        pool_size: size(settings.pool_size),
        fresh: settings.strategy == Strategy::Fresh,
        single_writer: !settings.url.is_postgres(),
        max_waiting: size(settings.max_waiting),
        recycle: settings.pool_recycle,
        idle: settings.pool_idle,
        linger: settings.overflow_linger,
        check_after: settings.check_after,
        connect_timeout: settings.connect_timeout,
        grace: settings.unreachable_grace,
        patience: PATIENCE,
    }
}
