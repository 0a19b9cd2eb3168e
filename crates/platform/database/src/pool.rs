//! Pool: the async shell around the scheduler, which carries out its actions.
//!
//! While the lock is held nothing is awaited, closed, sent or spawned; such work is collected as [`Deferred`] first.
//! Connection attempts, closes and rollbacks run as tasks of the runtime that the pool was made on, so that a
//! connection does not end with the runtime of a caller.

mod acquire;
mod connect;
pub(crate) mod lease;
mod listener;
mod maintenance;
pub(crate) mod notifications;
mod orphans;
mod snapshot;
mod state;
pub(crate) mod status;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tracing::Instrument;

use self::acquire::Grant;
use self::connect::ConnectTask;
use self::maintenance::drive;
use self::notifications::Notifications;
use self::state::State;
use crate::connect::connector::Connector;
use crate::connect::instances::{InstanceName, ShareBudget};
use crate::connect::pooler_mode::ModeDetector;
use crate::connect::unnamed::CommonTexts;
use crate::error::Error;
use crate::pool::lease::{Lease, PooledConnection};
use crate::pool::status::{Holder, IdleLease, Server};
use crate::settings::{Instances, LONGEST, Settings, SettingsError, Strategy};
use crate::stats::activity::SessionActivity;
use crate::stats::counters::{Event, reason};
use crate::stats::statement_stats::StatementStats;
use berth_pool::{
    Action, CloseMode, CloseReason, Lane, ReleaseOutcome, Reuse, Scheduler, SchedulerConfig, SlotId,
    Timestamp, Writers,
};

/// Pause of [`Pool::ready`] between two attempts while the server cannot be reached.
const READY_PAUSE: Duration = Duration::from_millis(100);

/// How long background work waits behind requests before it is served once.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that lives as long as the database handle.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) settings: Settings,
    pub(crate) runtime: Handle,
    pub(crate) instance_name: Option<InstanceName>,
    pub(crate) statements: StatementStats,
    pub(crate) common_texts: CommonTexts,
    pub(crate) notifications: Notifications,
    connector: Connector,
    share_budget: ShareBudget,
    began: Instant,
    state: Mutex<State>,
    /// The driver sleeps until the scheduler's next due time; this wakes it for an earlier one.
    wake: Notify,
    /// Notified when the last connection of a closing pool is gone.
    emptied: Notify,
}

/// What has to be done once the lock is released.
#[derive(Debug)]
enum Deferred {
    Open(SlotId, Duration, oneshot::Receiver<()>),
    Close(SlotId, PooledConnection, CloseMode),
    Listen(SlotId, oneshot::Receiver<()>),
    /// An answer whose caller has left; dropping it releases the lease.
    Undelivered(Result<Grant, Error>),
}

impl Pool {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Self>, SettingsError> {
        settings.validate()?;
        if settings.strategy == Strategy::Fresh
            && settings.instances == Instances::Auto
            && settings.url.is_postgres()
        {
            tracing::warn!(
                "fresh connections show no instance name: set database.instances to the number of instances that share the limit"
            );
        }
        let instance_name = InstanceName::new(&settings);
        let connector = Connector::new(&settings, instance_name.as_ref())
            .map_err(|error| SettingsError::new("database.url", &settings.url, error.to_string()))?;
        let share_budget = ShareBudget::new(&settings);
        let runtime = Handle::try_current().map_err(|_| {
            SettingsError::new(
                "database",
                "(runtime)",
                "the database must be made inside a tokio runtime",
            )
        })?;
        let scheduler = Scheduler::new(
            config(&settings),
            share_budget.first(&settings),
            fastrand::u64(..),
        );
        let pool = Arc::new(Self {
            instance_name,
            statements: StatementStats::default(),
            common_texts: CommonTexts::default(),
            notifications: match settings.url.is_postgres() {
                true => Notifications::from_server(),
                false => Notifications::in_process(),
            },
            connector,
            share_budget,
            began: Instant::now(),
            state: Mutex::new(State::new(scheduler, &settings)),
            wake: Notify::new(),
            emptied: Notify::new(),
            runtime,
            settings,
        });
        let driver = drive(Arc::downgrade(&pool));
        spawn(&pool.runtime, driver);
        Ok(pool)
    }

