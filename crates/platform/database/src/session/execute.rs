//! Executes every statement: timeout, in-flight guard, classification of errors, retry.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sea_orm::{DbBackend, DbErr, RuntimeErr};
use sqlx::Error as SqlxError;
use tracing::Instrument;

use super::begin::Begin;
use super::classify::{self, StatementKind};
use super::error::{Failure, Meaning, Resend, Resends, Sent, is_termination, meaning, resend};
use super::in_flight::{InFlight, TransactionState};
use super::inner::SessionInner;
use super::query::{self, Operation};
use crate::connect::connect_error::{Loss, Reason};
use crate::connect::connector::Connection;
use crate::error::Error;
use crate::pool::lease::{ConnectionState, Lease};
use crate::settings::LONGEST;
use crate::stats::activity::{Counted, HolderState};
use crate::stats::counters::Event;

/// Stands for raw code where a statement's text is shown.
pub(super) const RAW: &str = "(raw)";
/// A connection that is idle inside a transaction for longer is counted and reported.
const IDLE_WARNING: Duration = Duration::from_millis(50);

impl SessionInner {
    /// Runs one statement of the caller: bare, or in the transaction, which it begins if there is none.
    pub(super) async fn run<J: Operation>(
        &self,
        depth: usize,
        sql: &str,
        operation: &J,
    ) -> Result<J::Output, DbErr> {
        let kind = self.admit(depth, sql)?;
        let mut state = self.enter(depth).await?;
        let mut resends = Resends::default();
        loop {
            let first = state.is_bare();
            self.prepare(&mut state, kind, operation.protocol()).await?;
            let sent = self.sent(&state, first, kind);
            match self.step(&mut state, sql, sent, operation).await {
                Err(Failure::Lost(resend)) if resends.admit(resend) => self.start_again(&mut state),
                outcome => return self.end_lone(&mut state, first, kind, outcome).await,
            }
        }
    }

    /// What a statement is, after its lease has been prepared.
    pub(super) fn sent(&self, state: &TransactionState, first: bool, kind: StatementKind) -> Sent {
        match (state.is_bare(), first) {
            (true, _) if self.is_read(kind) => Sent::PlainRead,
            (true, _) => Sent::Lone,
            (false, true) => Sent::First,
            (false, false) => Sent::Later,
        }
    }

    /// Forgets a lost connection, so that the same statement can be sent on another one.
    pub(super) fn start_again(&self, state: &mut TransactionState) {
        state.clear();
        self.pool.record(&Event::Retried {
            label: &self.options.label,
        });
    }

    /// Runs plain SQL of the session's own, such as BEGIN or SAVEPOINT.
    pub(super) async fn send(
        &self,
        state: &mut TransactionState,
        sql: &str,
        sent: Sent,
    ) -> Result<(), Failure> {
        let attempt = Attempt::start(self, state, sql, sent, Counted::No)?;
        attempt.run(&query::Plain(sql)).await.map(drop)
    }

    /// Begins the transaction. What is shown of it lacks the claims.
    pub(super) async fn send_begin(
        &self,
        state: &mut TransactionState,
        begin: &Begin,
    ) -> Result<(), Failure> {
        let attempt = Attempt::start(self, state, &begin.shown, Sent::Begin, Counted::No)?;
        attempt.run(&query::Plain(&begin.sql)).await.map(drop)
    }

    /// Runs one statement of the caller, and marks its level where it fails.
    pub(super) async fn step<J: Operation>(
        &self,
        state: &mut TransactionState,
        sql: &str,
        sent: Sent,
        operation: &J,
    ) -> Result<J::Output, Failure> {
        let attempt = Attempt::start(self, state, sql, sent, Counted::Yes)?;
        let outcome = attempt.run(operation).await;
        if matches!(outcome, Err(Failure::Error(_))) {
            state.mark_failed();
        }
        outcome
    }

    /// Shows that a statement begins, and counts the time that the connection was idle in a transaction before it.
    pub(super) fn begins(&self, sql: &str, counted: Counted) {
        let idle = self.activity.begins(sql, counted);
        self.record_idle(idle);
    }

    pub(super) fn record_idle(&self, idle: Option<Duration>) {
        if let Some(idle) = idle.filter(|idle| *idle > IDLE_WARNING) {
            self.pool.record_idle(self.options.label.clone(), idle);
        }
    }

