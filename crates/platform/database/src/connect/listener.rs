//! The connection that waits for notifications.
//!
//! sqlx discards notifications on its plain connections and delivers them to a `PgListener` only, which wants a pool. So it
//! gets a pool of one connection, made with the same options, TLS and set-up as all others, that can open no other.

#![allow(
    clippy::disallowed_methods,
    reason = "the connection occupies a slot of the scheduler"
)]

use sqlx::postgres::{PgListener, PgPool};
use sqlx::{Acquire as _, Error as SqlxError, raw_sql};

use super::login::Login;
use super::pooler_mode::ModeDetector;
use super::set_up::SetUp;
use super::tls_relay::Relay;

/// A connection that listens on channels.
#[derive(Debug)]
pub(crate) struct ListenerConnection {
    listener: PgListener,
    pool: PgPool,
    relay: Relay,
    pub(crate) pid: Option<i32>,
}

/// A notification, as the server delivers it.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) channel: String,
    pub(crate) payload: String,
}

impl ListenerConnection {
    /// Connects and sets the connection up; returns none where the first look at the pooler shows transaction mode.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket, which the server detects.
    pub(super) async fn open(
        login: &Login,
        set_up: &SetUp,
        mode: &ModeDetector,
    ) -> Result<Option<Self>, SqlxError> {
        let turn = mode.turn().await;
        let (pool, relay) = login.connect_for_listener().await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        let connection = listener.acquire().await?;
        let (mode, facts) = match turn {
            Some(turn) => turn.detect(login, None, connection, set_up).await?,
            None => (mode.mode(), None),
        };
        if !mode.keeps_sessions() {
            return Ok(None);
        }
        let server = match facts {
            Some(facts) => facts,
            None => set_up.run(connection, mode).await?,
        };
        Ok(Some(Self {
            pid: server.backend.map(|backend| backend.pid),
            listener,
            pool,
            relay,
        }))
    }

    /// Listens on more channels, in one round trip.
    pub(crate) async fn listen(&mut self, channels: &[&'static str]) -> Result<(), SqlxError> {
        self.listener.listen_all(channels.iter().copied()).await
    }

    /// Listens on a channel no more.
    pub(crate) async fn unlisten(&mut self, channel: &str) -> Result<(), SqlxError> {
        self.listener.unlisten(channel).await
    }

    /// Waits for the next notification; returns none when the connection is lost.
    ///
    /// # Cancel safety
    /// Dropping the future loses no notification: the driver takes whole messages out of its buffer.
    pub(crate) async fn receive(&mut self) -> Result<Option<Delivery>, SqlxError> {
        let received = self.listener.try_recv().await?;
        Ok(received.map(|notification| Delivery {
            channel: notification.channel().to_owned(),
            payload: notification.payload().to_owned(),
        }))
    }

    /// Checks that the server answers. Notifications that arrive meanwhile are kept.
    pub(crate) async fn check(&mut self) -> Result<(), SqlxError> {
        raw_sql("SELECT 1").execute(&mut self.listener).await.map(drop)
    }

    /// Closes the connection, and waits until the socket to the server is closed. Dropping the future drops the socket,
    /// where there is a relay.
    pub(crate) async fn close(self) {
        let Self {
            listener,
            pool,
            relay,
            ..
        } = self;
        // Closed first, so that the listener's connection does not go back to the pool when it is dropped.
        let closed = pool.close();
        drop(listener);
        closed.await;
        relay.ended().await;
    }
}
