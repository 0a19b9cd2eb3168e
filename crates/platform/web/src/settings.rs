//! Sections of the configuration that belong to the platform. `config/default.toml` documents every key.

mod log;
mod observe;
pub mod seconds;
mod secret;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::log::{Log, LogFormat, levels};
pub use self::observe::{Debug, Health, Metrics, Monitor, Telemetry};
pub use self::secret::{MASK, Secret};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub name: String,
    pub environment: Environment,
    pub secret: Secret,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    Development,
    Test,
    Production,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub host: IpAddr,
    pub port: u16,
    pub workers: usize,
    #[serde(with = "seconds")]
    pub request_timeout: Duration,
    #[serde(with = "seconds")]
    pub shutdown_timeout: Duration,
    pub body_limit: usize,
    #[serde(with = "seconds")]
    pub drain_delay: Duration,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Startup {
    #[serde(with = "seconds")]
    pub database_timeout: Duration,
    pub migrate: Migrate,
}

/// What is done about migrations at the start.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Migrate {
    Apply,
    Check,
    Skip,
}

/// The platform's sections of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service itself.
    pub app: App,
    /// The HTTP server.
    pub server: Server,
    /// What happens before it listens.
    pub startup: Startup,
    /// The connections to the database.
    pub database: berth_database::Settings,
    /// The log.
    pub log: Log,
    /// What makes the process ready.
    pub health: Health,
    /// Warnings.
    pub monitor: Monitor,
    /// Metrics.
    pub metrics: Metrics,
    /// Who may see the pool page.
    pub debug: Debug,
    /// Traces.
    pub telemetry: Telemetry,
}

/// The secret that `config/default.toml` ships, so that a first run needs none.
const DEVELOPMENT_SECRET: &str = "development-only-secret-never-deploy-me";

impl App {
    pub fn check(&self) -> Result<(), Broken> {
        require(
            !self.name.is_empty() && self.name.len() <= 40,
            "app.name",
            "must have 1 to 40 characters",
        )?;
        require(
            self.secret.reveal().len() >= 32,
            "app.secret",
            "must have at least 32 characters",
        )?;
        require(
            self.environment != Environment::Production || self.secret.reveal() != DEVELOPMENT_SECRET,
            "app.secret",
            "must not be the development secret in production; make one with `openssl rand -hex 32` \
             and set APP__APP__SECRET",
        )
    }
}

impl Server {
    pub fn check(&self) -> Result<(), Broken> {
        require(
            self.workers <= 256,
            "server.workers",
            "must be from 0 (one a processor) to 256",
        )?;
        within("server.request_timeout", self.request_timeout, 0.1, 3600.0)?;
        within("server.drain_delay", self.drain_delay, 0.0, 300.0)?;
        within("server.shutdown_timeout", self.shutdown_timeout, 0.0, 3600.0)?;
        require(
            (1024..=104_857_600).contains(&self.body_limit),
            "server.body_limit",
            "must be from 1024 to 104857600 bytes",
        )
    }
}

/// A rule that a value breaks. Whoever loaded the settings knows the value and where it came from.
#[derive(Debug)]
pub struct Broken {
    pub key: String,
    /// What it is, where that says more than the key's own value: a sum, for example.
    pub value: Option<String>,
    pub rule: String,
}

impl Broken {
    pub fn new(key: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: None,
            rule: rule.into(),
        }
    }
}

pub fn require(holds: bool, key: &str, rule: &str) -> Result<(), Broken> {
    if holds {
        Ok(())
    } else {
        Err(Broken::new(key, rule))
    }
}

pub fn within(key: &str, value: Duration, least: f64, most: f64) -> Result<(), Broken> {
    let holds = (least..=most).contains(&value.as_secs_f64());
    require(holds, key, &format!("must be from {least} to {most} seconds"))
}
