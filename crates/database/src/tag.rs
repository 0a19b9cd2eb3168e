//! Whose lease it is and what it does at the moment, for status pages and logs.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::status::HolderState;

/// One session as others see it.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) label: Cow<'static, str>,
    pub(crate) request_id: Option<String>,
    doing: Mutex<Doing>,
}

/// What a session has done and does.
#[derive(Clone, Debug)]
pub(crate) struct Doing {
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

impl Doing {
    /// How long the connection has lain idle in a transaction, if it does.
    fn idle(&self, now: Instant) -> Option<Duration> {
        (self.state == HolderState::InTransaction).then(|| now - self.since)
    }
}

impl Tag {
    pub(crate) fn new(label: Cow<'static, str>, request_id: Option<String>) -> Self {
        let doing = Doing {
            state: HolderState::Idle,
            since: Instant::now(),
            statement: None,
            usage: Usage::default(),
        };
        Self {
            label,
            request_id,
            doing: Mutex::new(doing),
        }
    }

    pub(crate) fn doing(&self) -> Doing {
        self.update(|doing| doing.clone())
    }

    /// A statement goes out; returns how long the connection lay idle in a transaction before it.
    pub(crate) fn begins(&self, sql: &str, statement: bool) -> Option<Duration> {
        let sql: std::sync::Arc<str> = sql.into();
        self.update(|doing| {
            let now = Instant::now();
            let idle = doing.idle(now);
            doing.state = HolderState::Running;
            doing.since = now;
            doing.statement = Some(sql);
            doing.usage.statements += u32::from(statement);
            doing.usage.round_trips += 1;
            idle
        })
    }

    /// The transaction is over without another statement; returns how long the connection lay idle in it.
    pub(crate) fn ends(&self) -> Option<Duration> {
        self.update(|doing| {
            let now = Instant::now();
            let idle = doing.idle(now);
            (doing.state, doing.since) = (HolderState::Idle, now);
            idle
        })
    }

    /// A statement is done.
    pub(crate) fn rests(&self, state: HolderState) {
        self.update(|doing| (doing.state, doing.since) = (state, Instant::now()));
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.update(|doing| doing.usage.waited += time);
    }

    pub(crate) fn held(&self, time: Duration) {
        self.update(|doing| doing.usage.held += time);
    }

    fn update<T>(&self, change: impl FnOnce(&mut Doing) -> T) -> T {
        change(&mut self.doing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