    /// Releases a lease whose connection is clean.
    pub(crate) fn release_clean(self: &Arc<Self>, slot: SlotId, pooled: PooledConnection, taken: Instant) {
        let mut state = self.lock();
        let now = self.now();
        let held = taken.elapsed();
        state.counters.record(&Event::Returned { slot, held });
        state.uses.record(held);
        state.rate.note(now);
        state.last_success = Some(now);
        if state.outdated.is_some_and(|outdated| pooled.connected < outdated) {
            state.release(slot);
            state.scheduler.released(now, slot, ReleaseOutcome::Closing);
            self.advance(state);
            return self.close_connection(slot, pooled, CloseMode::Graceful);
        }
        if state.has_untried_orphans() {
            drop(state);
            return self.end_orphans_over(slot, pooled);
        }
        if self.count_is_due(&state, now) {
            state.counted_at = Some(now);
            drop(state);
            return self.count_instances(slot, pooled);
        }
        state.release(slot);
        state.connections.insert(slot, pooled);
        state.scheduler.released(now, slot, ReleaseOutcome::Clean);
        self.advance(state);
    }

    /// Releases a lease whose connection is gone or being closed.
    pub(crate) fn lost(self: &Arc<Self>, slot: SlotId, how: ReleaseOutcome, taken: Instant) {
        let mut state = self.lock();
        state.release(slot);
        state.uses.record(taken.elapsed());
        state.counters.record(&if how == ReleaseOutcome::Dead {
            Event::Dead { slot }
        } else {
            Event::Cancelled { slot }
        });
        if how != ReleaseOutcome::Closing {
            state.counters.record(&Event::Closed { slot, why: "lost" });
        }
        let now = self.now();
        state.scheduler.released(now, slot, how);
        self.advance(state);
    }

    /// Replaces every connection that was made before now: the idle ones when the one that showed the need is
    /// released as [`ConnectionState::Outdated`](lease::ConnectionState), the leased ones when they are released.
    pub(crate) fn replace_connections(&self) {
        self.lock().outdated = Some(Instant::now());
    }

    /// Notes that the connection of a session was terminated, and returns whether those of two others were within the
    /// same second: then the reason is an administrator or a stopping server, not the statement.
    pub(crate) fn note_termination<T>(&self, session: &T) -> bool {
        const TOGETHER: Duration = Duration::from_secs(1);
        let session = std::ptr::from_ref(session).addr();
        let mut state = self.lock();
        let now = Instant::now();
        state.terminations.retain(|(_, at)| now - *at < TOGETHER);
        let others = state.terminations.iter().map(|(other, _)| *other);
        let others: HashSet<_> = others.filter(|other| *other != session).collect();
        let several = others.len() >= 2;
        state.terminations.push((session, now));
        several
    }

    pub(crate) fn mode(&self) -> &ModeDetector {
        self.connector.mode()
    }

    /// The SQL that clears a session's state after its transaction.
    pub(crate) fn reset(&self) -> Option<&str> {
        self.connector.reset()
    }

    /// Uses all connections as behind a transaction pooler from now on, and replaces those that were set up otherwise.
    pub(crate) fn switch_to_transaction(self: &Arc<Self>, evidence: &str) {
        if self.mode().switch_to_transaction(evidence) {
            self.replace_connections();
            self.keep_listener();
        }
    }

    /// The name of this instance in the server's activity view, where its connections have it.
    pub(crate) fn instance(&self) -> Option<&str> {
        let named = self.instance_name.as_ref();
        let named = named.filter(|_| self.mode().mode().keeps_sessions());
        named.map(InstanceName::name)
    }

    /// Counts an event.
    pub(crate) fn record(&self, event: &Event<'_>) {
        self.lock().counters.record(event);
    }

    /// Counts a lease that its session held in a transaction without using it, and remembers whose it was.
    pub(crate) fn record_idle(&self, label: Cow<'static, str>, idle: Duration) {
        let mut state = self.lock();
        state
            .counters
            .record(&Event::IdleInTransaction { label: &label, idle });
        state.last_idle = Some(IdleLease { label, idle });
    }

