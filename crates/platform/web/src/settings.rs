//! Sections of the configuration that belong to the platform. `config/default.toml` documents every key.

mod edge;
mod log;
mod observability;
mod production;

use std::net::IpAddr;
use std::num::NonZero;
use std::time::Duration;

use berth_settings::{ConfigError, Loaded, between, characters, http_url, require, seconds};
use garde::Validate;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::edge::{Cors, Events, Idempotency, RateLimit, SecurityHeaders};
pub(crate) use self::log::levels;
pub use self::log::{Log, LogFormat};
pub use self::observability::{Debug, Health, Metrics, Monitor, Telemetry};
pub use self::production::ProductionWarning;
pub use berth_settings::{Environment, Secret};

/// The platform's sections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[app]`
    pub app: App,
    /// `[server]`
    pub server: Server,
    /// `[cors]`
    pub cors: Cors,
    /// `[security_headers]`
    pub security_headers: SecurityHeaders,
    /// `[rate_limit]`
    pub rate_limit: RateLimit,
    /// `[idempotency]`
    pub idempotency: Idempotency,
    /// `[events]`
    pub events: Events,
    /// `[startup]`
    pub startup: Startup,
    /// `[auth]`
    pub auth: berth_auth::Settings,
    /// `[mail]`
    pub mail: berth_mail::Settings,
    /// `[database]`
    pub database: berth_database::Settings,
    /// `[jobs]`
    pub jobs: berth_jobs::Settings,
    /// `[log]`
    pub log: Log,
    /// `[health]`
    pub health: Health,
    /// `[monitor]`
    pub monitor: Monitor,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[debug]`
    pub debug: Debug,
    /// `[telemetry]`
    pub telemetry: Telemetry,
}

/// `[app]`: the service's name and environment.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Name of the service.
    #[garde(custom(characters(1, 40)))]
    pub name: String,
    /// Where users reach the service or its pages.
    #[garde(custom(http_url))]
    pub public_url: Option<String>,
    /// The environment, which decides which file is read.
    pub environment: Environment,
    /// Secret used to sign access tokens.
    #[garde(custom(Secret::at_least(32)), custom(not_the_default_in(self.environment)))]
    pub secret: Secret,
    /// The secret before the last rotation.
    #[garde(custom(unset_or_long))]
    pub previous_secret: Option<Secret>,
}

/// `[server]`: the HTTP server.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Threads that serve HTTP; 0 means one for two processors.
    #[garde(custom(between(0, 256)))]
    pub workers: usize,
    /// Time for one request.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 3600.0)))]
    pub request_timeout: Duration,
    /// Time for running requests after SIGTERM.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 3600.0)))]
    pub shutdown_timeout: Duration,
    /// Bytes of a request body.
    #[garde(custom(between(1024, 104_857_600)))]
    pub body_limit: usize,
    /// Levels of arrays and objects in a body of JSON.
    #[garde(custom(between(1, 100)))]
    pub json_depth: usize,
    /// Bytes of the request's address.
    #[garde(custom(between(256, 65_536)))]
    pub url_limit: usize,
    /// Bytes of the request's headers.
    #[garde(custom(between(1024, 131_072)))]
    pub header_limit: usize,
    /// Time for the head of the first request of a connection.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 300.0)))]
    pub header_timeout: Duration,
    /// Time for the body of a request.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 3600.0)))]
    pub body_timeout: Duration,
    /// Time that an idle connection is kept open.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(1.0, 3600.0)))]
    pub keep_alive: Duration,
    /// Connections of clients at the same time.
    #[garde(custom(between(1, 1_000_000)))]
    pub max_connections: usize,
    /// Requests at the same time.
    #[garde(custom(between(1, 1_000_000)))]
    pub max_requests: usize,
    /// Whether a change without `If-Match` is refused.
    pub require_if_match: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Time between SIGTERM and the moment from which no connections are accepted.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 300.0)))]
    pub drain_delay: Duration,
}

impl Server {
    /// Returns the number of threads that serve HTTP.
    ///
    /// Half as many as processors, unless it is set: the database's sockets are served by the main runtime, which has a
    /// thread for each processor. With a thread of each kind for each processor a request costs a third more processor
    /// time (`make bench ARGS=http`).
    pub fn workers(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, NonZero::get);
        match self.workers {
            0 => processors().div_ceil(2),
            workers => workers,
        }
    }
}

/// `[startup]`: what happens before the service listens.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Startup {
    /// Time to reach the database.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 3600.0)))]
    pub database_timeout: Duration,
    /// What is done about pending migrations.
    pub migrate: Migrate,
}

/// Decides what is done about pending migrations at the start.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Migrate {
    /// Applies them.
    Apply,
    /// Logs a warning.
    Check,
    /// Does not look.
    Skip,
}

impl Settings {
    /// Reads the platform's sections and checks the rules between them.
    ///
    /// # Errors
    ///
    /// The first setting that has the wrong type, is out of range or contradicts another.
    pub fn read(loaded: &mut Loaded) -> Result<Self, ConfigError> {
        let settings = Self {
            app: loaded.section("app")?,
            server: loaded.section("server")?,
            cors: loaded.section("cors")?,
            security_headers: loaded.section("security_headers")?,
            rate_limit: loaded.section("rate_limit")?,
            idempotency: loaded.section("idempotency")?,
            events: loaded.section("events")?,
            startup: loaded.section("startup")?,
            auth: loaded.section("auth")?,
            mail: loaded.section("mail")?,
            database: loaded.section("database")?,
            jobs: loaded.section("jobs")?,
            log: loaded.section("log")?,
            health: loaded.section("health")?,
            monitor: loaded.section("monitor")?,
            metrics: loaded.section("metrics")?,
            debug: loaded.section("debug")?,
            telemetry: loaded.section("telemetry")?,
        };
        let port = settings.metrics.port;
        if port.is_some_and(|port| port != 0 && port == settings.server.port) {
            let rule = "must not be server.port: leave it out to serve /metrics there";
            return Err(loaded.violation("metrics.port", rule));
        }
        if settings.auth.row_level_security && !settings.database.url.is_postgres() {
            let rule = "needs PostgreSQL: SQLite has neither roles nor policies";
            return Err(loaded.violation("auth.row_level_security", rule));
        }
        let contradiction = settings.auth.contradiction().or(settings.mail.contradiction());
        match contradiction.or(settings.jobs.contradiction()) {
            Some((key, rule)) => Err(loaded.violation(key, rule)),
            None => Ok(settings),
        }
    }
}

impl Settings {
    /// Returns where links in mails lead, without a slash at the end: `app.public_url`, or this machine.
    pub fn public_url(&self) -> String {
        match &self.app.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://localhost:{}", self.server.port),
        }
    }
}

/// The secret that `config/default.toml` contains, so that a first run needs none.
const DEVELOPMENT_SECRET: &str = "development-only-secret-never-deploy-me";

fn unset_or_long(secret: &Option<Secret>, (): &()) -> garde::Result {
    secret
        .as_ref()
        .map_or(Ok(()), |secret| Secret::at_least(32)(secret, &()))
}

fn not_the_default_in(environment: Environment) -> impl FnOnce(&Secret, &()) -> garde::Result {
    move |secret, ()| {
        require(
            environment != Environment::Production || secret.reveal() != DEVELOPMENT_SECRET,
            "must not be the development secret in production; create one with `openssl rand -hex 32` and set it as \
             APP__APP__SECRET",
        )
    }
}