    /// The longest that a session without a deadline waits for an answer, so that a connection that was dropped on the
    /// way does not hold its slot for ever.
    ///
    /// The server cancels each statement before that; behind a transaction pooler BEGIN also waits for a server
    /// connection. None where the server's limit is off or may have been changed, and for raw code.
    fn longest_answer(&self, state: &mut TransactionState, sql: &str) -> Option<Duration> {
        let each = self.pool.settings.statement_timeout;
        let changes = |window: &[u8]| window.eq_ignore_ascii_case(b"statement_timeout");
        state.untimed |= !sql.starts_with("BEGIN") && sql.as_bytes().windows(17).any(changes);
        if state.untimed || each.is_zero() || sql == RAW || self.backend() != DbBackend::Postgres {
            return None;
        }
        let statements = 1 + sql.bytes().filter(|byte| *byte == b';').count();
        let running = each.saturating_mul(u32::try_from(statements).unwrap_or(u32::MAX));
        Some(running.min(LONGEST) + self.pool.settings.pool_timeout)
    }
}

/// Until when an answer is waited for.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// The session's deadline.
    Deadline(Instant),
    /// As long as each answer, or each row, takes no longer than this.
    Answer(Duration),
    None,
}

/// One attempt to run one statement on the session's lease.
///
/// # Cancel safety
/// Dropped before it is finished, it takes the connection with it: what the server does is then unknown.
pub(super) struct Attempt<'s> {
    session: &'s SessionInner,
    in_flight: InFlight<'s>,
    sql: &'s str,
    sent: Sent,
    began: Instant,
    limit: Limit,
}

impl<'s> Attempt<'s> {
    /// Begins an attempt. Past the deadline nothing is sent, and the connection is kept.
    pub(super) fn start(
        session: &'s SessionInner,
        state: &'s mut TransactionState,
        sql: &'s str,
        sent: Sent,
        counted: Counted,
    ) -> Result<Self, Failure> {
        session.remaining()?;
        session.begins(sql, counted);
        if sent == Sent::Lone {
            session.committed.store(true, Ordering::Relaxed);
        }
        let limit = match session.deadline {
            Some(deadline) => Limit::Deadline(deadline),
            None => session
                .longest_answer(state, sql)
                .map_or(Limit::None, Limit::Answer),
        };
        // With a deadline, the caller's own timeout is most often the reason to drop a statement.
        let dropped = match limit {
            Limit::Deadline(_) => Error::DeadlineExceeded,
            Limit::Answer(_) | Limit::None => Error::ConnectionLost,
        };
        Ok(Self {
            session,
            in_flight: InFlight::new(state, dropped, sent),
            sql,
            sent,
            began: Instant::now(),
            limit,
        })
    }

    async fn run<J: Operation>(mut self, operation: &J) -> Result<J::Output, Failure> {
        let span = self.span();
        let limit = self.limit;
        let running = operation.run(self.connection()?).instrument(span);
        let outcome = limit.apply(running).await;
        self.log(operation);
        self.finish(outcome)
    }

    pub(super) fn span(&self) -> tracing::Span {
        tracing::debug_span!(
            "db.statement",
            db.operation.name = classify::label(self.sql).operation.name(),
            db.query.text = self.sql
        )
    }

    /// The connection, and a limit for each answer on it.
    pub(super) fn connection_with_limit(&mut self) -> Result<(&mut Connection, AnswerLimit), Failure> {
        let limit = AnswerLimit(self.limit);
        Ok((self.connection()?, limit))
    }

    fn connection(&mut self) -> Result<&mut Connection, Failure> {
        let connection = self.in_flight.state.connection();
        connection.ok_or_else(|| Error::ConnectionLost.into())
    }

    /// Ends the attempt with its outcome; `None` if the time was over first.
    pub(super) fn finish<T>(self, outcome: Option<Result<T, SqlxError>>) -> Result<T, Failure> {
        let (session, sql, took) = (self.session, self.sql, self.began.elapsed());
        let bare = self.in_flight.state.is_bare();
        let outcome = self.settle(outcome, took);
        session.pool.statements.record(classify::label(sql), took);
        session.activity.finishes(if bare {
            HolderState::Idle
        } else {
            HolderState::InTransaction
        });
        outcome
    }

