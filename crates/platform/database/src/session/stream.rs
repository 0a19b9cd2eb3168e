//! Rows one by one, over a session's own connection.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use sea_orm::{DbErr, QueryResult, Statement};

use crate::connect::connect_error::is_lost;
use crate::error::Error;
use crate::pool::lease::ConnectionState;
use crate::session::classify::StatementKind;
use crate::session::error::{Fault, is_final, is_stale};
use crate::session::in_flight::InFlight;
use crate::session::inner::SessionInner;
use crate::session::query;

/// The rows of one statement as they arrive.
///
/// While it is open the session's other statements fail with [`Error::SessionBusy`]. It holds one
/// connection from its first poll to its end.
///
/// # Cancel safety
/// Dropped half-way it drops the connection, and an open transaction with it.
pub struct RowStream<'a>(BoxStream<'a, Result<QueryResult, DbErr>>);

impl fmt::Debug for RowStream<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RowStream")
    }
}

impl Stream for RowStream<'_> {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl SessionInner {
    pub(crate) fn stream(&self, depth: usize, statement: Statement) -> Result<RowStream<'_>, Error> {
        let traits = self.admit(depth, &statement.sql)?;
        let streaming = self.open_stream(depth)?;
        let rows = async_stream::stream! {
            // Declared first, dropped last: the gate opens when the connection is back.
            let _streaming = streaming;
            let rows = self.rows(&statement, traits);
            for await row in rows {
                yield row.map_err(DbErr::from);
            }
        };
        Ok(RowStream(rows.boxed()))
    }

    fn rows<'a>(
        &'a self,
        statement: &'a Statement,
        traits: StatementKind,
    ) -> impl Stream<Item = Result<QueryResult, Fault>> + Send + 'a {
        async_stream::try_stream! {
            let mut work = self.enter_stream().await?;
            // A connection that died while idle is replaced, as long as no row has been seen.
            let mut may_retry = work.is_bare();
            loop {
                self.prepare(&mut work, traits).await?;
                self.begins(&statement.sql, true);
                let silence = self.silence(&mut work, &statement.sql);
                let mut end = None;
                let mut in_flight = InFlight { work: &mut work, landed: false };
                if let Some(connection) = in_flight.work.connection() {
                    let mut rows = query::stream(connection, statement, self.unnamed());
                    while let Some(row) = self.next_row(&mut rows, silence).await? {
                        match row {
                            Ok(row) => {
                                may_retry = false;
                                yield row;
                            }
                            Err(error) => {
                                end = Some(error);
                                break;
                            }
                        }
                    }
                }
                let lost = end.as_ref().is_some_and(|error| is_lost(error) || is_stale(error));
                let over = end.as_ref().is_some_and(is_final);
                let lost = lost && !over;
                let condition = lost.then_some(ConnectionState::Dead);
                in_flight.land(condition.or(over.then_some(ConnectionState::Busy)));
                drop(in_flight);
                match end {
                    Some(_) if lost && may_retry => {
                        may_retry = false;
                        work.forget();
                    }
                    Some(_) if lost => Err(Fault::Lost)?,
                    Some(error) => {
                        work.mark_failed();
                        self.leave(&mut work);
                        Err(Fault::Statement(error))?;
                    }
                    None => break,
                }
            }
            self.leave(&mut work);
        }
    }

    async fn next_row(
        &self,
        rows: &mut BoxStream<'_, Result<QueryResult, sqlx::Error>>,
        silence: Option<Duration>,
    ) -> Result<Option<Result<QueryResult, sqlx::Error>>, Error> {
        if self.ended() {
            return Err(Error::SessionClosed);
        }
        let (limit, late) = match self.stream_deadline() {
            Some(deadline) => (Some(deadline), Error::DeadlineExceeded),
            None => (silence.map(|time| Instant::now() + time), Error::ConnectionLost),
        };
        match limit {
            Some(limit) => tokio::time::timeout_at(limit.into(), rows.next())
                .await
                .map_err(|_| late),
            None => Ok(rows.next().await),
        }
    }
}
