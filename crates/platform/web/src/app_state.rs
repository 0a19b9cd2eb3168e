//! What the handlers and the middleware of one process share.

use std::sync::Arc;

use actix_web::web::{Data, PayloadConfig};
use berth_database::{Database, StatusHandle};

use crate::middleware::Sessions;
use crate::observability::{ConnectedClients, Metrics, Monitor, Readiness};
use crate::settings::{Debug, Environment, Settings};

/// What the handlers and the middleware of one process share, each part ready for `App::app_data`.
///
/// None of it lets a handler open a session of its own: sessions come from the extractor.
#[derive(Clone, Debug)]
pub struct AppState {
    pub(crate) settings: Arc<Settings>,
    pub(crate) database: Database,
    /// The name and version of the service.
    pub info: Data<AppInfo>,
    /// The largest body of a request, for [`Json`](crate::extract::Json).
    pub body_limit: Data<BodyLimit>,
    /// Makes the sessions of requests; for [`unit_of_work`](crate::middleware::unit_of_work) only.
    pub sessions: Data<Sessions>,
    /// The pool's numbers, read only.
    pub pool: Data<StatusHandle>,
    /// Whether the process should receive requests.
    pub readiness: Data<Readiness>,
    /// The warnings and the last minutes of the pool.
    pub monitor: Data<Monitor>,
    /// Everything that Prometheus scrapes.
    pub metrics: Data<Metrics>,
    /// The clients of the database.
    pub clients: Data<ConnectedClients>,
    /// Who may see `/debug/db-pool`.
    pub debug: Data<Debug>,
}

/// The name and version of the service.
#[derive(Clone, Debug)]
pub struct AppInfo {
    /// `app.name`.
    pub name: String,
    /// The version of the service's own crate.
    pub version: &'static str,
    /// `app.environment`.
    pub environment: Environment,
}

/// The largest body of a request, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(pub usize);

impl AppState {
    /// Makes the state of one process; `version` is the service's own.
    pub fn new(settings: Settings, database: &Database, version: &'static str) -> Self {
        let status = database.status_handle();
        Self {
            info: Data::new(AppInfo {
                name: settings.app.name.clone(),
                version,
                environment: settings.app.environment,
            }),
            body_limit: Data::new(BodyLimit(settings.server.body_limit)),
            sessions: Data::new(Sessions::new(database.clone(), settings.server.request_timeout)),
            readiness: Data::new(Readiness::new(database.clone())),
            monitor: Data::new(Monitor::new(settings.monitor.clone())),
            metrics: Data::new(Metrics::new(settings.metrics.enabled, status.clone())),
            clients: Data::new(ConnectedClients::new(database.clone())),
            debug: Data::new(settings.debug.clone()),
            pool: Data::new(status),
            database: database.clone(),
            settings: Arc::new(settings),
        }
    }

    /// The limit of bodies that are read by actix's own extractors.
    pub fn payload_config(&self) -> PayloadConfig {
        PayloadConfig::new(self.settings.server.body_limit)
    }

    /// Whether `/metrics` is served beside the other routes.
    pub fn serves_metrics(&self) -> bool {
        self.settings.metrics.enabled && self.settings.metrics.port.is_none()
    }
}
