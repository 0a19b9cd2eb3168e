//! Application state shared by handlers and middleware.

use std::sync::Arc;

use actix_web::web::{Data, PayloadConfig, ServiceConfig};
use berth_auth::{AccountMails, Application, Auth, Subjects};
use berth_database::{Database, StatusHandle};
use berth_jobs::{Jobs, Registry};
use berth_mail::Mailer;

use crate::client_address::TrustedProxies;
use crate::events::StreamLimits;
use crate::identity::{AccountMailer, Identities};
use crate::middleware::{RateLimits, RequestLimits, SecurityHeaders, Sessions};
use crate::observability::{ConnectedClients, Metrics, Monitor, Readiness};
use crate::settings::{Debug, Environment, Settings};
use crate::startup::StartError;
use crate::telemetry;

/// What the handlers and the middleware of one process share; [`provide`](Self::provide) gives it to an app.
///
/// None of it lets a handler open a session of its own: sessions come from the extractor.
#[derive(Clone, Debug)]
pub struct AppState {
    pub(crate) settings: Arc<Settings>,
    pub(crate) database: Database,
    info: Data<AppInfo>,
    body_limits: Data<BodyLimits>,
    request_limits: Data<RequestLimits>,
    rate_limits: Data<RateLimits>,
    trusted_proxies: Data<TrustedProxies>,
    security_headers: Data<SecurityHeaders>,
    pub(crate) streams: Data<StreamLimits>,
    sessions: Data<Sessions>,
    pub(crate) identities: Data<Identities>,
    pool: Data<StatusHandle>,
    pub(crate) readiness: Data<Readiness>,
    pub(crate) monitor: Data<Monitor>,
    pub(crate) metrics: Data<Metrics>,
    clients: Data<ConnectedClients>,
    debug: Data<Debug>,
    pub(crate) jobs: Data<Jobs>,
    pub(crate) mailer: Mailer,
    pub(crate) account_mailer: Option<AccountMailer>,
    /// What the worker of this process can run; none where it has none.
    pub(crate) registry: Option<Registry>,
}

/// The name and version of the service.
#[derive(Clone, Debug)]
pub struct AppInfo {
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) environment: Environment,
    /// `server.require_if_match`.
    pub(crate) require_if_match: bool,
}

/// The limits of a request's body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BodyLimits {
    /// `server.body_limit`, in bytes.
    pub(crate) bytes: usize,
    /// `server.json_depth`, in levels of arrays and objects.
    pub(crate) json_depth: usize,
}

impl AppState {
    /// Makes the state of one process; `version` is the service's own.
    ///
    /// # Errors
    ///
    /// [`StartError::Service`]: identity or mail cannot be set up with these settings.
    pub fn new(settings: Settings, database: &Database, version: &'static str) -> Result<Self, StartError> {
        let status = database.status_handle();
        let auth = auth(&settings)?;
        let request_timeout = settings.server.request_timeout;
        let jobs = Jobs::with_tracing(telemetry::of_jobs());
        if settings.jobs.listen {
            jobs.announce();
        }
        Ok(Self {
            info: Data::new(AppInfo {
                name: settings.app.name.clone(),
                version,
                environment: settings.app.environment,
                require_if_match: settings.server.require_if_match,
            }),
            body_limits: Data::new(BodyLimits {
                bytes: settings.server.body_limit,
                json_depth: settings.server.json_depth,
            }),
            request_limits: Data::new(RequestLimits::new(&settings.server)),
            rate_limits: Data::new(RateLimits::new(&settings.rate_limit)),
            trusted_proxies: Data::new(TrustedProxies::new(settings.server.trusted_proxies.clone())),
            security_headers: Data::new(SecurityHeaders::new(&settings.security_headers)),
            streams: Data::new(StreamLimits::new(&settings)),
            sessions: Data::new(Sessions::new(database.clone(), &settings)),
            identities: Data::new(Identities::new(auth, database.clone(), request_timeout)),
            readiness: Data::new(Readiness::new(database.clone())),
            monitor: Data::new(Monitor::new(settings.monitor.clone())),
            metrics: Data::new(Metrics::new(&settings.metrics, status.clone(), jobs.clone())),
            clients: Data::new(ConnectedClients::new(database.clone())),
            debug: Data::new(settings.debug.clone()),
            pool: Data::new(status),
            mailer: Mailer::new(&settings.mail, jobs.clone()).map_err(StartError::service("mail"))?,
            account_mailer: None,
            jobs: Data::new(jobs),
            registry: None,
            database: database.clone(),
            settings: Arc::new(settings),
        })
    }

    /// Sets what makes the rows of users whom other issuers know.
    #[must_use]
    pub fn with_subjects(mut self, subjects: Arc<dyn Subjects>) -> Self {
        let mut identities = self.identities.get_ref().clone();
        identities.set_subjects(subjects);
        self.identities = Data::new(identities);
        self
    }

    /// Sets what writes the mails of accounts, where the service keeps the passwords.
    #[must_use]
    pub fn with_account_mails(self, mails: Arc<dyn AccountMails>) -> Self {
        let account_mailer = AccountMailer {
            auth: self.identities.auth().clone(),
            mails,
            mailer: self.mailer.clone(),
            public_url: self.settings.public_url(),
        };
        Self {
            account_mailer: Some(account_mailer),
            ..self
        }
    }

    /// Returns what sends mails, for services.
    pub fn mailer(&self) -> &Mailer {
        &self.mailer
    }

    /// Returns the queue, for the services that enqueue jobs.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Sets which jobs this process can run, and its schedule. The platform adds its housekeeping.
    #[must_use]
    pub fn with_registry(self, registry: Registry) -> Self {
        Self {
            registry: Some(registry),
            ..self
        }
    }

    /// Gives each worker's app what the platform's handlers and middleware ask for.
    pub fn provide(&self, app: &mut ServiceConfig) {
        app.app_data(PayloadConfig::new(self.settings.server.body_limit))
            .app_data(self.info.clone())
            .app_data(self.body_limits.clone())
            .app_data(self.request_limits.clone())
            .app_data(self.rate_limits.clone())
            .app_data(self.trusted_proxies.clone())
            .app_data(self.security_headers.clone())
            .app_data(self.streams.clone())
            .app_data(self.sessions.clone())
            .app_data(self.identities.clone())
            .app_data(self.pool.clone())
            .app_data(self.readiness.clone())
            .app_data(self.monitor.clone())
            .app_data(self.metrics.clone())
            .app_data(self.clients.clone())
            .app_data(self.debug.clone())
            .app_data(self.jobs.clone());
    }

    /// Whether `/metrics` is served beside the other routes.
    pub fn serves_metrics(&self) -> bool {
        self.settings.metrics.enabled && self.settings.metrics.port.is_none()
    }
}

/// What `[auth]` and `[app]` ask for.
///
/// # Errors
///
/// [`StartError::Service`]: identity cannot be set up with these settings.
pub(crate) fn auth(settings: &Settings) -> Result<Auth, StartError> {
    let application = Application {
        name: settings.app.name.clone(),
        secret: settings.app.secret.clone(),
        previous_secret: settings.app.previous_secret.clone(),
    };
    Auth::new(&settings.auth, &application).map_err(|error| StartError::Service {
        what: "identity",
        source: error.into(),
    })
}
