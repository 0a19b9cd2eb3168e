//! The listener's task: connects, listens on the channels that have subscribers, and closes when the scheduler says so.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Error as SqlxError;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::lease::CHECK_LIMIT;
use super::notifications::Subscription;
use super::state::State;
use super::{Pool, spawn};
use crate::connect::connect_error::{answer, classify};
use crate::connect::listener::ListenerConnection;
use crate::settings::Strategy;
use crate::stats::counters::Event;
use berth_pool::{ConnectErrorKind, ListenerEnd, SlotId};

/// How often a listener that hears nothing checks that its connection is alive.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);

impl Pool {
    /// Subscribes to the notifications of a channel.
    pub(crate) fn subscribe(self: &Arc<Self>, channel: &'static str) -> Subscription {
        let subscription = Subscription::new(self.clone(), channel);
        self.keep_listener();
        subscription
    }

    /// Whether a connection of this pool may listen at all; the share decides whether one does.
    pub(crate) fn can_listen(&self) -> bool {
        self.settings.url.is_postgres()
            && self.settings.strategy == Strategy::Pooled
            && self.mode().mode().keeps_sessions()
    }

    /// Asks the scheduler for a listener where there are subscribers and one is possible, and for none otherwise.
    pub(crate) fn keep_listener(self: &Arc<Self>) {
        let mut state = self.lock();
        self.want_listener(&mut state);
        self.advance(state);
    }

    pub(super) fn want_listener(&self, state: &mut State) {
        let now = self.now();
        match self.can_listen() && self.notifications.is_wanted() {
            true => state.scheduler.want_listener(now),
            false => state.scheduler.dismiss_listener(now),
        }
    }

    pub(super) fn spawn_listener(self: &Arc<Self>, slot: SlotId, cancelled: oneshot::Receiver<()>) {
        let mut task = ListenerTask {
            pool: self.clone(),
            slot,
            end: ListenerEnd::Closed,
        };
        spawn(&self.runtime, async move { task.run(cancelled).await });
    }
}

/// A listener under way; dropped, it is reported to the scheduler as ended.
#[derive(Debug)]
struct ListenerTask {
    pool: Arc<Pool>,
    slot: SlotId,
    end: ListenerEnd,
}

impl ListenerTask {
    async fn run(&mut self, mut cancelled: oneshot::Receiver<()>) {
        let begun = Instant::now();
        let connecting = timeout(
            self.pool.settings.connect_timeout,
            self.pool.connector.open_listener(),
        );
        let connected = tokio::select! {
            connected = connecting => connected,
            _ = &mut cancelled => return,
        };
        let mut connection = match connected {
            Ok(Ok(Some(connection))) => connection,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return self.failed(classify(&error).kind, &answer(&error)),
            Err(_) => return self.failed(ConnectErrorKind::Unreachable, "no answer in time"),
        };
        self.pool.record(&Event::Opened {
            slot: self.slot,
            pid: connection.pid,
            took: begun.elapsed(),
        });
        let why = tokio::select! {
            lost = self.listen(&mut connection) => {
                tracing::info!(error = lost, "the connection for notifications was lost; subscribers poll meanwhile");
                "listener lost"
            }
            _ = cancelled => "listener released",
        };
        self.pool.notifications.stop();
        // After the timeout it is dropped, which closes it as well.
        let _ = timeout(self.pool.settings.close_timeout, connection.close()).await;
        self.pool.record(&Event::Closed { slot: self.slot, why });
    }

    /// Listens until the connection is lost; returns the reason.
    async fn listen(&self, connection: &mut ListenerConnection) -> String {
        let notifications = &self.pool.notifications;
        let mut listened = HashSet::new();
        loop {
            if let Err(error) = self.follow_channels(connection, &mut listened).await {
                return answer(&error);
            }
            tokio::select! {
                received = connection.receive() => match received {
                    Ok(Some(delivery)) => notifications.deliver(&delivery.channel, &delivery.payload),
                    Ok(None) => return "closed by the server".to_owned(),
                    Err(error) => return answer(&error),
                },
                () = notifications.changed.notified() => {}
                () = tokio::time::sleep(CHECK_INTERVAL) => match timeout(CHECK_LIMIT, connection.check()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return answer(&error),
                    Err(_) => return "no answer in time".to_owned(),
                },
            }
        }
    }

    /// Listens on the channels that have subscribers, and on no other.
    async fn follow_channels(
        &self,
        connection: &mut ListenerConnection,
        listened: &mut HashSet<&'static str>,
    ) -> Result<(), SqlxError> {
        let wanted = self.pool.notifications.channels();
        let more: Vec<_> = wanted
            .iter()
            .copied()
            .filter(|name| !listened.contains(name))
            .collect();
        let limit = self.pool.settings.connect_timeout;
        let late = |_| SqlxError::PoolTimedOut;
        if !more.is_empty() {
            timeout(limit, connection.listen(&more)).await.map_err(late)??;
            listened.extend(more);
        }
        self.pool.notifications.begin(&wanted);
        let left: Vec<_> = listened
            .iter()
            .copied()
            .filter(|name| !wanted.contains(name))
            .collect();
        for name in left {
            timeout(limit, connection.unlisten(name)).await.map_err(late)??;
            listened.remove(name);
        }
        Ok(())
    }

    fn failed(&mut self, kind: ConnectErrorKind, answer: &str) {
        let slot = self.slot;
        self.pool.record(&match kind {
            ConnectErrorKind::Full => Event::Refused { slot, answer },
            _ => Event::Failed { slot, answer },
        });
        self.end = ListenerEnd::Failed(kind);
    }
}

impl Drop for ListenerTask {
    fn drop(&mut self) {
        self.pool.notifications.stop();
        let mut state = self.pool.lock();
        state.listener = None;
        let now = self.pool.now();
        state.scheduler.listener_ended(now, self.slot, self.end);
        self.pool.advance(state);
    }
}
