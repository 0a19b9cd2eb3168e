//! Types of the scheduler: configuration, requests, actions and reasons.

use std::time::Duration;

/// The time since the pool began.
pub type Timestamp = Duration;

/// Identifies one use of a slot, from the connection attempt to the end of the close.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotId(pub u64);

/// Identifies a waiting caller; a later caller has a greater one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WaiterId(pub u64);

/// The rules that do not change while the process runs.
#[derive(Clone, Debug, Hash)]
pub struct SchedulerConfig {
    /// Connections that are kept when idle.
    pub pool_size: usize,
    /// Whether a connection serves more than one lease.
    pub reuse: Reuse,
    /// How many leases may write at once.
    pub writers: Writers,
    /// Callers that may wait at once.
    pub max_waiting: usize,
    /// Age at which a connection is replaced; the shell adds jitter and reports the result with `connected`.
    pub max_lifetime: Duration,
    /// Idle time after which a connection is closed.
    pub idle_timeout: Duration,
    /// Idle time after which a connection beyond `pool_size` is closed.
    pub overflow_linger: Duration,
    /// Idle time after which a connection is validated before use.
    pub validate_after_idle: Duration,
    /// The usual timeout of a connection attempt.
    pub connect_timeout: Duration,
    /// How long callers wait for a server that does not answer.
    pub grace: Duration,
    /// The wait after which background work is served once before requests.
    pub background_timeout: Duration,
}

/// Whether a connection serves more than one lease.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Reuse {
    /// Connections are kept.
    #[default]
    Pooled,
    /// Each connection is closed after one lease.
    Fresh,
}

/// How many leases may write at once.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Writers {
    /// As many as there are connections.
    #[default]
    Many,
    /// One (SQLite).
    One,
}

/// Whether instances take turns, because there are more of them than slots.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Rotation {
    /// Each instance keeps its connections.
    #[default]
    Off,
    /// Each connection is closed when it is released, so that other instances get a turn.
    On,
}

/// The part of the queue that a caller waits in.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Lane {
    /// Requests or background work.
    pub priority: Priority,
    /// Reads or writes; matters only where there is a single writer.
    pub access: Access,
}

impl Lane {
    /// Whether it is background work.
    pub fn is_background(self) -> bool {
        self.priority == Priority::Background
    }

    /// Whether it may write.
    pub fn writes(self) -> bool {
        self.access == Access::Write
    }
}

/// Who is served first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Priority {
    /// Served in order of arrival.
    #[default]
    Request,
    /// Served after requests, and leaves them a slot.
    Background,
}

/// What a caller does with its connection.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Access {
    /// Reads only.
    #[default]
    Read,
    /// May write.
    Write,
}

/// Why a caller gets no connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AcquireError {
    /// `max_waiting` callers wait already.
    Full,
    /// The pool is closing.
    Draining,
    /// The circuit breaker is open.
    CircuitOpen(Outage),
}

/// Why the circuit breaker is open.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// The server does not answer, or answers with an error that passes.
    Unreachable,
    /// The settings do not fit the server: wrong password, unknown database, TLS.
    Permanent,
    /// The pooler blocks this client for a time.
    Banned,
}

/// What the shell has to do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// Give the slot's connection to the caller.
    Grant {
        /// The caller.
        waiter_id: WaiterId,
        /// The slot.
        slot: SlotId,
        /// What to do with the connection first.
        validation: Validation,
    },
    /// Return an error to the caller.
    Deny {
        /// The caller.
        waiter_id: WaiterId,
        /// The error.
        error: AcquireError,
    },
    /// Connect, then report `connected` or `connect_failed`.
    Connect {
        /// The slot.
        slot: SlotId,
        /// The timeout of the attempt.
        within: Duration,
    },
    /// Cancel a connection attempt, then report it as failed with [`ConnectErrorKind::Cancelled`].
    CancelConnect {
        /// The slot.
        slot: SlotId,
    },
    /// Close an idle connection, then report it `closed`.
    Close {
        /// The slot.
        slot: SlotId,
        /// With or without a word to the server.
        mode: CloseMode,
        /// The reason.
        why: CloseReason,
    },
    /// Open the connection that waits for notifications, then report `listener_ended` when it has ended.
    OpenListener {
        /// The slot.
        slot: SlotId,
    },
    /// Close that connection, or cancel its attempt, then report `listener_ended`.
    CloseListener {
        /// The slot.
        slot: SlotId,
    },
}

/// Whether a connection is validated before it is handed out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Validation {
    /// It was idle for longer than `validate_after_idle`.
    Required,
    /// It was used a short time ago.
    Skipped,
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseMode {
    /// The server is sent a Terminate message, which frees its place soon.
    Graceful,
    /// The socket is dropped: the connection may be dead, and a message to it may block.
    Abrupt,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseReason {
    /// Older than `pool_recycle`.
    Expired,
    /// Unused for `pool_idle`, or beyond `pool_size` for `overflow_linger`.
    Idle,
    /// The share shrank.
    OverShare,
    /// The strategy is fresh, or instances take turns because there are more of them than slots.
    Rotated,
    /// Another connection was found dead, and this one was idle before that.
    Suspect,
    /// The listener needs its slot.
    Listener,
    /// The pool is closing.
    Draining,
}

/// The state in which a leased connection is released.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ReleaseOutcome {
    /// Open, with nothing under way and no transaction.
    Clean,
    /// Gone, and only this one.
    Dropped,
    /// Found dead: connections that were idle before that are suspect.
    Dead,
    /// Being closed by the shell, which reports `closed` when it is done.
    Closing,
}

/// Why a connection attempt failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConnectErrorKind {
    /// The pooler or server is full.
    Full,
    /// The server does not answer, or answers with an error that passes.
    Unreachable,
    /// The next attempt will fail for the same reason.
    Permanent,
    /// The pooler blocks this client for this long.
    Banned(Duration),
    /// The attempt was cancelled here, which says nothing about the server.
    Cancelled,
}

/// How the listener's connection ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ListenerEnd {
    /// It was closed here, or lost.
    Closed,
    /// It could not be made.
    Failed(ConnectErrorKind),
}

/// The number of slots in each state.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, serde::Serialize)]
pub struct SlotCounts {
    /// Connection attempts under way.
    pub connecting: usize,
    /// Connections ready for use.
    pub idle: usize,
    /// Connections leased to sessions.
    pub leased: usize,
    /// The connection that waits for notifications, from its attempt on.
    pub listening: usize,
    /// Connections being closed.
    pub closing: usize,
    /// Slots that wait until the pooler has noticed a close.
    pub cooling_down: usize,
}

impl SlotCounts {
    /// Returns the number of occupied slots.
    pub fn total(&self) -> usize {
        self.connecting + self.idle + self.leased + self.listening + self.closing + self.cooling_down
    }
}
