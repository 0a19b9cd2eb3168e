//! Background tasks: the monitor, the check for pending migrations, metrics on a separate port, the worker.

use std::io;
use std::net::TcpListener;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use berth_jobs::Worker;
use berth_mail::SendMail;
use tokio::task::JoinSet;

use super::pending_migrations;
use crate::identity::AccountMail;
use crate::startup::Migrations;
use crate::{AppState, housekeeping, routing};

/// The tasks that run beside the server; dropped, they end.
#[derive(Debug)]
pub(crate) struct BackgroundTasks {
    _tasks: JoinSet<()>,
    metrics: Option<ServerHandle>,
    worker: Option<Worker>,
}

impl BackgroundTasks {
    /// Starts them.
    ///
    /// # Errors
    ///
    /// The metrics' port cannot be served.
    pub(crate) async fn start(
        state: &AppState,
        migrations: Migrations,
        metrics: Option<TcpListener>,
    ) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        let auth = state.identities.auth().clone();
        if auth.issuers().is_some() {
            tasks.spawn(async move {
                if let Some(issuers) = auth.issuers() {
                    issuers.keep_fresh().await;
                }
            });
        }
        if state.settings.monitor.enabled {
            let monitor = state.monitor.get_ref().clone();
            tasks.spawn(monitor.run(state.database.clone()));
        }
        if state.settings.health.require_migrations {
            let readiness = state.readiness.get_ref().clone();
            pending_migrations::first_check(&state.database, migrations, &readiness).await;
            tasks.spawn(pending_migrations::watch(
                state.database.clone(),
                migrations,
                readiness,
            ));
        }
        let metrics = metrics
            .map(|listener| serve_metrics(state, listener, &mut tasks))
            .transpose()?;
        Ok(Self {
            _tasks: tasks,
            metrics,
            worker: worker(state),
        })
    }

    /// Waits for the jobs that run, up to `jobs.shutdown_timeout` after the signal to stop.
    pub(crate) async fn stop(mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
    }
}

/// Starts the worker, on the main runtime, where the process has jobs and places for them.
fn worker(state: &AppState) -> Option<Worker> {
    let settings = &state.settings.jobs;
    let registry = state.registry.clone().filter(|_| settings.workers > 0)?;
    let registry = housekeeping::register(&state.settings, registry).job::<SendMail>(state.mailer.clone());
    let registry = match &state.account_mailer {
        Some(mailer) => registry.job::<AccountMail>(mailer.clone()),
        None => registry,
    };
    tracing::info!(jobs.workers = settings.workers, "running jobs");
    Some(Worker::start(
        &state.database,
        state.jobs(),
        registry,
        settings.clone(),
    ))
}

fn serve_metrics(
    state: &AppState,
    listener: TcpListener,
    tasks: &mut JoinSet<()>,
) -> io::Result<ServerHandle> {
    let metrics = state.metrics.clone();
    let address = listener.local_addr()?;
    let app = move || App::new().app_data(metrics.clone()).configure(routing::metrics);
    let server = HttpServer::new(app)
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = server.handle();
    tasks.spawn(async move {
        if let Err(error) = server.await {
            tracing::warn!(error = %error, "the metrics server failed: metrics are no longer served");
        }
    });
    tracing::info!("metrics on http://{address}/metrics");
    Ok(handle)
}

impl Drop for BackgroundTasks {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            // The call itself stops the server; its future only waits for that.
            drop(metrics.stop(false));
        }
    }
}
