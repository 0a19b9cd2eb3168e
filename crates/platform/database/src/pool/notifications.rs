//! Notifications: who is subscribed to which channel, and whether the server's notifications arrive at present.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};

use super::Pool;

/// Notifications that a subscriber may fall behind before it loses the oldest ones.
const BUFFER: usize = 256;

/// The subscriptions of one pool.
#[derive(Debug)]
pub(crate) struct Notifications {
    channels: Mutex<Channels>,
    /// Notified when a channel is added or removed.
    pub(super) changed: Notify,
    /// What a new channel begins with.
    first: Delivery,
}

#[derive(Debug, Default)]
struct Channels {
    by_name: HashMap<&'static str, Channel>,
    closed: bool,
}

#[derive(Debug)]
struct Channel {
    messages: broadcast::Sender<Arc<str>>,
    delivery: watch::Sender<Delivery>,
    subscribers: usize,
}

/// Whether notifications of a channel arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Delivery {
    Off,
    On,
}

/// What a subscription reports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// A notification with its payload. It may arrive twice.
    Notification(Arc<str>),
    /// From now on notifications arrive. Earlier ones may have been missed: read the current state.
    Resynchronise,
    /// Notifications do not arrive until the next [`Notice::Resynchronise`]: poll meanwhile.
    Unavailable,
}

/// A subscription to one channel. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    pool: Arc<Pool>,
    channel: &'static str,
    messages: broadcast::Receiver<Arc<str>>,
    delivery: watch::Receiver<Delivery>,
}

impl Notifications {
    /// Where notifications are delivered in the process, they always arrive.
    pub(super) fn in_process() -> Self {
        Self::new(Delivery::On)
    }

    /// Where they come from the server, they arrive once a connection listens.
    pub(super) fn from_server() -> Self {
        Self::new(Delivery::Off)
    }

    fn new(first: Delivery) -> Self {
        Self {
            channels: Mutex::default(),
            changed: Notify::new(),
            first,
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.lock().by_name.is_empty()
    }

    pub(super) fn channels(&self) -> Vec<&'static str> {
        self.lock().by_name.keys().copied().collect()
    }

    /// Hands a notification that the server delivered to the channel's subscribers.
    pub(super) fn deliver(&self, channel: &str, payload: &str) {
        if let Some(channel) = self.lock().by_name.get(channel) {
            // Fails where no receiver is left.
            let _ = channel.messages.send(payload.into());
        }
    }

    /// Hands a committed notification to the channel's subscribers here, unless the server will deliver it to them.
    pub(crate) fn deliver_here(&self, channel: &str, payload: &str) {
        if let Some(channel) = self.lock().by_name.get(channel)
            && (self.first == Delivery::On || *channel.delivery.borrow() == Delivery::Off)
        {
            let _ = channel.messages.send(payload.into());
        }
    }

    /// These channels are listened on.
    pub(super) fn begin(&self, channels: &[&'static str]) {
        self.set(channels, Delivery::On);
    }

    /// No channel is listened on any more.
    pub(super) fn stop(&self) {
        self.set(&self.channels(), Delivery::Off);
    }

    /// Ends every subscription, and each later one at once.
    pub(super) fn close(&self) {
        let mut channels = self.lock();
        channels.closed = true;
        channels.by_name.clear();
        self.changed.notify_one();
    }

    fn set(&self, channels: &[&'static str], delivery: Delivery) {
        let known = self.lock();
        for channel in channels.iter().filter_map(|name| known.by_name.get(name)) {
            channel.delivery.send_if_modified(|present| {
                let is_new = *present != delivery;
                *present = delivery;
                is_new
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    pub(super) fn new(pool: Arc<Pool>, channel: &'static str) -> Self {
        let notifications = &pool.notifications;
        let new = || Channel {
            messages: broadcast::Sender::new(BUFFER),
            delivery: watch::Sender::new(notifications.first),
            subscribers: 0,
        };
        let (messages, delivery) = {
            let mut channels = notifications.lock();
            if channels.closed {
                let ended = new();
                (ended.messages.subscribe(), ended.delivery.subscribe())
            } else {
                let channel = channels.by_name.entry(channel).or_insert_with(new);
                channel.subscribers += 1;
                let mut delivery = channel.delivery.subscribe();
                delivery.mark_changed();
                (channel.messages.subscribe(), delivery)
            }
        };
        notifications.changed.notify_one();
        Self {
            pool,
            channel,
            messages,
            delivery,
        }
    }

    /// Waits for what the subscriber has to know next; returns none once the pool closes.
    ///
    /// The first call returns at once, with [`Notice::Resynchronise`] or [`Notice::Unavailable`]. A subscriber that has
    /// fallen behind by more than 256 notifications gets a [`Notice::Resynchronise`] in their place.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Notice> {
        tokio::select! {
            biased;
            changed = self.delivery.changed() => {
                changed.ok()?;
                Some(match *self.delivery.borrow_and_update() {
                    Delivery::On => Notice::Resynchronise,
                    Delivery::Off => Notice::Unavailable,
                })
            }
            received = self.messages.recv() => match received {
                Ok(payload) => Some(Notice::Notification(payload)),
                Err(RecvError::Lagged(_)) => Some(Notice::Resynchronise),
                Err(RecvError::Closed) => None,
            },
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        {
            let mut channels = self.pool.notifications.lock();
            if let Some(channel) = channels.by_name.get_mut(self.channel) {
                channel.subscribers -= 1;
                if channel.subscribers == 0 {
                    channels.by_name.remove(self.channel);
                }
            }
        }
        self.pool.notifications.changed.notify_one();
        self.pool.keep_listener();
    }
}
