//! The task that reads for all clients of a feed.

use std::sync::Arc;
use std::time::Duration;

use berth_database::{Notice, Session, SessionOptions};
use berth_service::feed::{Entry, Feed};
use futures_util::FutureExt;
use sea_orm::{ColumnTrait, Condition};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::feed::Inner;

/// The pause between two polls while notifications do not arrive; it doubles while nothing is found.
const POLL_MIN: Duration = Duration::from_secs(1);
const POLL_MAX: Duration = Duration::from_secs(10);
/// How long the task goes on without a client.
const LINGER: Duration = Duration::from_secs(10);
/// The most announcements and topics of one statement.
const BATCH: usize = 200;
/// The most rows of one statement.
const PAGE: u64 = 500;
/// The time for one statement, waiting for a connection included.
const DEADLINE: Duration = Duration::from_secs(30);

/// Reads what is announced, and what may have been missed.
pub(super) struct Reader<F: Feed> {
    inner: Arc<Inner<F>>,
    listening: bool,
    pause: Duration,
    /// When all topics are read next.
    due: Option<Instant>,
}

impl<F: Feed> Reader<F> {
    pub(super) fn new(inner: Arc<Inner<F>>) -> Self {
        Self {
            inner,
            listening: false,
            pause: POLL_MIN,
            due: None,
        }
    }

    /// Runs until the database closes, or no client is left for some time.
    pub(super) async fn run(mut self) {
        let mut notices = self.inner.database.subscribe(F::CHANNEL);
        loop {
            let due = self.due;
            let poll = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                notice = notices.next() => {
                    let mut announced = Vec::new();
                    let mut next = Some(notice);
                    while let Some(notice) = next {
                        let Some(notice) = notice else { return self.inner.topics().close() };
                        self.note(notice, &mut announced);
                        next = match announced.len() < BATCH {
                            true => notices.next().now_or_never(),
                            false => None,
                        };
                    }
                    self.read_announced(announced).await;
                }
                () = poll => self.read_missed().await,
                () = sleep(LINGER) => {
                    let mut topics = self.inner.topics();
                    if topics.is_empty() {
                        topics.running = false;
                        return;
                    }
                }
            }
        }
    }

    fn note(&mut self, notice: Notice, announced: &mut Vec<Uuid>) {
        match notice {
            Notice::Notification(payload) => {
                let ids = payload.split_once('/').and_then(|(topic, id)| {
                    let topic: Uuid = topic.parse().ok()?;
                    Some((topic, id.parse().ok()?))
                });
                let ids = ids.filter(|(topic, _)| self.inner.topics().is_followed(*topic));
                announced.extend(ids.map(|(_, id): (_, Uuid)| id));
            }
            Notice::Resynchronise => {
                self.listening = true;
                self.due = Some(Instant::now());
            }
            Notice::Unavailable => {
                self.listening = false;
                self.pause = POLL_MIN;
                self.due = Some(Instant::now() + self.pause);
            }
        }
    }

    /// Reads the announced rows by one statement.
    async fn read_announced(&mut self, ids: Vec<Uuid>) {
        if ids.is_empty() {
            return;
        }
        match self
            .inner
            .read(&self.session(), Condition::all().add(F::ID.is_in(ids)), PAGE)
            .await
        {
            Ok(entries) => drop(self.inner.topics().deliver(entries)),
            Err(()) => self.due = Some(Instant::now() + POLL_MIN),
        }
    }

    /// Reads every topic from where something may have been missed: one statement for many topics.
    async fn read_missed(&mut self) {
        let cursors = self.inner.topics().cursors();
        let mut new = 0;
        for part in cursors.chunks(BATCH) {
            match self.read_after(part.to_vec()).await {
                Ok(found) => new += found,
                Err(()) => return self.due = Some(Instant::now() + POLL_MIN),
            }
        }
        self.pause = match new {
            0 => (self.pause * 2).min(POLL_MAX),
            _ => POLL_MIN,
        };
        self.due = (!self.listening).then(|| Instant::now() + self.pause);
    }

    async fn read_after(&self, mut cursors: Vec<(Uuid, Uuid)>) -> Result<usize, ()> {
        let mut new = 0;
        loop {
            let each = cursors.iter().map(|(topic, after)| after_in::<F>(*topic, *after));
            let which = each.fold(Condition::any(), Condition::add);
            let entries = self.inner.read(&self.session(), which, PAGE).await?;
            let last = entries.last().map(|entry: &Entry<_>| entry.id);
            let is_full = u64::try_from(entries.len()).is_ok_and(|length| length >= PAGE);
            new += self.inner.topics().deliver(entries);
            let Some(last) = last.filter(|_| is_full) else {
                return Ok(new);
            };
            cursors
                .iter_mut()
                .for_each(|(_, after)| *after = last.max(*after));
        }
    }

    fn session(&self) -> Session {
        let options = SessionOptions::new(format!("events: {}", F::CHANNEL));
        self.inner
            .database
            .session(options.background().autocommit_reads().deadline(DEADLINE))
    }
}

/// The rows of a topic after an id.
pub(super) fn after_in<F: Feed>(topic: Uuid, after: Uuid) -> Condition {
    Condition::all().add(F::TOPIC.eq(topic)).add(F::ID.gt(after))
}
