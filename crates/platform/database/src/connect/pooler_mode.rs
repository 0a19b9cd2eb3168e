//! Pooler mode: whether a connection keeps its server process, found by experiment.
//!
//! Addresses and ports mislead: Neon's `-pooler` hosts and most PgBouncers on port 6432 work in transaction mode, where
//! a setting of a session stays on a server connection that other clients use, and named statements are missing or
//! already there. So nothing is set on a connection before the mode is known. The experiment only reads.
//!
//! 1. **Without a pooler** the server itself has read the startup packet, so the source of `TimeZone`, which sqlx sends
//!    in it, is `client`. A pooler's own startup packet does not have it (PgBouncer; Supavisor's `db_handler.ex` sends the
//!    user, database and application name); it sends `SET` to its servers, or nothing. One round trip decides this.
//! 2. **Behind a pooler** a second connection logs in for a moment. The two run short reads, each a transaction of its own:
//!    first, second, first, first, second. In session mode each has a server process of its own, whose transaction ids
//!    increase by one from read to read. In transaction mode a server connection is free after each read. A pooler that
//!    takes the one that was released last gives the third read that of the second read. One that takes the one that has
//!    been free for longest gives the fourth read another than the third. Other clients can hide either only by using the
//!    same server connections in between, which shows in the transaction ids. A process also runs transactions of its own
//!    when schema changes pile up, so ids that jump are read again before they count.
//! 3. **Behind a full session pooler** the second connection is refused in words that name the mode, or its first read
//!    waits while the first connection, which asks later, is answered. A queue of a transaction pooler is served in
//!    order.
//!
//! The second connection comes out of the reserve, or out of the share while the pool's other attempts wait for the
//! result. Where neither has room, or the second is refused, the mode stays unknown and connections are used as behind a
//! transaction pooler, which is right in every mode; the experiment is repeated after [`RETRY`].
//!
//! The experiment cannot see several poolers behind one address, if it meets two of them. Therefore the result remains
//! under examination: a server process that changed, or a named statement that is missing or already there, switches to
//! transaction mode.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Error as SqlxError, Row, raw_sql};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::connect_error::{classify, loss, names_session_mode};
use super::instances::ShareBudget;
use super::login::Login;
use super::tls_relay::Relay;
use crate::settings::{Instances, PoolerMode, Settings};

/// The time after which an experiment without a result is repeated, and the age that connections reach until then.
pub(crate) const RETRY: Duration = Duration::from_secs(10);
/// How long the second connection's login is repeated while the pooler is full.
const LOGIN: Duration = Duration::from_secs(2);
/// How long the second connection's first read waits before the first connection asks as well: longer than lost packets
/// take to be sent again.
const WAITS: Duration = Duration::from_secs(1);
/// How often reads that show nothing else but transactions in between are repeated.
const ROUNDS: u32 = 4;

const SQL: &str = "SELECT pg_backend_pid() AS pid, \
    coalesce((SELECT source = 'client' FROM pg_catalog.pg_settings WHERE name = 'TimeZone'), false) AS direct, \
    (SELECT split_part(virtualtransaction, '/', 2)::bigint FROM pg_catalog.pg_locks \
     WHERE pid = pg_backend_pid() AND locktype = 'virtualxid' LIMIT 1) AS transaction";

/// The mode as far as it is known, for the life of a pool.
#[derive(Debug)]
pub(crate) struct ModeDetector {
    /// None until it has been looked for.
    mode: watch::Sender<Option<PoolerMode>>,
    /// When the last experiment ended without a result. One is made at a time; other attempts wait before they log in.
    inconclusive: Mutex<Option<Instant>>,
    room: Room,
}

/// Whether there is room for a second connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    Available,
    None,
}

impl ModeDetector {
    pub(crate) fn new(settings: &Settings) -> Self {
        let budget = ShareBudget::new(settings);
        let share = match settings.instances {
            Instances::Fixed(instances) => budget.share(instances),
            Instances::Auto => budget.share(1),
        };
        Self {
            mode: watch::Sender::new(settings.known_mode()),
            inconclusive: Mutex::default(),
            room: match settings.reserve > 0 || share > 1 {
                true => Room::Available,
                false => Room::None,
            },
        }
    }

    /// The mode by which statements and settings go.
    pub(crate) fn mode(&self) -> PoolerMode {
        self.mode.borrow().unwrap_or(PoolerMode::Unknown)
    }

    /// Whether no connection has looked for the mode yet.
    pub(crate) fn is_open(&self) -> bool {
        self.mode.borrow().is_none()
    }

    /// Returns the right to make the experiment with the next connection, where one is due; waits for one under way.
    pub(crate) async fn turn(&self) -> Option<DetectionTurn<'_>> {
        if self.mode() != PoolerMode::Unknown {
            return None;
        }
        let inconclusive = self.inconclusive.lock().await;
        let due = self.mode() == PoolerMode::Unknown && inconclusive.is_none_or(|at| at.elapsed() >= RETRY);
        due.then_some(DetectionTurn {
            detector: self,
            inconclusive,
        })
    }

    /// Switches to transaction mode, since connections do not keep their server process; returns whether that is new.
    pub(crate) fn switch_to_transaction(&self, evidence: &str) -> bool {
        let switched = self.mode.send_if_modified(|mode| {
            let is_new = mode.is_some_and(PoolerMode::keeps_sessions);
            if is_new {
                *mode = Some(PoolerMode::Transaction);
            }
            is_new
        });
        if switched {
            tracing::warn!(
                evidence,
                "the pooler works in transaction mode, unlike detected or configured: statements are no longer \
                 named, and settings last for one transaction"
            );
        }
        switched
    }
}

