//! What can be set about watching the process.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::log::{LEVELS, levels};
use super::{Broken, Secret, Server, require, seconds, within};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub require_migrations: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    pub enabled: bool,
    #[serde(with = "seconds")]
    pub interval: Duration,
    pub usage_warning_ratio: f64,
    #[serde(with = "seconds")]
    pub usage_warning_after: Duration,
    #[serde(with = "seconds")]
    pub leak_detection_threshold: Duration,
    #[serde(with = "seconds")]
    pub slow_request: Duration,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    pub enabled: bool,
    #[serde(default, deserialize_with = "port")]
    pub port: Option<u16>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Debug {
    pub token: Option<Secret>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub otlp_endpoint: Option<String>,
    pub trace_level: String,
}

/// A variable is text, and a key without a default does not tell what it is text of.
fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let rule = || D::Error::custom("must be a whole number from 0 to 65535");
    let port = match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => return Ok(None),
        serde_json::Value::String(text) => text.parse().map_err(|_| rule())?,
        value => value
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(rule)?,
    };
    Ok(Some(port))
}

impl Monitor {
    pub fn check(&self) -> Result<(), Broken> {
        within("monitor.interval", self.interval, 0.05, 60.0)?;
        require(
            (0.1..=1.0).contains(&self.usage_warning_ratio),
            "monitor.usage_warning_ratio",
            "must be from 0.1 to 1, a part of the share",
        )?;
        within(
            "monitor.usage_warning_after",
            self.usage_warning_after,
            0.0,
            3600.0,
        )?;
        within(
            "monitor.leak_detection_threshold",
            self.leak_detection_threshold,
            0.05,
            86400.0,
        )?;
        within("monitor.slow_request", self.slow_request, 0.01, 3600.0)
    }
}

impl Metrics {
    pub fn check(&self, server: &Server) -> Result<(), Broken> {
        require(
            self.port.is_none_or(|port| port == 0 || port != server.port),
            "metrics.port",
            "must not be server.port: leave it out to serve /metrics there",
        )
    }
}

impl Debug {
    pub fn check(&self) -> Result<(), Broken> {
        let fits = |token: &Secret| {
            token.reveal().len() >= 16 && token.reveal().bytes().all(|byte| byte.is_ascii_graphic())
        };
        require(
            self.token.as_ref().is_none_or(fits),
            "debug.token",
            "must have at least 16 visible ASCII characters; make one with `openssl rand -hex 32`",
        )
    }
}

impl Telemetry {
    pub fn check(&self) -> Result<(), Broken> {
        require(
            levels(&self.trace_level).is_some(),
            "telemetry.trace_level",
            LEVELS,
        )?;
        let Some(endpoint) = &self.otlp_endpoint else {
            return Ok(());
        };
        require(
            endpoint.starts_with("http://") || endpoint.starts_with("https://"),
            "telemetry.otlp_endpoint",
            "must begin with http:// or https://",
        )?;
        require(
            cfg!(feature = "otlp"),
            "telemetry.otlp_endpoint",
            "needs a binary that was built with `--features otlp`",
        )
    }
}
