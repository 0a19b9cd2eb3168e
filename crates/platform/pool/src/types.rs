//! The scheduler's words: what it is asked, what it answers, and why.

use std::time::Duration;

use crate::circuit_breaker::Outage;

/// The time since the pool began.
pub type Timestamp = Duration;

/// Names one slot_counts of a slot, from the opening of a connection to the end of its close.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotId(pub u64);

/// Names a waiting caller.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WaiterId(pub u64);

/// The rules that do not change while the process runs.
#[derive(Clone, Debug, Hash)]
pub struct SchedulerConfig {
    /// Connections kept when idle.
    pub pool_size: usize,
    /// Closes each connection after one lease.
    pub fresh: bool,
    /// One writing lease at a time (SQLite).
    pub single_writer: bool,
    /// Callers that may wait at once.
    pub max_waiting: usize,
    /// Age at which a connection is replaced.
    pub recycle: Duration,
    /// Idle time after which a connection is closed.
    pub idle: Duration,
    /// Idle time granted beyond `pool_size`.
    pub linger: Duration,
    /// Idle time after which a connection is checked before use.
    pub validate_after_idle: Duration,
    /// The longest an ordinary opening may take.
    pub connect_timeout: Duration,
    /// How long callers wait for a server that does not answer.
    pub grace: Duration,
    /// Background work that waited this long gets one turn before requests.
    pub patience: Duration,
}

/// What a caller wants a connection for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Lane {
    /// Queues behind requests and leaves them a slot.
    pub background: bool,
    /// Will write; matters only where there is a single writer.
    pub writes: bool,
}

/// Why a caller gets no connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AcquireError {
    /// `max_waiting` callers wait already.
    Full,
    /// The pool is closing.
    Draining,
    /// The breaker is open.
    CircuitOpen(Outage),
}

/// What the shell has to do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// Hand the slot's connection to the caller; check it first where it has lain idle for long.
    Grant {
        waiter_id: WaiterId,
        slot: SlotId,
        check: bool,
    },
    /// Tell the caller that there will be none.
    Deny {
        waiter_id: WaiterId,
        error: AcquireError,
    },
    /// Open a connection within the time, then report opened, refused, failed or abandoned.
    Connect { slot: SlotId, within: Duration },
    /// Give an opening up, then report it abandoned.
    CancelConnect { slot: SlotId },
    /// Close an idle connection, politely or by dropping it, then report it gone.
    Close {
        slot: SlotId,
        polite: bool,
        why: CloseReason,
    },
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
    /// The strategy is fresh, or holders yield so that an instance without a connection gets a turn.
    Rotated,
    /// Another connection was found dead, and this one has been idle since before.
    Suspect,
    /// The pool is closing.
    Draining,
}

/// How a leased connection came back.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ReleaseOutcome {
    /// Nothing under way, no transaction open.
    Clean,
    /// Gone already, and with it what it was activity.
    Dropped,
    /// Gone, found dead: what lay idle since before is suspect.
    Dead,
    /// Being closed by the shell, which reports it gone when done.
    Closing,
}

/// What an opening met that made it fail.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConnectErrorKind {
    /// The pooler or server is full.
    Full,
    /// Nobody answers, or the answer is that it is starting or stopping.
    Unreachable,
    /// It will fail again for the same reason.
    Permanent,
    /// The pooler turned this client away for a while.
    Banned(Duration),
    /// The attempt was given up here: no evidence of anything.
    Cancelled,
}

/// How many slots are in each state.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, serde::Serialize)]
pub struct SlotCounts {
    /// Connections on their way.
    pub opening: usize,
    /// Connections nobody uses.
    pub idle: usize,
    /// Connections lent to sessions.
    pub leased: usize,
    /// Connections on their way out.
    pub closing: usize,
    /// Slots that wait until a pooler has taken note of a close.
    pub cooling_down: usize,
}

impl SlotCounts {
    /// Slots occupied.
    pub fn total(&self) -> usize {
        self.opening + self.idle + self.leased + self.closing + self.cooling_down
    }
}
