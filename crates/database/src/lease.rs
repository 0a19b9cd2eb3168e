//! A connection lent to one session, and how it comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Row, raw_sql};

use crate::connector::{Connection, Interrupt};
use crate::ledger::{Return, SlotId};
use crate::pool::{Pool, spawn};
use crate::relay::Relay;

/// The longest a check of a connection that lay idle may take: a dropped flow does not fail, it hangs.
const CHECK_LIMIT: Duration = Duration::from_secs(1);

/// A connection with what is known of it.
#[derive(Debug)]
pub(crate) struct Berth {
    pub(crate) connection: Connection,
    pub(crate) interrupt: Interrupt,
    pub(crate) relay: Relay,
    pub(crate) pid: Option<i32>,
}

impl Berth {
    /// Says goodbye, and waits until the server's side of the wire is closed too.
    pub(crate) async fn close(self) {
        // An error on the way out leaves a closed connection all the same.
        let _ = self.connection.close().await;
        self.relay.ended().await;
    }
}

/// In what state a connection is when its lease ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Condition {
    /// Nothing under way, no transaction open.
    Clean,
    /// A transaction is open, nothing is under way.
    Open,
    /// Something is under way: what the server does with it is unknown.
    Busy,
    /// Found dead.
    Dead,
}

/// One slot's connection in the hands of a session; dropping it gives it back in its condition.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    slot: SlotId,
    berth: Option<Berth>,
    taken: Instant,
    condition: Condition,
    /// Something of its user's stays on it, whatever becomes of the transaction: closed, not passed on.
    tainted: bool,
}

impl Lease {
    pub(crate) fn new(pool: Arc<Pool>, slot: SlotId, berth: Berth) -> Self {
        Self {
            pool,
            slot,
            berth: Some(berth),
            taken: Instant::now(),
            condition: Condition::Clean,
            tainted: false,
        }
    }

    /// The connection. Marked busy until [`Lease::rest`], so that a dropped future is noticed.
    pub(crate) fn begin(&mut self) -> Option<&mut Connection> {
        self.condition = Condition::Busy;
        self.berth.as_mut().map(|berth| &mut berth.connection)
    }

    /// What was begun has ended, and leaves the connection in this condition.
    pub(crate) fn rest(&mut self, condition: Condition) {
        self.condition = condition;
    }

    /// Marks the connection as not fit for another session, however its transaction ends.
    pub(crate) fn taint(&mut self) {
        self.tainted = true;
    }

    pub(crate) fn held(&self) -> Duration {
        self.taken.elapsed()
    }

    /// Makes sure that a connection that lay idle for long still answers; drops it as dead if not.
    pub(crate) async fn check(&mut self, deadline: Instant) -> bool {
        let limit = deadline.min(Instant::now() + CHECK_LIMIT);
        let Some(connection) = self.begin() else {
            return false;
        };
        let ping = async {
            match connection {
                Connection::Postgres(connection) => connection.ping().await,
                Connection::Sqlite(connection) => connection.ping().await,
            }
        };
        let answer = tokio::time::timeout_at(limit.into(), ping).await;
        self.rest(match answer {
            Ok(Ok(())) => Condition::Clean,
            // The caller's haste says nothing of the connection, let alone of those beside it.
            Err(_) if limit == deadline => Condition::Busy,
            Ok(Err(_)) | Err(_) => Condition::Dead,
        });
        matches!(answer, Ok(Ok(())))
    }

    /// Runs a counting query for the pool's own errands; none where the connection failed.
    pub(crate) async fn count(&mut self, sql: &str) -> Option<u32> {
        let Some(Connection::Postgres(connection)) = self.begin() else {
            return None;
        };
        let query = raw_sql(sqlx::AssertSqlSafe(sql)).fetch_one(connection);
        match tokio::time::timeout(CHECK_LIMIT, query).await {
            Ok(Ok(row)) => {
                self.rest(Condition::Clean);
                row.try_get::<i64, _>(0)
                    .ok()
                    .and_then(|count| u32::try_from(count).ok())
            }
            Ok(Err(_)) => {
                self.rest(Condition::Dead);
                None
            }
            // It was in use a moment ago: the server is slow, and the connections beside this one are not to blame.
            Err(_) => {
                self.rest(Condition::Busy);
                None
            }
        }
    }

    fn roll_back(&mut self, berth: Berth) {
        let limit = self.pool.settings.close_timeout;
        let mut lease = Self {
            pool: self.pool.clone(),
            slot: self.slot,
            berth: Some(berth),
            taken: self.taken,
            condition: Condition::Busy,
            tainted: self.tainted,
        };
        spawn(&self.pool.runtime.clone(), async move {
            let Some(connection) = lease.begin() else { return };
            let done = tokio::time::timeout(limit, connection.run("ROLLBACK")).await;
            lease.rest(if matches!(done, Ok(Ok(()))) {
                Condition::Clean
            } else {
                Condition::Dead
            });
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(berth) = self.berth.take() else { return };
        match self.condition {
            Condition::Clean if self.tainted => {
                self.pool.lost(self.slot, Return::Closing, self.taken);
                self.pool.close_berth(self.slot, berth, true);
            }
            Condition::Clean => self.pool.give_back(self.slot, berth, self.taken),
            Condition::Open => self.roll_back(berth),
            Condition::Busy | Condition::Dead => self.abandon(berth),
        }
    }
}

impl Lease {
    /// Ends a connection whose state is unknown, without a word: closing would flush what is buffered.
    fn abandon(&self, berth: Berth) {
        match berth.connection {
            Connection::Postgres(connection) => {
                drop((connection, berth.relay));
                let how = if self.condition == Condition::Dead {
                    Return::Dead
                } else {
                    Return::Dropped
                };
                self.pool.lost(self.slot, how, self.taken);
            }
            Connection::Sqlite(_) => {
                berth.interrupt.ring();
                self.pool.lost(self.slot, Return::Closing, self.taken);
                self.pool.close_berth(self.slot, berth, true);
            }
        }
    }
}
