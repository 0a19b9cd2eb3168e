//! Lease: a pooled connection while one session uses it: validation before use, and release afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Error, Row, raw_sql};

use crate::connect::connect_error::loss;
use crate::connect::connector::{Connection, Ended, SqliteHooks, TransactionEnd};
use crate::connect::set_up::Backend;
use crate::connect::tls_relay::Relay;
use crate::pool::{Pool, spawn};
use berth_pool::{CloseMode, ReleaseOutcome, SlotId};

/// The timeout of the validation of an idle connection: a flow that was dropped on the way does not fail, it hangs.
pub(super) const CHECK_LIMIT: Duration = Duration::from_secs(1);

/// A connection of the pool, with what is known about it.
#[derive(Debug)]
pub(crate) struct PooledConnection {
    pub(crate) connection: Connection,
    pub(crate) hooks: SqliteHooks,
    pub(crate) relay: Relay,
    pub(crate) backend: Option<Backend>,
    pub(crate) connected: Instant,
    /// How often it has been leased.
    pub(crate) leases: u64,
}

impl PooledConnection {
    /// Closes the connection gracefully, and waits until the socket to the server is closed.
    pub(crate) async fn close(self) {
        // After an error the connection is closed all the same.
        let _ = self.connection.close().await;
        self.relay.ended().await;
    }
}

/// In what state a connection is when its lease ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ConnectionState {
    /// Nothing under way, no transaction open.
    Clean,
    /// A transaction is open, nothing is under way.
    Open,
    /// Nothing under way, no transaction open; state of the session may remain.
    Used,
    /// Something is under way: what the server does with it is unknown.
    Busy,
    /// Lost, and its neighbours perhaps with it.
    Dead,
    /// Lost alone: the server has ended this session.
    Gone,
    /// Usable, but to be replaced, and with it all that are as old.
    Outdated,
}

/// A slot's connection, leased to a session. Dropping it releases the connection in the state that was noted last.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    slot: SlotId,
    pooled: Option<PooledConnection>,
    taken: Instant,
    state: ConnectionState,
    /// Session state may remain that the reset does not clear, so the connection is closed after this lease.
    tainted: bool,
}

impl Lease {
    pub(crate) fn new(pool: Arc<Pool>, slot: SlotId, mut pooled: PooledConnection) -> Self {
        pooled.leases += 1;
        Self {
            pool,
            slot,
            pooled: Some(pooled),
            taken: Instant::now(),
            state: ConnectionState::Clean,
            tainted: false,
        }
    }

    /// The connection. Marked busy until [`Lease::finish`], so that a dropped future is noticed.
    pub(crate) fn begin(&mut self) -> Option<&mut Connection> {
        self.state = ConnectionState::Busy;
        self.pooled.as_mut().map(|pooled| &mut pooled.connection)
    }

    /// Notes that the statement has ended and left the connection in this state.
    pub(crate) fn finish(&mut self, state: ConnectionState) {
        self.state = state;
    }

    /// Closes the connection when it is released, however its transaction ends.
    pub(crate) fn close_afterwards(&mut self) {
        self.tainted = true;
    }

    pub(crate) fn is_tainted(&self) -> bool {
        self.tainted
    }

    /// Whether the connection was idle before this lease, so that it may have been lost unseen.
    pub(crate) fn was_idle(&self) -> bool {
        self.pooled.as_ref().is_some_and(|pooled| pooled.leases > 1)
    }

    /// Whether SQLite has rolled back the transaction on its own since the last call.
    pub(crate) fn take_rolled_back(&self) -> bool {
        self.pooled
            .as_ref()
            .is_some_and(|pooled| pooled.hooks.take_rolled_back())
    }

    pub(crate) fn held(&self) -> Duration {
        self.taken.elapsed()
    }

    /// Validates a connection that was idle for long; drops it as dead if it does not answer.
    pub(crate) async fn validate(&mut self, deadline: Instant) -> bool {
        let limit = deadline.min(Instant::now() + CHECK_LIMIT);
        let Some(connection) = self.begin() else {
            return false;
        };
        let ping = async {
            match connection {
                Connection::Postgres(connection, _) => connection.ping().await,
                Connection::Sqlite(connection) => connection.ping().await,
            }
        };
        let answer = tokio::time::timeout_at(limit.into(), ping).await;
        self.finish(match answer {
            Ok(Ok(())) => ConnectionState::Clean,
            // The caller's deadline passed, which says nothing about this connection or the others.
            Err(_) if limit == deadline => ConnectionState::Busy,
            Ok(Err(_)) | Err(_) => ConnectionState::Dead,
        });
        matches!(answer, Ok(Ok(())))
    }

