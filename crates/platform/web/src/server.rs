//! The HTTP server: takes its port, serves, and stops gracefully.

use std::fmt::Debug;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};

use actix_http::{Request, Response};
use actix_service::IntoServiceFactory;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer};

use crate::AppState;
use crate::observability::BackgroundTasks;
use crate::startup::{Migrations, Schema, StartError};
use crate::{middleware, routing, telemetry};

/// A server whose port is taken: connections are accepted, and answered once it runs.
#[derive(Debug)]
#[must_use]
pub struct Server {
    state: AppState,
    migrations: Migrations,
    address: SocketAddr,
    listener: TcpListener,
    metrics: Option<TcpListener>,
}

impl Server {
    /// Takes the port, and that of the metrics where they have their own.
    ///
    /// # Errors
    ///
    /// [`StartError::Listen`]: the address is not this machine's, or the port is taken.
    pub fn bind(state: AppState, migrations: Migrations) -> Result<Self, StartError> {
        let settings = &state.settings;
        let listener = listen(SocketAddr::new(settings.server.host, settings.server.port))?;
        let metrics = settings.metrics.port.filter(|_| settings.metrics.enabled);
        let metrics = metrics.map(|port| listen(SocketAddr::new(settings.server.host, port)));
        Ok(Self {
            address: listener.local_addr().map_err(StartError::Serve)?,
            listener,
            metrics: metrics.transpose()?,
            state,
            migrations,
        })
    }

    /// Notes what the start has found of the schema, so that it is not checked again before requests are served.
    pub fn with_schema(self, schema: Schema) -> Self {
        if self.state.settings.health.require_migrations {
            self.state.readiness.note_schema(schema);
        }
        self
    }

    /// The address it listens on, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the metrics, where they have a port of their own.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }

    /// Serves `app` until `stop`, then lets requests under way finish.
    ///
    /// A request whose client leaves is dropped rather than served to no client, so that its connection is released
    /// at once (`h1_allow_half_closed(false)`).
    ///
    /// # Errors
    ///
    /// [`StartError::Serve`]: the server failed.
    pub async fn run<F, I, S, B>(
        self,
        app: F,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StartError>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: Debug,
        S::Response: Into<Response<B>> + 'static,
        <S::Service as Service<Request>>::Future: 'static,
        S::Service: 'static,
        B: MessageBody + 'static,
    {
        self.warn();
        let address = self.address;
        tracing::info!("listening on http://{address}, docs at http://{address}/docs/");
        self.run_app(app, stop).await
    }

    /// Runs jobs until `stop`, and serves health checks, metrics and the pool page only.
    ///
    /// # Errors
    ///
    /// [`StartError::Serve`]: the server failed. [`StartError::Service`]: `jobs.workers` is 0.
    pub async fn run_worker(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), StartError> {
        if self.state.settings.jobs.workers == 0 {
            return Err(StartError::service("the worker")("jobs.workers is 0"));
        }
        self.warn();
        tracing::info!(
            "listening on http://{}, for health checks and metrics",
            self.address
        );
        let state = self.state.clone();
        let app = move || {
            App::new()
                .configure(|app| state.provide(app))
                .configure(|table| routing::operations(table, &state))
                .wrap(from_fn(middleware::error_response))
                .wrap(from_fn(middleware::access_log))
                .wrap(from_fn(middleware::request_metrics))
                .wrap(telemetry::request_span())
        };
        self.run_app(app, stop).await
    }

    /// Logs what to reconsider in production, above the line that says that the service listens.
    fn warn(&self) {
        for warning in self.state.settings.production_warnings() {
            tracing::warn!("in production: {}: {}", warning.says, warning.change);
        }
    }

    async fn run_app<F, I, S, B>(
        self,
        app: F,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StartError>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: Debug,
        S::Response: Into<Response<B>> + 'static,
        <S::Service as Service<Request>>::Future: 'static,
        S::Service: 'static,
        B: MessageBody + 'static,
    {
        let Self {
            state,
            migrations,
            address,
            listener,
            metrics,
        } = self;
        let tasks = BackgroundTasks::start(&state, migrations, metrics)
            .await
            .map_err(StartError::Serve)?;
        let settings = state.settings.server.clone();
        let workers = settings.workers();
        // The builder is not `Send` and ends before the server is awaited.
        let server = HttpServer::new(app)
            .h1_allow_half_closed(false)
            .keep_alive(settings.keep_alive)
            .client_request_timeout(settings.header_timeout)
            .shutdown_timeout(settings.shutdown_timeout.as_secs_f64().ceil() as u64)
            .shutdown_signal(announce(state, stop))
            .workers(workers)
            .max_connections(settings.max_connections.div_ceil(workers))
            .listen(listener)
            .map(HttpServer::run)
            .map_err(|source| StartError::Listen { address, source })?;
        let served = server.await.map_err(StartError::Serve);
        tasks.stop().await;
        served
    }
}

/// Waits for `stop`, makes the process unready, and gives the load balancer time to notice.
async fn announce(state: AppState, stop: impl Future<Output = ()>) {
    stop.await;
    state.readiness.stop();
    state.jobs.stop_taking();
    tokio::time::sleep(state.settings.server.drain_delay).await;
    // Other requests end by themselves.
    state.streams.stop();
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Listen { address, source })
}