    /// Waits for a first connection, and returns what the server is.
    pub(crate) async fn ready(self: &Arc<Self>, within: Duration) -> Result<Server, Error> {
        let activity = Arc::new(SessionActivity::new("start".into(), None));
        // A clock reaches some centuries only.
        let deadline = Instant::now() + within.min(LONGEST);
        loop {
            let attempt = self.acquire(&activity, Lane::default(), deadline).await;
            if let Some(server) = self.lock().server.clone().filter(|_| attempt.is_ok()) {
                return Ok(server);
            }
            match attempt {
                // Failing fast serves callers under load; at the start there is time to wait.
                Err(Error::Unreachable { .. }) if Instant::now() + READY_PAUSE < deadline => {
                    tokio::time::sleep(READY_PAUSE).await;
                }
                Err(error @ Error::Unreachable { .. }) => {
                    tokio::time::sleep_until(deadline.into()).await;
                    return Err(error);
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
            self.notifications.close();
            state.scheduler.drain(self.now());
            self.advance(state);
        }
        let empty = async {
            loop {
                let emptied = self.emptied.notified();
                if self.lock().scheduler.is_empty() {
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

    fn now(&self) -> Timestamp {
        self.began.elapsed()
    }

    /// Carries out the scheduler's actions; deferred ones run after the lock is released.
    fn advance(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut deferred = Vec::new();
        let actions: Vec<_> = state.scheduler.poll_actions().collect();
        for action in actions {
            deferred.extend(self.carry_out(&mut state, action));
        }
        let wake = state.scheduler.next_timeout(self.now());
        let sooner = wake.is_some_and(|wake| state.next_wake.is_none_or(|next_wake| wake < next_wake));
        if sooner {
            state.next_wake = wake;
            self.wake.notify_one();
        }
        if state.draining && state.scheduler.is_empty() {
            self.emptied.notify_waiters();
        }
        drop(state);
        for task in deferred {
            self.run(task);
        }
    }

    fn carry_out(self: &Arc<Self>, state: &mut State, action: Action) -> Option<Deferred> {
        match action {
            Action::Grant {
                waiter_id,
                slot,
                validation,
            } => {
                let pooled = state.connections.remove(&slot)?;
                let waiting = state.waiters.remove(&waiter_id)?;
                waiting.activity.served(waiter_id);
                let waited = waiting.since.elapsed();
                state.counters.record(&Event::Leased {
                    slot,
                    label: &waiting.activity.label,
                    waited,
                });
                state.waits.record(waited);
                state.holders.insert(
                    slot,
                    (
                        waiting.activity.clone(),
                        Instant::now(),
                        pooled.backend.map(|backend| backend.pid),
                    ),
                );
                let lease = Lease::new(self.clone(), slot, pooled);
                waiting
                    .answer
                    .send(Ok(Grant { lease, validation }))
                    .err()
                    .map(Deferred::Undelivered)
            }
            Action::Deny { waiter_id, error } => {
                let waiting = state.waiters.remove(&waiter_id)?;
                let answer = Err(state.explain(error));
                waiting.answer.send(answer).err().map(Deferred::Undelivered)
            }
            Action::Connect { slot, within } => {
                let (cancel_connect, cancelled) = oneshot::channel();
                state.connecting.insert(slot, cancel_connect);
                Some(Deferred::Open(slot, within, cancelled))
            }
            Action::CancelConnect { slot } => {
                state.connecting.remove(&slot);
                None
            }
            Action::Close { slot, mode, why } => {
                let pooled = state.connections.remove(&slot)?;
                if why == CloseReason::Suspect {
                    state.counters.dead += 1;
                }
                state.counters.record(&Event::Closed {
                    slot,
                    why: reason(why),
                });
                Some(Deferred::Close(slot, pooled, mode))
            }
            Action::OpenListener { slot } => {
                let (close_listener, closed) = oneshot::channel();
                state.listener = Some(close_listener);
                Some(Deferred::Listen(slot, closed))
            }
            Action::CloseListener { .. } => {
                state.listener = None;
                None
            }
        }
    }

    fn run(self: &Arc<Self>, task: Deferred) {
        match task {
            Deferred::Open(slot, within, cancelled) => {
                let arriving = ConnectTask {
                    pool: self.clone(),
                    slot,
                    logged_in: false,
                    done: false,
                };
                let span = tracing::debug_span!(parent: None, "db.open", db.slot = slot.0);
                spawn(&self.runtime, arriving.open(within, cancelled).instrument(span));
            }
            Deferred::Close(slot, pooled, mode) => self.close_connection(slot, pooled, mode),
            Deferred::Listen(slot, closed) => self.spawn_listener(slot, closed),
            Deferred::Undelivered(answer) => drop(answer),
        }
    }
}

/// Starts a task on the pool's runtime, whatever runtime the caller runs on.
pub(crate) fn spawn(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    drop(runtime.spawn(task));
}

fn config(settings: &Settings) -> SchedulerConfig {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    SchedulerConfig {
        pool_size: size(settings.pool_size),
        reuse: match settings.strategy {
            Strategy::Pooled => Reuse::Pooled,
            Strategy::Fresh => Reuse::Fresh,
        },
        writers: match settings.url.is_postgres() {
            true => Writers::Many,
            false => Writers::One,
        },
        max_waiting: size(settings.max_waiting),
        max_lifetime: settings.pool_recycle,
        idle_timeout: settings.pool_idle,
        overflow_linger: settings.overflow_linger,
        validate_after_idle: settings.validate_after_idle,
        connect_timeout: settings.connect_timeout,
        grace: settings.unreachable_grace,
        background_timeout: BACKGROUND_TIMEOUT,
    }
}
