//! What can be set, and what may not be combined. `config/default.toml` documents every key.

mod layer;
mod load;
mod log;
mod name;
mod observe;
mod report;
mod responder; // sample
mod seconds;
mod secret;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::load::{Invalid, Loaded, Sources};
pub(crate) use self::log::levels;
pub use self::log::{Log, LogFormat};
pub use self::observe::{Debug, Health, Metrics, Monitor, Telemetry};
pub use self::responder::Responder; // sample
pub use self::secret::Secret;

/// Everything that can be set, read and checked before anything listens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub app: App,
    pub server: Server,
    pub startup: Startup,
    pub database: berth_database::Settings,
    pub log: Log,
    pub responder: Responder, // sample
    pub health: Health,
    pub monitor: Monitor,
    pub metrics: Metrics,
    pub debug: Debug,
    pub telemetry: Telemetry,
}

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

/// The secret that `config/default.toml` ships, so that a first run needs none.
const DEVELOPMENT_SECRET: &str = "development-only-secret-never-deploy-me";

impl Settings {
    /// Refuses what is out of range or contradicts itself, naming the key and the rule.
    fn check(&self) -> Result<(), Broken> {
        self.app.check()?;
        self.server.check()?;
        self.log.check()?;
        within(
            "startup.database_timeout",
            self.startup.database_timeout,
            0.0,
            3600.0,
        )?;
        self.database.validate().map_err(|error| Broken {
            value: Some(error.value),
            ..Broken::new(error.key, error.rule)
        })?;
        self.monitor.check()?;
        self.metrics.check(&self.server)?;
        self.debug.check()?;
        self.responder.check(&self.server)?; // sample
        self.telemetry.check()
    }
}

impl App {
    fn check(&self) -> Result<(), Broken> {
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
    fn check(&self) -> Result<(), Broken> {
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
struct Broken {
    key: String,
    /// What it is, where that says more than the key's own value: a sum, for example.
    value: Option<String>,
    rule: String,
}

impl Broken {
    fn new(key: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: None,
            rule: rule.into(),
        }
    }
}

fn require(holds: bool, key: &str, rule: &str) -> Result<(), Broken> {
    if holds {
        Ok(())
    } else {
        Err(Broken::new(key, rule))
    }
}

fn within(key: &str, value: Duration, least: f64, most: f64) -> Result<(), Broken> {
    let holds = (least..=most).contains(&value.as_secs_f64());
    require(holds, key, &format!("must be from {least} to {most} seconds"))
}
