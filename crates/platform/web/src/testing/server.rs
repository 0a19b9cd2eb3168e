//! A running server.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use berth_database::Database;
use berth_testkit::eventually;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Client;
use crate::{Server, StartError};

/// Resolves when the test wants the server to stop.
pub type Stop = BoxFuture<'static, ()>;

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    database: Database,
    authorization: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), StartError>>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl TestServer {
    /// Runs a server whose port is taken, by `run`; `kept` lives as long as the server, for example its
    /// [`Store`](super::Store).
    pub fn spawn<F>(
        server: Server,
        database: Database,
        kept: impl Any + Send + Sync,
        run: impl FnOnce(Server, Stop) -> F,
    ) -> Self
    where
        F: Future<Output = Result<(), StartError>> + Send + 'static,
    {
        let (address, metrics) = (server.address(), server.metrics_address());
        let (stop, stopped) = oneshot::channel();
        let stopped: Stop = Box::pin(async {
            // Dropping the sender means to stop, too.
            let _ = stopped.await;
        });
        Self {
            address,
            metrics,
            database,
            authorization: None,
            stop: Some(stop),
            running: tokio::spawn(run(server, stopped)),
            _kept: Box::new(kept),
        }
    }

    /// Lets its clients send this header, as in `Authorization: Bearer ...`.
    #[must_use]
    pub fn with_authorization(mut self, header: String) -> Self {
        self.authorization = Some(header);
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are, if they have a port of their own.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(self.address).with_authorization(self.authorization.as_deref())
    }

    /// Its pool.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Asks it to stop.
    pub fn stop(&mut self) {
        self.stop.take();
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) {
        let end = tokio::time::timeout(Duration::from_secs(30), self.running).await;
        end.expect("the server stops")
            .expect("the server does not panic")
            .expect("the server stops well");
    }

    /// Waits until a request to this route, as in `GET /read`, holds a connection.
    pub async fn leases_to(&self, route: &str) {
        eventually(async || self.database.holders().iter().any(|holder| holder.label == route)).await;
    }

    /// Waits until no session holds a connection.
    pub async fn is_idle(&self) {
        eventually(async || self.database.status().slots.leased == 0).await;
    }
}
