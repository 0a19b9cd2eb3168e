//! The experiment that shows whether a connection keeps its server process. It only reads.
//!
//! 1. **Without a pooler** the server itself has read the startup packet, so the source of `TimeZone`, which sqlx sends
//!    in it, is `client`. A pooler's own startup packet does not have it (PgBouncer; Supavisor's `db_handler.ex` sends the
//!    user, database and application name); it sends `SET` to its servers, or nothing. One round trip decides this.
//! 2. **Behind a pooler** a second connection logs in for a moment, while the first goes on reading. Then the two run short
//!    reads, each a transaction of its own: second, second, first. In session mode each has a server process of its own,
//!    whose transaction ids increase by one from read to read. In transaction mode a server connection is free after each
//!    read. A pooler that takes the one that was released last gives the second connection's first read that of the first
//!    connection. One that takes the one that has been free for longest gives the second connection's second read another
//!    than its first. Other clients can hide either only by using the first connection's server in between, which shows in
//!    its transaction ids. A process also runs transactions of its own when schema changes pile up, so ids that jump are
//!    read again before they count.
//! 3. **Behind a full session pooler** the second connection is refused in words that name the mode, or its first read
//!    waits while the first connection, which asks later, is answered. A queue of a transaction pooler is served in
//!    order.
//!
//! The read that would decide for a direct or a session connection carries the connection's set-up, on the condition that
//! it does: the server compares, so nothing is set where it does not. A start over a slow network is dominated by round
//! trips, and this saves one.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Error as SqlxError, Row, raw_sql};
use tokio::sync::oneshot;

use crate::connect::connect_error::{classify, loss, names_session_mode};
use crate::connect::login::Login;
use crate::connect::set_up::{ServerFacts, SetUp};
use crate::connect::tls_relay::{PreparedSocket, Relay};
use crate::settings::PoolerMode;

/// How long the second connection's login is repeated while the pooler is full.
const LOGIN: Duration = Duration::from_secs(2);
/// How long the second connection's first read waits before the first connection asks as well: longer than lost packets
/// take to be sent again.
const WAITS: Duration = Duration::from_secs(1);
/// How often reads that show nothing else but transactions in between are repeated.
const ROUNDS: u32 = 4;

const SQL: &str = "SELECT pg_backend_pid() AS pid, current_setting('server_version') AS version, \
    coalesce((SELECT source = 'client' FROM pg_catalog.pg_settings WHERE name = 'TimeZone'), false) AS direct, \
    (SELECT split_part(virtualtransaction, '/', 2)::bigint FROM pg_catalog.pg_locks \
     WHERE pid = pg_backend_pid() AND locktype = 'virtualxid' LIMIT 1) AS transaction";

/// What the experiment shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Finding {
    Direct,
    Session,
    /// A connection was served by another process than before, or two by the same.
    Transaction,
    /// Each connection kept its process, which did something else in each round. That is most often another client's.
    Restless,
    /// The second connection could not be had.
    Nothing,
}

/// The second connection; dropped, it is closed abruptly.
#[derive(Debug, Default)]
pub(super) struct Second(Option<(PgConnection, Relay)>);

