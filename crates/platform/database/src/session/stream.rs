//! Streams of rows over a session's own connection.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use sea_orm::{DbErr, QueryResult, Statement};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::classify::StatementKind;
use super::decodable::decodable;
use super::error::{Failure, Resends, Sent};
use super::execute::Attempt;
use super::in_flight::TransactionState;
use super::inner::SessionInner;
use super::query::{self, Protocol};
use crate::error::Error;
use crate::pool::spawn;
use crate::stats::activity::Counted;

/// Rows that wait for their reader, so that the connection is not slowed down by each of its pauses.
const BUFFERED_ROWS: usize = 64;

type Row = Result<QueryResult, DbErr>;

/// The rows of one statement as they arrive.
///
/// While it is open the session's other statements fail with [`Error::SessionBusy`]. It holds one connection from its
/// first poll to its end, and no longer than the session's deadline, also where nothing polls it. Up to 64 rows are
/// read ahead.
///
/// # Cancel safety
/// Dropped before its end it drops the connection, and an open transaction with it.
pub struct RowStream<'a> {
    rows: BoxStream<'static, Row>,
    session: PhantomData<&'a SessionInner>,
}

impl fmt::Debug for RowStream<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RowStream").finish_non_exhaustive()
    }
}

impl Stream for RowStream<'_> {
    type Item = Row;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Row>> {
        self.rows.poll_next_unpin(context)
    }
}

impl SessionInner {
    pub(super) fn stream<'a>(
        self: &Arc<Self>,
        depth: usize,
        statement: Statement,
    ) -> Result<RowStream<'a>, Error> {
        let kind = self.admit(depth, &statement.sql)?;
        let guard = self.open_stream(depth)?;
        let session = self.clone();
        let rows = async_stream::stream! {
            // Declared first, dropped last: other statements wait until the connection is released.
            let _guard = guard;
            let sql = statement.sql.clone();
            let mut rows = session.read_in_task(statement, kind);
            while let Some(row) = rows.next().await {
                yield row.and_then(|row| decodable(row, &sql));
            }
        };
        Ok(RowStream {
            rows: rows.boxed(),
            session: PhantomData,
        })
    }

    /// Reads rows in a task of the pool, which ends at the deadline whatever the reader does.
    fn read_in_task(self: &Arc<Self>, statement: Statement, kind: StatementKind) -> Rows {
        let (sender, receiver) = mpsc::channel(BUFFERED_ROWS);
        let (done, ended) = oneshot::channel();
        let session = self.clone();
        let reading = async move {
            let outcome = session.read_rows(&statement, kind, &sender).await;
            drop(session);
            // A reader that has left needs no outcome.
            let _ = done.send(outcome);
        };
        spawn(&self.pool.runtime, reading.in_current_span());
        Rows {
            receiver,
            ended: Some(ended),
        }
    }

    async fn read_rows(
        &self,
        statement: &Statement,
        kind: StatementKind,
        rows: &mpsc::Sender<Row>,
    ) -> Result<(), DbErr> {
        let mut state = self.turn().await?;
        if self.ended() {
            return Err(Error::SessionClosed.into());
        }
        self.clean_up(&mut state).await?;
        let mut resends = Resends::default();
        loop {
            let first = state.is_bare();
            self.prepare(&mut state, kind, Protocol::Extended).await?;
            let mut reading = Reading {
                session: self,
                statement,
                sent: self.sent(&state, first, kind),
                rows,
                seen: false,
            };
            let outcome = tokio::select! {
                outcome = reading.run(&mut state) => outcome,
                () = rows.closed() => Err(Error::ConnectionLost.into()),
                () = self.closed() => Err(Error::SessionClosed.into()),
            };
            match outcome {
                Err(Failure::Lost(resend)) if !reading.seen && resends.admit(resend) => {
                    self.start_again(&mut state);
                }
                outcome => {
                    if matches!(outcome, Err(Failure::Error(_))) {
                        state.mark_failed();
                    }
                    return self.end_lone(&mut state, first, kind, outcome).await;
                }
            }
        }
    }
}

/// One attempt to read the rows of a statement.
struct Reading<'r> {
    session: &'r SessionInner,
    statement: &'r Statement,
    sent: Sent,
    rows: &'r mpsc::Sender<Row>,
    /// Whether the reader has been given a row, after which the statement cannot be sent again.
    seen: bool,
}

impl Reading<'_> {
    /// # Cancel safety
    /// Dropping the future drops the connection.
    async fn run(&mut self, state: &mut TransactionState) -> Result<(), Failure> {
        let sql = &self.statement.sql;
        let mut attempt = Attempt::start(self.session, state, sql, self.sent, Counted::Yes)?;
        let span = attempt.span();
        let outcome = self.pass_on(&mut attempt).instrument(span).await?;
        attempt.finish(outcome)
    }

    /// Passes rows on until they end; returns nothing where the time is over first.
    async fn pass_on(
        &mut self,
        attempt: &mut Attempt<'_>,
    ) -> Result<Option<Result<(), sqlx::Error>>, Failure> {
        let (connection, limit) = attempt.connection_with_limit()?;
        let mut rows = query::stream(connection, self.statement, self.session.naming());
        loop {
            match limit.apply(rows.next()).await {
                Some(Some(Ok(row))) => {
                    self.seen = true;
                    match limit.until_deadline(self.rows.send(Ok(row))).await {
                        Some(Ok(())) => {}
                        // The reader has left.
                        Some(Err(_)) => return Err(Error::ConnectionLost.into()),
                        None => return Ok(None),
                    }
                }
                Some(Some(Err(error))) => return Ok(Some(Err(error))),
                Some(None) => return Ok(Some(Ok(()))),
                None => return Ok(None),
            }
        }
    }
}

/// The reader's end of a stream.
struct Rows {
    receiver: mpsc::Receiver<Row>,
    ended: Option<oneshot::Receiver<Result<(), DbErr>>>,
}

impl Rows {
    /// The next row, or the error with which the rows end.
    async fn next(&mut self) -> Option<Row> {
        if let Some(row) = self.receiver.recv().await {
            return Some(row);
        }
        match self.ended.take()?.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error)),
            // The runtime has ended the task.
            Err(_) => Some(Err(Error::ConnectionLost.into())),
        }
    }
}