    fn settle<T>(self, outcome: Option<Result<T, SqlxError>>, took: Duration) -> Result<T, Failure> {
        let error = match outcome {
            Some(Ok(value)) => {
                if self.sent == Sent::Begin {
                    // An earlier transaction's.
                    self.in_flight.state.lease.as_ref().map(Lease::take_rolled_back);
                }
                self.in_flight.finish();
                return Ok(value);
            }
            Some(Err(error)) => error,
            None => return Err(self.out_of_time()),
        };
        let session = self.session;
        let lease = self.in_flight.state.lease.as_ref();
        let was_idle = lease.is_some_and(Lease::was_idle);
        let rolled_back = lease.is_some_and(Lease::take_rolled_back) && !self.in_flight.state.is_bare();
        match meaning(&error) {
            Meaning::Unusable => {
                self.in_flight.lose(ConnectionState::Busy, Error::ConnectionLost);
                Err(Failure::Error(statement_error(error)))
            }
            Meaning::Lost(loss) => {
                let state = match loss {
                    Loss::ThisConnection => ConnectionState::Gone,
                    Loss::MaybeAll => ConnectionState::Dead,
                };
                let mut again = resend(&error, self.sent, was_idle.then_some(took));
                if is_termination(&error)
                    && session.pool.note_termination(session)
                    && !matches!(self.sent, Sent::Lone | Sent::Later)
                {
                    again = Resend::Uncounted;
                }
                self.in_flight.lose(state, Error::ConnectionLost);
                Err(Failure::Lost(again))
            }
            Meaning::StalePlan => {
                session.pool.common_texts.forget();
                session.pool.replace_connections();
                Err(self.renew())
            }
            // A caller's own DEALLOCATE does that too, and marks the lease.
            Meaning::WrongStatements if !self.in_flight.is_tainted() => {
                session
                    .pool
                    .switch_to_transaction("a named statement was missing or already there");
                Err(self.renew())
            }
            Meaning::ReadOnly if self.in_flight.state.begun.read_only_from.is_none() => {
                session.pool.replace_connections();
                let error = Error::Unreachable {
                    reason: Reason::ReadOnlyServer,
                };
                self.in_flight.lose(ConnectionState::Outdated, error.clone());
                Err(error.into())
            }
            // What follows would be stored at once.
            Meaning::Statement if rolled_back => {
                self.in_flight
                    .lose(ConnectionState::Clean, Error::TransactionFailed);
                Err(Failure::Error(statement_error(error)))
            }
            Meaning::Statement | Meaning::WrongStatements | Meaning::ReadOnly => {
                self.in_flight.finish();
                Err(Failure::Error(statement_error(error)))
            }
        }
    }

    /// Closes the connection, because its prepared statements are unusable; nothing was executed.
    fn renew(self) -> Failure {
        let sent = self.sent;
        self.in_flight
            .lose(ConnectionState::Outdated, Error::Serialization);
        match sent {
            // The whole unit of work may be run again, on new connections.
            Sent::Lone | Sent::Later => Error::Serialization.into(),
            _ => Failure::Lost(Resend::Allowed),
        }
    }

    fn out_of_time(self) -> Failure {
        match self.limit {
            // The answer of a connection that was dropped on the way never comes.
            Limit::Answer(_) | Limit::None => {
                self.in_flight.lose(ConnectionState::Dead, Error::ConnectionLost);
                Error::ConnectionLost.into()
            }
            // The server may still run the statement.
            Limit::Deadline(_) => {
                self.in_flight
                    .lose(ConnectionState::Busy, Error::DeadlineExceeded);
                Error::DeadlineExceeded.into()
            }
        }
    }

    fn log<J: Operation>(&self, operation: &J) {
        let settings = &self.session.pool.settings;
        if settings.echo {
            let values = operation.values().filter(|_| settings.echo_parameters);
            let values = values.map(tracing::field::debug);
            let took_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::info!(label = %self.session.options.label, sql = self.sql, values, took_us, "statement");
        }
    }
}

impl Limit {
    async fn apply<T>(self, running: impl Future<Output = T>) -> Option<T> {
        let limit = match self {
            Self::Deadline(deadline) => deadline,
            Self::Answer(time) => Instant::now() + time,
            Self::None => return Some(running.await),
        };
        tokio::time::timeout_at(limit.into(), running).await.ok()
    }
}

/// The limit of each answer of an attempt that has several, as a stream of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerLimit(Limit);

impl AnswerLimit {
    /// Waits for one answer; none where the time was over first.
    pub(super) async fn apply<T>(self, answer: impl Future<Output = T>) -> Option<T> {
        self.0.apply(answer).await
    }

    /// Waits for the caller's side, which only a deadline bounds.
    pub(super) async fn until_deadline<T>(self, other: impl Future<Output = T>) -> Option<T> {
        match self.0 {
            Limit::Deadline(_) => self.0.apply(other).await,
            Limit::Answer(_) | Limit::None => Some(other.await),
        }
    }
}

/// A statement's error in SeaORM's own shape, so that `DbErr::sql_err` and the like work.
fn statement_error(error: SqlxError) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(std::sync::Arc::new(error)))
}