impl Second {
    /// Closes it, if it is open.
    pub(super) fn close(self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let (connection, relay) = self.0?;
        Some(async move {
            // After an error it is closed all the same.
            let _ = connection.close().await;
            relay.ended().await;
        })
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
    let mut second = Second::default();
    let (finding, _) = detect(first, Some((login, None)), &mut second, None).await?;
    if let Some(closing) = second.close() {
        closing.await;
    }
    Ok(match finding {
        Finding::Direct => PoolerMode::Direct,
        Finding::Session => PoolerMode::Session,
        Finding::Transaction | Finding::Restless => PoolerMode::Transaction,
        Finding::Nothing => PoolerMode::Unknown,
    })
}

/// A socket on its way, and what says that the connection over it is wanted.
pub(super) type Prepared = (PreparedSocket, oneshot::Sender<()>);

/// Makes the experiment; `room` is the way to the second connection, where there is room for it.
///
/// # Errors
/// The first connection is lost.
pub(super) async fn detect(
    first: &mut PgConnection,
    room: Option<(&Login, Option<Prepared>)>,
    second: &mut Second,
    set_up: Option<&SetUp>,
) -> Result<(Finding, Option<ServerFacts>), SqlxError> {
    let mut first = First {
        connection: first,
        set_up,
    };
    let looked = match look(&mut first, room).await {
        Ok(looked) => looked,
        Err(Early::Direct(facts)) => return Ok((Finding::Direct, facts)),
        Err(Early::Failed(error)) if loss(&error).is_none() => return Ok((Finding::Nothing, None)),
        Err(Early::Failed(error)) => return Err(error),
    };
    let (finding, facts) = match (looked.second, looked.own) {
        (None, _) => (Finding::Nothing, None),
        (Some(Ok(connection)), Some(own)) => {
            let connection = &mut second.0.insert(connection).0;
            let met = meet(&mut first, own, connection).await?;
            met.unwrap_or_else(|| {
                // Its read still waits. Dropped, it leaves the pooler's queue.
                second.0 = None;
                (Finding::Session, None)
            })
        }
        (Some(connection), None) => {
            second.0 = connection.ok();
            (Finding::Transaction, None)
        }
        (Some(Err(error)), Some(_)) if names_session_mode(&error) => (Finding::Session, None),
        (Some(Err(_)), Some(_)) => (Finding::Nothing, None),
    };
    let known = || ServerFacts::without_session(looked.version);
    Ok(match finding {
        Finding::Session | Finding::Direct => (finding, facts),
        Finding::Transaction | Finding::Restless | Finding::Nothing => (finding, Some(known())),
    })
}

/// What the first connection has read while the second logged in.
struct Looked {
    version: String,
    /// The last read; none where another process served one than the others.
    own: Option<Seen>,
    /// None where there is no room for it.
    second: Option<Result<(PgConnection, Relay), SqlxError>>,
}

/// Why the second connection is not waited for.
enum Early {
    Direct(Option<ServerFacts>),
    Failed(SqlxError),
}

async fn look(first: &mut First<'_>, room: Option<(&Login, Option<Prepared>)>) -> Result<Looked, Early> {
    let (login, prepared) = room.unzip();
    let (want, wanted) = oneshot::channel();
    let (prepared, want_prepared) = prepared.flatten().unzip();
    let looking = async {
        let (seen, facts) = first
            .read_and_set_up("seen.direct")
            .await
            .map_err(Early::Failed)?;
        if seen.direct {
            return Err(Early::Direct(facts));
        }
        if login.is_none() {
            return Ok((seen.version.clone(), Some(seen)));
        }
        // An attempt that has ended needs no word.
        let _ = want_prepared.unwrap_or(want).send(());
        let own = first.reads_alone(&seen).await.map_err(Early::Failed)?;
        Ok((seen.version, own))
    };
    let logging_in = async {
        let Some(login) = login else { return Ok(None) };
        if prepared.is_none() {
            let _ = wanted.await;
        }
        Ok(Some(log_in(login, prepared).await))
    };
    let ((version, own), second) = tokio::try_join!(looking, logging_in)?;
    Ok(Looked { version, own, second })
}

/// Lets the two read in turn; returns none where the second waits for a server connection and the first has its own.
async fn meet(
    first: &mut First<'_>,
    mut own: Seen,
    second: &mut PgConnection,
) -> Result<Option<(Finding, Option<ServerFacts>)>, SqlxError> {
    let mut theirs = match read_or_wait(first, second).await? {
        FirstRead::Answered(theirs) => theirs,
        FirstRead::Late => {
            own = first.read().await?;
            read(second).await
        }
        FirstRead::Waits => return Ok(None),
    };
    for _ in 0..ROUNDS {
        let Ok(third) = theirs else {
            return Ok(Some((Finding::Nothing, None)));
        };
        if third.pid == own.pid {
            return Ok(Some((Finding::Transaction, None)));
        }
        let Ok(fourth) = read(second).await else {
            return Ok(Some((Finding::Nothing, None)));
        };
        if third.pid != fourth.pid {
            return Ok(Some((Finding::Transaction, None)));
        }
        let (last, facts) = match own.transaction {
            Some(transaction) if third.is_followed_by(&fourth) => {
                let next = format!(
                    "seen.pid = {} AND seen.transaction = {}",
                    own.pid,
                    transaction + 1
                );
                first.read_and_set_up(&next).await?
            }
            _ => (first.read().await?, None),
        };
        if last.pid != own.pid {
            return Ok(Some((Finding::Transaction, None)));
        }
        if own.is_followed_by(&last) && third.is_followed_by(&fourth) {
            return Ok(Some((Finding::Session, facts)));
        }
        own = last;
        theirs = read(second).await;
    }
    Ok(Some((Finding::Restless, None)))
}

/// How the second connection's first read went.
enum FirstRead {
    Answered(Result<Seen, SqlxError>),
    /// After the first connection had asked too, which says nothing about either.
    Late,
    /// It still waits, and the first connection, which asked later, was answered.
    Waits,
}

async fn read_or_wait(first: &mut First<'_>, second: &mut PgConnection) -> Result<FirstRead, SqlxError> {
    let mut waiting = std::pin::pin!(read(second));
    if let Ok(answer) = tokio::time::timeout(WAITS, &mut waiting).await {
        return Ok(FirstRead::Answered(answer));
    }
    let mut asking = std::pin::pin!(first.read());
    tokio::select! {
        biased;
        _late = &mut waiting => asking.await.map(|_| FirstRead::Late),
        own = &mut asking => own.map(|_| FirstRead::Waits),
    }
}

/// Opens the second connection; a pooler that frees a place only a moment later is asked again.
async fn log_in(
    login: &Login,
    mut prepared: Option<PreparedSocket>,
) -> Result<(PgConnection, Relay), SqlxError> {
    let begun = Instant::now();
    loop {
        match login.connect_over(prepared.take()).await {
            Err(error)
                if classify(&error).is_full() && !names_session_mode(&error) && begun.elapsed() < LOGIN =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

/// The connection that is examined.
struct First<'c> {
    connection: &'c mut PgConnection,
    /// None for a tool, which sets its connection up by itself.
    set_up: Option<&'c SetUp>,
}

impl First<'_> {
    async fn read(&mut self) -> Result<Seen, SqlxError> {
        read(self.connection).await
    }

    /// Reads and, if the condition holds, sets the connection up.
    async fn read_and_set_up(&mut self, condition: &str) -> Result<(Seen, Option<ServerFacts>), SqlxError> {
        let Some(set_up) = self.set_up else {
            return Ok((self.read().await?, None));
        };
        match set_up.run_if(self.connection, SQL, condition).await? {
            Some((row, facts)) => Ok((Seen::of(&row, "seen_")?, facts)),
            // The server refuses a part of the set-up, which is left out the next time.
            None => Ok((self.read().await?, None)),
        }
    }

    /// Reads twice, while the second connection logs in; returns none where another process serves a read.
    async fn reads_alone(&mut self, seen: &Seen) -> Result<Option<Seen>, SqlxError> {
        let first = self.read().await?;
        let last = self.read().await?;
        Ok((first.pid == seen.pid && last.pid == seen.pid).then_some(last))
    }
}

/// What one read shows.
#[derive(Clone, Debug)]
struct Seen {
    pid: i32,
    direct: bool,
    transaction: Option<i64>,
    version: String,
}

impl Seen {
    fn of(row: &PgRow, prefix: &str) -> Result<Self, SqlxError> {
        let column = |name| format!("{prefix}{name}");
        Ok(Self {
            pid: row.try_get(column("pid").as_str())?,
            direct: row.try_get(column("direct").as_str())?,
            transaction: row.try_get(column("transaction").as_str())?,
            version: row.try_get(column("version").as_str())?,
        })
    }

    /// Whether the next read of the same connection met the same process, which did nothing else in between.
    fn is_followed_by(&self, next: &Self) -> bool {
        self.pid == next.pid && self.transaction.map(|transaction| transaction + 1) == next.transaction
    }
}

async fn read(connection: &mut PgConnection) -> Result<Seen, SqlxError> {
    let row = raw_sql(SQL).fetch_one(connection).await?;
    Seen::of(&row, "")
}
