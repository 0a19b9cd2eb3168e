//! Who follows which topic, and what each topic's clients have been sent.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use berth_service::feed::Entry;
use berth_service::new_id;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Events that a client may fall behind before its stream ends.
const BUFFER: usize = 64;
/// Ids that a topic remembers, so that no row is sent twice.
const REMEMBERED: usize = 256;
/// How far back rows are read again when something may have been missed: ids of instances whose clocks differ.
const OVERLAP: Duration = Duration::from_secs(5);

/// The topics that clients follow.
#[derive(Debug)]
pub(super) struct Topics<T> {
    by_id: HashMap<Uuid, Topic<T>>,
    next_number: u64,
    /// Whether the task that reads for them runs.
    pub(super) running: bool,
    pub(super) closed: bool,
}

#[derive(Debug)]
struct Topic<T> {
    clients: Vec<Client<T>>,
    /// The highest id that was sent.
    cursor: Uuid,
    /// Earlier ids were there before the first client.
    floor: Uuid,
    recent: VecDeque<Uuid>,
}

#[derive(Debug)]
struct Client<T> {
    number: u64,
    user: Uuid,
    events: mpsc::Sender<(Uuid, T)>,
}

impl<T> Default for Topics<T> {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            next_number: 0,
            running: false,
            closed: false,
        }
    }
}

impl<T: Clone> Topics<T> {
    /// Adds a client; returns its number and its events from now on.
    pub(super) fn add(&mut self, topic: Uuid, user: Uuid) -> (u64, mpsc::Receiver<(Uuid, T)>) {
        let (events, received) = mpsc::channel(BUFFER);
        let number = self.next_number;
        self.next_number += 1;
        if !self.closed {
            let topic = self.by_id.entry(topic).or_insert_with(Topic::new);
            topic.clients.push(Client { number, user, events });
        }
        (number, received)
    }

    pub(super) fn remove(&mut self, topic: Uuid, number: u64) {
        if let Some(known) = self.by_id.get_mut(&topic) {
            known.clients.retain(|client| client.number != number);
            if known.clients.is_empty() {
                self.by_id.remove(&topic);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn is_followed(&self, topic: Uuid) -> bool {
        self.by_id.contains_key(&topic)
    }

    /// Each topic with the id after which something may have been missed.
    pub(super) fn cursors(&self) -> Vec<(Uuid, Uuid)> {
        let topics = self.by_id.iter();
        topics
            .map(|(id, topic)| (*id, earlier(topic.cursor).max(topic.floor)))
            .collect()
    }

    /// Sends rows to the clients of their topics, each once; returns how many were new. The stream of a client ends that
    /// may not read a row, or does not read its events.
    pub(super) fn deliver(&mut self, entries: Vec<Entry<T>>) -> usize {
        let mut new = 0;
        for entry in entries {
            let Some(topic) = self.by_id.get_mut(&entry.topic) else {
                continue;
            };
            if topic.remember(entry.id) {
                new += 1;
                topic.clients.retain(|client| {
                    let event = (entry.id, entry.item.clone());
                    entry.readers.include(client.user) && client.events.try_send(event).is_ok()
                });
            }
        }
        new
    }

    /// Ends every stream.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.by_id.clear();
    }
}

impl<T> Topic<T> {
    fn new() -> Self {
        let now = new_id();
        Self {
            clients: Vec::new(),
            cursor: now,
            floor: now,
            recent: VecDeque::new(),
        }
    }

    /// Notes an id; returns whether it is new.
    fn remember(&mut self, id: Uuid) -> bool {
        if self.recent.contains(&id) {
            return false;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(id);
        self.cursor = self.cursor.max(id);
        true
    }
}

/// The lowest UUIDv7 of the time before this one by [`OVERLAP`].
fn earlier(id: Uuid) -> Uuid {
    let milliseconds = (id.as_u128() >> 80).saturating_sub(OVERLAP.as_millis());
    Uuid::from_u128(milliseconds << 80)
}
