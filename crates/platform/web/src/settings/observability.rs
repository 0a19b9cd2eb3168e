//! Sections about health, metrics, warnings, the pool page and traces.

use std::time::Duration;

use berth_settings::{Secret, between, http_url, require, seconds};
use garde::Validate;
use serde::{Deserialize, Serialize};

use super::log::is_level;

/// `[health]`: the readiness probe.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Whether pending migrations make the service not ready.
    pub require_migrations: bool,
}

/// `[monitor]`: warnings about the pool and slow requests.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// Whether the pool is watched.
    pub enabled: bool,
    /// Time between two looks.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.05, 60.0)))]
    pub interval: Duration,
    /// Part of the share above which usage counts as high.
    #[garde(custom(between(0.1, 1.0)))]
    pub usage_warning_ratio: f64,
    /// Time that usage is high before a warning is logged.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 3600.0)))]
    pub usage_warning_after: Duration,
    /// Time after which a lease is logged as a possible leak.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.05, 86400.0)))]
    pub leak_detection_threshold: Duration,
    /// Time after which a request is logged as slow.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.01, 3600.0)))]
    pub slow_request: Duration,
}

/// `[metrics]`: the metrics endpoint.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Whether metrics are served.
    pub enabled: bool,
    /// A separate port for metrics.
    pub port: Option<u16>,
}

/// `[debug]`: the pool page.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Debug {
    /// Token that opens the pool page.
    #[garde(custom(visible_token))]
    pub token: Option<Secret>,
}

/// `[telemetry]`: traces for OpenTelemetry.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Base URL of the collector.
    #[garde(custom(http_url), custom(built_with_otlp))]
    pub otlp_endpoint: Option<String>,
    /// Which spans are sent.
    #[garde(custom(is_level))]
    pub trace_level: String,
}

fn visible_token(token: &Option<Secret>, (): &()) -> garde::Result {
    let fits = |token: &Secret| {
        token.reveal().len() >= 16 && token.reveal().bytes().all(|byte| byte.is_ascii_graphic())
    };
    require(
        token.as_ref().is_none_or(fits),
        "must have at least 16 visible ASCII characters; create one with `openssl rand -hex 32`",
    )
}

fn built_with_otlp(endpoint: &Option<String>, (): &()) -> garde::Result {
    require(
        endpoint.is_none() || cfg!(feature = "otlp"),
        "needs a binary that was built with `--features otlp`",
    )
}
