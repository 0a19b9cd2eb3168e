//! Feeds of one process: what handlers hold.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_stream::stream;
use berth_database::{Database, Session, SessionOptions};
use berth_service::feed::{Entry, Feed};
use futures_util::Stream;
use sea_orm::Condition;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::reader::{Reader, after_in};
use super::topics::Topics;
use crate::AppState;

/// Rows of one page of what a client has missed.
const PAGE: u64 = 100;
/// Ids of missed rows that are remembered, so that none is sent again as a new one: more than a client may fall behind.
const REMEMBERED: usize = 256;

/// A feed that handlers let clients follow. Clones are the same feed.
///
/// Slot cost: none for a client. All clients of the process share one statement for each batch of announcements, as
/// background work, and the listener's connection (see [`Database::subscribe`]). Where no connection can listen, one
/// statement for each 200 topics polls, every 1 to 10 seconds.
pub struct Followers<F: Feed>(Arc<Inner<F>>);

pub(super) struct Inner<F: Feed> {
    feed: F,
    pub(super) database: Database,
    runtime: Handle,
    topics: Mutex<Topics<F::Item>>,
}

impl<F: Feed> Followers<F> {
    /// Makes the followers of a feed; none yet.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. Its task runs on the present one, so make it on the main one.
    pub fn new(state: &AppState, feed: F) -> Self {
        Self(Arc::new(Inner {
            feed,
            database: state.database.clone(),
            runtime: Handle::current(),
            topics: Mutex::default(),
        }))
    }

    /// Returns what is added to a topic from now on, or after the row with the id `after`, each row with its id.
    ///
    /// The caller has checked that the user may read the topic; each row is checked again by its
    /// [`Readers`](berth_service::feed::Readers). The stream ends when the client falls behind by 64 rows, when it may not
    /// read one, when what it missed cannot be read, and when the database closes: a client connects again and resumes.
    pub fn follow(
        &self,
        topic: Uuid,
        user: Uuid,
        after: Option<Uuid>,
    ) -> impl Stream<Item = (Uuid, F::Item)> + Send + use<F> {
        let (client, mut received) = Client::add(&self.0, topic, user);
        stream! {
            let mut sent = VecDeque::new();
            let mut missed = after;
            while let Some(after) = missed.take() {
                let Ok(rows) = client.read_after(after).await else { return };
                if rows.len() >= usize::try_from(PAGE).unwrap_or_default() {
                    missed = rows.last().map(|row| row.id);
                }
                for row in rows {
                    if !row.readers.include(user) {
                        return;
                    }
                    sent.push_back(row.id);
                    yield (row.id, row.item);
                }
                sent.drain(..sent.len().saturating_sub(REMEMBERED));
            }
            while let Some((id, item)) = received.recv().await {
                if !sent.contains(&id) {
                    yield (id, item);
                }
            }
        }
    }
}

impl<F: Feed> Inner<F> {
    pub(super) fn topics(&self) -> MutexGuard<'_, Topics<F::Item>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads rows; a failure is logged.
    pub(super) async fn read(
        &self,
        session: &Session,
        which: Condition,
        limit: u64,
    ) -> Result<Vec<Entry<F::Item>>, ()> {
        let read = self.feed.read(session, which, limit).await;
        read.map_err(
            |error| tracing::warn!(error = %error, channel = F::CHANNEL, "the rows of a feed could not be read"),
        )
    }
}

/// A client of a topic. Dropped, it is one no more.
struct Client<F: Feed> {
    inner: Arc<Inner<F>>,
    topic: Uuid,
    number: u64,
}

impl<F: Feed> Client<F> {
    /// Adds a client, and starts the task that reads for it where none runs.
    fn add(inner: &Arc<Inner<F>>, topic: Uuid, user: Uuid) -> (Self, mpsc::Receiver<(Uuid, F::Item)>) {
        let mut topics = inner.topics();
        if !topics.running && !topics.closed {
            topics.running = true;
            drop(inner.runtime.spawn(Reader::new(inner.clone()).run()));
        }
        let (number, received) = topics.add(topic, user);
        drop(topics);
        let inner = inner.clone();
        (Self { inner, topic, number }, received)
    }

    async fn read_after(&self, after: Uuid) -> Result<Vec<Entry<F::Item>>, ()> {
        let options = SessionOptions::new(format!("events: {}, resumed", F::CHANNEL));
        let session = self.inner.database.session(options.autocommit_reads());
        let which = after_in::<F>(self.topic, after);
        self.inner.read(&session, which, PAGE).await
    }
}

impl<F: Feed> Drop for Client<F> {
    fn drop(&mut self) {
        self.inner.topics().remove(self.topic, self.number);
    }
}

impl<F: Feed> Clone for Followers<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F: Feed> fmt::Debug for Followers<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Followers").field(&F::CHANNEL).finish()
    }
}