/// The right to make the experiment.
#[derive(Debug)]
pub(crate) struct DetectionTurn<'d> {
    detector: &'d ModeDetector,
    inconclusive: MutexGuard<'d, Option<Instant>>,
}

impl DetectionTurn<'_> {
    /// Makes the experiment with a connection on which nothing has run, and remembers the result.
    ///
    /// # Errors
    /// The connection is lost.
    ///
    /// # Cancel safety
    /// As a connection attempt: dropping the future drops the second socket, and the first is in an unknown state.
    pub(crate) async fn detect(
        mut self,
        login: &Login,
        first: &mut PgConnection,
    ) -> Result<PoolerMode, SqlxError> {
        let mode = detect(login, first, self.detector.room).await?;
        let is_first = self.detector.mode.send_replace(Some(mode)).is_none();
        if mode != PoolerMode::Unknown {
            tracing::info!(db.pooler = ?mode, "pooler mode detected");
        } else {
            *self.inconclusive = Some(Instant::now());
            if is_first {
                tracing::warn!(
                    "the pooler's mode is unknown, because a second connection was not admitted: connections are \
                     used as if behind a transaction pooler; set database.pooler, or a database.reserve of at least \
                     1"
                );
            }
        }
        Ok(mode)
    }
}

/// Finds the mode for a tool's connection, with a second one beside it.
///
/// # Errors
/// The first connection is lost.
pub(crate) async fn detect_for_tool(
    login: &Login,
    first: &mut PgConnection,
) -> Result<PoolerMode, SqlxError> {
    detect(login, first, Room::Available).await
}

async fn detect(login: &Login, first: &mut PgConnection, room: Room) -> Result<PoolerMode, SqlxError> {
    let seen = match observe(first).await {
        Err(error) if loss(&error).is_none() => return Ok(PoolerMode::Unknown),
        seen => seen?,
    };
    if seen.direct {
        return Ok(PoolerMode::Direct);
    }
    if room == Room::None {
        return Ok(PoolerMode::Unknown);
    }
    let (mut second, relay) = match log_in(login).await {
        Ok(second) => second,
        Err(error) if names_session_mode(&error) => return Ok(PoolerMode::Session),
        Err(_) => return Ok(PoolerMode::Unknown),
    };
    match meet(first, seen, &mut second).await? {
        Some(mode) => {
            close(second, relay).await;
            Ok(mode)
        }
        // Its read still waits. Dropped, it leaves the pooler's queue.
        None => Ok(PoolerMode::Session),
    }
}

/// Lets the two read in turn; returns none where the second waits for a server connection and the first has its own.
async fn meet(
    first: &mut PgConnection,
    mut own: Seen,
    second: &mut PgConnection,
) -> Result<Option<PoolerMode>, SqlxError> {
    let mut theirs = match read_or_wait(first, second).await? {
        FirstRead::Answered(theirs) => theirs,
        FirstRead::Late => {
            own = observe(first).await?;
            observe(second).await
        }
        FirstRead::Waits => return Ok(None),
    };
    for _ in 0..ROUNDS {
        let Ok(seen) = theirs else {
            return Ok(Some(PoolerMode::Unknown));
        };
        if seen.pid == own.pid {
            break;
        }
        let [third, fourth] = [observe(first).await?, observe(first).await?];
        let Ok(fifth) = observe(second).await else {
            return Ok(Some(PoolerMode::Unknown));
        };
        if own.pid != third.pid || third.pid != fourth.pid || seen.pid != fifth.pid {
            break;
        }
        if own.is_followed_by(third) && third.is_followed_by(fourth) && seen.is_followed_by(fifth) {
            return Ok(Some(PoolerMode::Session));
        }
        own = fourth;
        theirs = observe(second).await;
    }
    Ok(Some(PoolerMode::Transaction))
}

/// How the second connection's first read went.
enum FirstRead {
    Answered(Result<Seen, SqlxError>),
    /// After the first connection had asked too, which says nothing about either.
    Late,
    /// It still waits, and the first connection, which asked later, was answered.
    Waits,
}

async fn read_or_wait(first: &mut PgConnection, second: &mut PgConnection) -> Result<FirstRead, SqlxError> {
    let mut waiting = std::pin::pin!(observe(second));
    if let Ok(answer) = tokio::time::timeout(WAITS, &mut waiting).await {
        return Ok(FirstRead::Answered(answer));
    }
    let mut asking = std::pin::pin!(observe(first));
    tokio::select! {
        biased;
        _late = &mut waiting => asking.await.map(|_| FirstRead::Late),
        own = &mut asking => own.map(|_| FirstRead::Waits),
    }
}

/// Opens the second connection; a pooler that frees a place only a moment later is asked again.
async fn log_in(login: &Login) -> Result<(PgConnection, Relay), SqlxError> {
    let begun = Instant::now();
    loop {
        match login.connect().await {
            Err(error)
                if classify(&error).is_full() && !names_session_mode(&error) && begun.elapsed() < LOGIN =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn close(connection: PgConnection, relay: Relay) {
    // After an error it is closed all the same.
    let _ = connection.close().await;
    relay.ended().await;
}

/// What one read shows.
#[derive(Clone, Copy, Debug)]
struct Seen {
    pid: i32,
    direct: bool,
    transaction: Option<i64>,
}

impl Seen {
    /// Whether the next read of the same connection met the same process, which did nothing else in between.
    fn is_followed_by(self, next: Self) -> bool {
        self.pid == next.pid && self.transaction.map(|transaction| transaction + 1) == next.transaction
    }
}

async fn observe(connection: &mut PgConnection) -> Result<Seen, SqlxError> {
    let row = raw_sql(SQL).fetch_one(connection).await?;
    Ok(Seen {
        pid: row.try_get("pid")?,
        direct: row.try_get("direct")?,
        transaction: row.try_get("transaction")?,
    })
}
