use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use berth_database::Database;
use tokio::task::JoinSet;

use super::{Health, Metrics, Monitor, Neighbours, migrations};
use crate::routes;
use crate::settings::Settings;

/// Everything that watches one process, put together.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    settings: Arc<Settings>,
    database: Database,
    health: Health,
    metrics: Metrics,
    monitor: Monitor,
    neighbours: Neighbours,
}

/// What watches while the server runs; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Watching {
    _tasks: JoinSet<()>,
    metrics: Option<ServerHandle>,
}

impl Observer {
    pub(crate) fn new(settings: Arc<Settings>, database: Database) -> Self {
        Self {
            health: Health::new(database.clone()),
            metrics: Metrics::new(settings.metrics.enabled, database.clone()),
            monitor: Monitor::new(settings.monitor.clone()),
            neighbours: Neighbours::new(database.clone()),
            settings,
            database,
        }
    }

    /// Gives one worker's app what its observing handlers ask for.
    pub(crate) fn configure(&self, app: &mut ServiceConfig) {
        app.app_data(Data::new(self.health.clone()))
            .app_data(Data::new(self.metrics.clone()))
            .app_data(Data::new(self.monitor.clone()))
            .app_data(Data::new(self.neighbours.clone()))
            .app_data(Data::new(self.settings.debug.clone()))
            .configure(|routes| routes::configure_metrics(routes, &self.settings.metrics));
    }

    /// Takes the port that metrics have for themselves, where one is set.
    ///
    /// # Errors
    ///
    /// Somebody else has it.
    pub(crate) fn listen(&self) -> Option<(SocketAddr, io::Result<TcpListener>)> {
        let port = self
            .settings
            .metrics
            .port
            .filter(|_| self.settings.metrics.enabled)?;
        let address = SocketAddr::new(self.settings.server.host, port);
        Some((address, TcpListener::bind(address)))
    }

    /// Begins to watch, and to serve metrics on a port of their own.
    ///
    /// # Errors
    ///
    /// The port cannot be served.
    pub(crate) async fn watch(&self, port: Option<TcpListener>) -> io::Result<Watching> {
        let mut tasks = JoinSet::new();
        if self.settings.monitor.enabled {
            tasks.spawn(self.monitor.clone().run(self.database.clone()));
        }
        if self.settings.health.require_migrations {
            migrations::first_look(&self.database, &self.health).await;
            tasks.spawn(migrations::watch(self.database.clone(), self.health.clone()));
        }
        let metrics = port
            .map(|listener| self.serve(listener, &mut tasks))
            .transpose()?;
        Ok(Watching {
            _tasks: tasks,
            metrics,
        })
    }

    /// Waits for `stop`, tells whoever asks from then on that this process is not ready, and gives them time to ask.
    pub(crate) async fn announce(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.health.stop();
        tokio::time::sleep(self.settings.server.drain_delay).await;
    }

    fn serve(&self, listener: TcpListener, tasks: &mut JoinSet<()>) -> io::Result<ServerHandle> {
        let metrics = Data::new(self.metrics.clone());
        let address = listener.local_addr()?;
        let app = move || {
            App::new()
                .app_data(metrics.clone())
                .configure(routes::just_metrics)
        };
        let server = HttpServer::new(app)
            .workers(1)
            .disable_signals()
            .listen(listener)?
            .run();
        let handle = server.handle();
        tasks.spawn(async move {
            if let Err(error) = server.await {
                tracing::warn!(error = %error, "metrics are not served any more");
            }
        });
        tracing::info!("metrics on http://{address}/metrics");
        Ok(handle)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            // It takes effect at the call; nobody has to wait for it.
            drop(metrics.stop(false));
        }
    }
}
