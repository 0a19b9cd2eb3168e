//! What can be set, and what may not be combined. `config/default.toml` documents every key.

mod layer;
mod load;
mod name;
mod report;
mod responder; // sample

pub use berth_web::settings::{
    App, Debug, Environment, Health, Log, LogFormat, Metrics, Migrate, Monitor, Secret, Server, Startup,
    Telemetry,
};
use berth_web::settings::{Broken, require, seconds, within};
use serde::{Deserialize, Serialize};

pub use self::load::{Invalid, Loaded, Sources};
pub use self::responder::Responder; // sample

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

impl Settings {
    /// The platform's sections.
    pub fn web(&self) -> berth_web::Settings {
        berth_web::Settings {
            app: self.app.clone(),
            server: self.server.clone(),
            startup: self.startup.clone(),
            database: self.database.clone(),
            log: self.log.clone(),
            health: self.health.clone(),
            monitor: self.monitor.clone(),
            metrics: self.metrics.clone(),
            debug: self.debug.clone(),
            telemetry: self.telemetry.clone(),
        }
    }

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
