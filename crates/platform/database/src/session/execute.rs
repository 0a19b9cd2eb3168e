//! One statement there and back: under a limit of time, in everybody's sight, and never half done.

use std::time::{Duration, Instant};

use sea_orm::DbBackend;
use sqlx::Error as SqlxError;
use tokio::time::error::Elapsed;
use tracing::Instrument;

use super::inner::{Fault, InFlight, RAW, SessionInner, TransactionState, is_final, is_stale};
use crate::connect::connect_error::{Loss, loss};
use crate::error::Error;
use crate::pool::lease::ConnectionState;
use crate::pool::status::HolderState;
use crate::session::query::{self, Job};
use crate::settings::LONGEST;
use crate::stats::statement_stats::operation;

/// A lease that lies idle inside a transaction for longer is warned of.
const IDLE_WARNING: Duration = Duration::from_millis(50);

impl SessionInner {
    /// Plain SQL of the session's own.
    pub(super) async fn send(&self, work: &mut TransactionState, sql: &str) -> Result<(), Fault> {
        self.round_trip(work, sql, false, &query::Plain(sql))
            .await
            .map(drop)
    }

    /// One statement of the caller's, marking its level where it fails.
    pub(super) async fn step<J: Job>(
        &self,
        work: &mut TransactionState,
        sql: &str,
        job: &J,
    ) -> Result<J::Output, Fault> {
        let outcome = self.round_trip(work, sql, true, job).await;
        if matches!(outcome, Err(Fault::Statement(_))) {
            work.mark_failed();
        }
        outcome
    }

    /// Runs something on the lease. Dropped or out of time half-way, it takes the connection with it.
    async fn round_trip<J: Job>(
        &self,
        work: &mut TransactionState,
        sql: &str,
        counted: bool,
        job: &J,
    ) -> Result<J::Output, Fault> {
        let begun = Instant::now();
        self.begins(sql, counted);
        let limit = self.deadline.or_else(|| Some(begun + self.silence(work, sql)?));
        let mut in_flight = InFlight { work, landed: false };
        let connection = in_flight.work.connection().ok_or(Error::ConnectionLost)?;
        let span = tracing::debug_span!(
            "db.statement",
            db.operation.name = operation(sql),
            db.query.text = sql
        );
        let running = job.run(connection).instrument(span);
        let outcome = match limit {
            Some(limit) => tokio::time::timeout_at(limit.into(), running).await,
            None => Ok(running.await),
        };
        let outcome = self.land(&mut in_flight, outcome);
        drop(in_flight);
        self.ends(work, sql, begun, job);
        outcome
    }

    /// What the outcome means for the connection, and for whoever asked.
    fn land<T>(
        &self,
        in_flight: &mut InFlight<'_>,
        outcome: Result<Result<T, SqlxError>, Elapsed>,
    ) -> Result<T, Fault> {
        let (condition, outcome) = match outcome {
            Ok(Ok(value)) => (None, Ok(value)),
            Ok(Err(error)) if is_final(&error) => (Some(ConnectionState::Busy), Err(Fault::Statement(error))),
            Ok(Err(error)) if loss(&error) == Some(Loss::ThisConnection) => {
                (Some(ConnectionState::Busy), Err(Fault::Lost))
            }
            Ok(Err(error)) if loss(&error).is_some() || is_stale(&error) => {
                (Some(ConnectionState::Dead), Err(Fault::Lost))
            }
            Ok(Err(error)) => (None, Err(Fault::Statement(error))),
            Err(_) if self.deadline.is_none() => (
                Some(ConnectionState::Dead),
                Err(Fault::Own(Error::ConnectionLost)),
            ),
            // It has not landed: the server may still be at it.
            Err(_) => return Err(Fault::Own(Error::DeadlineExceeded)),
        };
        in_flight.land(condition);
        outcome
    }

    /// Tells the others that a statement goes out, and how long the connection had lain idle.
    pub(crate) fn begins(&self, sql: &str, counted: bool) {
        let idle = self.activity.begins(sql, counted);
        self.record_idle(idle);
    }

    /// Tells the others, if a connection lay idle in a transaction for longer than it should.
    pub(crate) fn record_idle(&self, idle: Option<Duration>) {
        if let Some(idle) = idle.filter(|idle| *idle > IDLE_WARNING) {
            self.pool.record_idle(self.options.label.clone(), idle);
        }
    }

    fn ends<J: Job>(&self, work: &TransactionState, sql: &str, begun: Instant, job: &J) {
        let took = begun.elapsed();
        self.pool.statements.record(sql, took);
        self.activity.rests(if work.is_bare() {
            HolderState::Idle
        } else {
            HolderState::InTransaction
        });
        if self.pool.settings.echo {
            let values = job.values().filter(|_| self.pool.settings.echo_parameters);
            let values = values.map(tracing::field::debug);
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            tracing::info!(label = %self.options.label, sql, values, took_us, "statement");
        }
    }

    /// The longest that a session without a deadline waits for an answer: a flow that was dropped without a
    /// word would hold its slot for ever. The server ends each statement by itself before that, and what a
    /// transaction pooler makes BEGIN wait is a wait for a connection. None where that is not known: the
    /// limit is off, the caller may have changed it, or raw code runs as many statements as it likes.
    pub(crate) fn silence(&self, work: &mut TransactionState, sql: &str) -> Option<Duration> {
        let each = self.pool.settings.statement_timeout;
        let changes = |window: &[u8]| window.eq_ignore_ascii_case(b"statement_timeout");
        work.untimed |= !sql.starts_with("BEGIN") && sql.as_bytes().windows(17).any(changes);
        if work.untimed || each.is_zero() || sql == RAW || self.backend() != DbBackend::Postgres {
            return None;
        }
        let statements = 1 + sql.bytes().filter(|byte| *byte == b';').count();
        let running = each.saturating_mul(u32::try_from(statements).unwrap_or(u32::MAX));
        Some(running.min(LONGEST) + self.pool.settings.pool_timeout)
    }
}
