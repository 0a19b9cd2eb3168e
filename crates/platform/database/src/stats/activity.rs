//! Activity of a session: what it does with its connection at the moment, for status pages and logs.

use std::borrow::Cow;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use berth_pool::WaiterId;
use serde::Serialize;

/// A session as status pages show it.
#[derive(Debug)]
pub(crate) struct SessionActivity {
    pub(crate) label: Cow<'static, str>,
    pub(crate) request_id: Option<String>,
    activity: Mutex<Activity>,
    place: Option<OnceLock<WaiterId>>,
}

/// What a session does with the connection that it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderState {
    /// A statement is under way.
    Running,
    /// A transaction is open and the session does something else.
    InTransaction,
    /// Nothing is open; the connection is about to be released.
    Idle,
}

/// Whether a statement counts as one of the session's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Counted {
    Yes,
    /// BEGIN, COMMIT and the like.
    No,
}

/// What a session has done and does.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    pub(crate) state: HolderState,
    pub(crate) since: Instant,
    pub(crate) statement: Option<std::sync::Arc<str>>,
    pub(crate) usage: Usage,
}

/// What a session has cost so far.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Usage {
    /// Time spent waiting for connections.
    pub waited: Duration,
    /// Time a connection was held.
    pub held: Duration,
    /// Statements sent, BEGIN and COMMIT not counted.
    pub statements: u32,
    /// Round trips to the server, as far as known: preparing a new statement takes one more.
    pub round_trips: u32,
}

impl Activity {
    /// How long the connection has been idle in a transaction, if it does.
    fn idle(&self, now: Instant) -> Option<Duration> {
        (self.state == HolderState::InTransaction).then(|| now - self.since)
    }
}

impl SessionActivity {
    pub(crate) fn new(label: Cow<'static, str>, request_id: Option<String>) -> Self {
        let activity = Activity {
            state: HolderState::Idle,
            since: Instant::now(),
            statement: None,
            usage: Usage::default(),
        };
        Self {
            label,
            request_id,
            activity: Mutex::new(activity),
            place: None,
        }
    }

    /// Keeps the place in the queue of its first request for the later ones.
    pub(crate) fn keeping_place(self) -> Self {
        Self {
            place: Some(OnceLock::new()),
            ..self
        }
    }

    /// Notes that the request with this id got a connection; the first one counts.
    pub(crate) fn served(&self, waiter_id: WaiterId) {
        if let Some(place) = &self.place {
            place.get_or_init(|| waiter_id);
        }
    }

    /// The request whose place in the queue the next one has.
    pub(crate) fn place(&self) -> Option<WaiterId> {
        self.place.as_ref()?.get().copied()
    }

    pub(crate) fn activity(&self) -> Activity {
        self.update(|activity| activity.clone())
    }

    /// A statement begins; returns how long the connection was idle in a transaction before it.
    pub(crate) fn begins(&self, sql: &str, counted: Counted) -> Option<Duration> {
        let sql: std::sync::Arc<str> = sql.into();
        self.update(|activity| {
            let now = Instant::now();
            let idle = activity.idle(now);
            activity.state = HolderState::Running;
            activity.since = now;
            activity.statement = Some(sql);
            activity.usage.statements += u32::from(counted == Counted::Yes);
            activity.usage.round_trips += 1;
            idle
        })
    }

    /// The transaction is over without another statement; returns how long the connection was idle in it.
    pub(crate) fn ends(&self) -> Option<Duration> {
        self.update(|activity| {
            let now = Instant::now();
            let idle = activity.idle(now);
            (activity.state, activity.since) = (HolderState::Idle, now);
            idle
        })
    }

    /// A statement has ended.
    pub(crate) fn finishes(&self, state: HolderState) {
        self.update(|activity| (activity.state, activity.since) = (state, Instant::now()));
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.update(|activity| activity.usage.waited += time);
    }

    pub(crate) fn held(&self, time: Duration) {
        self.update(|activity| activity.usage.held += time);
    }

    fn update<T>(&self, change: impl FnOnce(&mut Activity) -> T) -> T {
        change(&mut self.activity.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