    /// Ends the transaction and resets the session's state, in one round trip; returns the state that this leaves.
    ///
    /// # Errors
    /// The transaction did not end as asked.
    pub(crate) async fn end_transaction(&mut self, verb: TransactionEnd) -> Result<ConnectionState, Error> {
        let pool = self.pool.clone();
        let pid = self
            .pooled
            .as_ref()
            .and_then(|pooled| pooled.backend)
            .map(|backend| backend.pid);
        let connection = self.begin().ok_or(Error::WorkerCrashed)?;
        Ok(match connection.end_transaction(verb, pool.reset(), pid).await? {
            Ended::Clean => ConnectionState::Clean,
            Ended::Unclean => ConnectionState::Busy,
            Ended::OtherStatements => {
                self.close_afterwards();
                ConnectionState::Clean
            }
            Ended::Elsewhere => {
                pool.switch_to_transaction("a connection changed its server process");
                ConnectionState::Outdated
            }
        })
    }

    /// Runs a counting query of the pool's maintenance; returns none where the connection failed.
    pub(crate) async fn count(&mut self, sql: &str) -> Option<u32> {
        let Some(Connection::Postgres(connection, _)) = self.begin() else {
            return None;
        };
        let query = raw_sql(sqlx::AssertSqlSafe(sql)).fetch_one(connection);
        match tokio::time::timeout(CHECK_LIMIT, query).await {
            Ok(Ok(row)) => {
                self.finish(ConnectionState::Clean);
                row.try_get::<i64, _>(0)
                    .ok()
                    .and_then(|count| u32::try_from(count).ok())
            }
            Ok(Err(error)) => {
                self.finish(match loss(&error) {
                    Some(_) => ConnectionState::Dead,
                    None => ConnectionState::Clean,
                });
                None
            }
            // It was in use a moment ago, so the server is slow and the other connections are not suspect.
            Err(_) => {
                self.finish(ConnectionState::Busy);
                None
            }
        }
    }

    fn end_in_task(&mut self, pooled: PooledConnection, end: TransactionEnd) {
        let limit = self.pool.settings.close_timeout;
        let mut lease = Self {
            pool: self.pool.clone(),
            slot: self.slot,
            pooled: Some(pooled),
            taken: self.taken,
            state: ConnectionState::Busy,
            tainted: self.tainted,
        };
        spawn(&self.pool.runtime.clone(), async move {
            let ending = lease.end_transaction(end);
            let state = match tokio::time::timeout(limit, ending).await {
                Ok(Ok(state)) => state,
                Ok(Err(_)) | Err(_) => ConnectionState::Dead,
            };
            lease.finish(state);
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        let state = match self.state {
            ConnectionState::Used if self.pool.reset().is_none() => ConnectionState::Clean,
            state => state,
        };
        match state {
            ConnectionState::Clean if self.tainted => {
                self.pool.lost(self.slot, ReleaseOutcome::Closing, self.taken);
                self.pool.close_connection(self.slot, pooled, CloseMode::Graceful);
            }
            ConnectionState::Clean => self.pool.release_clean(self.slot, pooled, self.taken),
            ConnectionState::Open => self.end_in_task(pooled, TransactionEnd::Rollback),
            ConnectionState::Used => self.end_in_task(pooled, TransactionEnd::NotOpen),
            ConnectionState::Busy if matches!(pooled.connection, Connection::Postgres(..)) => {
                self.pool.orphan(self.slot, pooled, self.taken);
            }
            ConnectionState::Gone => self.pool.lost(self.slot, ReleaseOutcome::Dropped, self.taken),
            ConnectionState::Busy | ConnectionState::Dead | ConnectionState::Outdated => self.abandon(pooled),
        }
    }
}

impl Lease {
    /// Drops a connection that is dead, or closes one whose SQLite thread is still running a statement.
    fn abandon(&self, pooled: PooledConnection) {
        match pooled.connection {
            Connection::Postgres(connection, _) => {
                drop((connection, pooled.relay));
                self.pool.lost(self.slot, ReleaseOutcome::Dead, self.taken);
            }
            Connection::Sqlite(_) => {
                pooled.hooks.interrupt();
                self.pool.lost(self.slot, ReleaseOutcome::Closing, self.taken);
                self.pool.close_connection(self.slot, pooled, CloseMode::Graceful);
            }
        }
    }
}
