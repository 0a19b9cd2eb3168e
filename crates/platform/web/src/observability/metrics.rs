//! The metrics of requests, and the registry of all metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::{Method, StatusCode};
use berth_database::StatusHandle;
use berth_jobs::Jobs;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::job_metrics::JobMetrics;
use super::pool_metrics::PoolMetrics;
use crate::settings::Metrics as Settings;

/// The OpenMetrics text format, in which `prometheus-client` writes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The bucket boundaries of OpenTelemetry's conventions, in seconds.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The status under which a client that left before its answer is counted, as nginx does.
const CLIENT_LEFT: u16 = 499;

/// The metrics of the process.
#[derive(Clone, Debug)]
pub struct Metrics {
    enabled: bool,
    registry: Arc<Registry>,
    requests: Family<Labels, Histogram>,
    active: Gauge,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Labels {
    http_request_method: &'static str,
    http_route: Arc<str>,
    http_response_status_code: u16,
}

/// A request under way. Dropped unanswered, it counts as one whose client left.
#[derive(Debug)]
pub(crate) struct RequestTimer<'m> {
    metrics: &'m Metrics,
    method: &'static str,
    route: Arc<str>,
    started: Instant,
    status: Option<StatusCode>,
}

impl Metrics {
    pub(crate) fn new(settings: &Settings, pool: StatusHandle, jobs: Jobs) -> Self {
        let requests = Family::new_with_constructor((|| Histogram::new(BOUNDS)) as fn() -> Histogram);
        let active = Gauge::default();
        let mut registry = Registry::default();
        registry.register(
            "http_server_request_duration_seconds",
            "From a request's head to its answer's head, by route pattern",
            requests.clone(),
        );
        registry.register(
            "http_server_active_requests",
            "Requests under way",
            active.clone(),
        );
        registry.register_collector(Box::new(PoolMetrics::new(pool)));
        registry.register_collector(Box::new(JobMetrics::new(jobs)));
        Self {
            enabled: settings.enabled,
            registry: Arc::new(registry),
            requests,
            active,
        }
    }

    /// Starts to time a request.
    pub(crate) fn start(&self, method: &Method, route: Arc<str>) -> RequestTimer<'_> {
        self.active.inc();
        RequestTimer {
            metrics: self,
            method: known(method),
            route,
            started: Instant::now(),
            status: None,
        }
    }

    /// Everything in the OpenMetrics text format.
    ///
    /// # Errors
    ///
    /// None in practice: writing into memory does not fail.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(32 * 1024);
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl RequestTimer<'_> {
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    pub(crate) fn route(&self) -> &str {
        &self.route
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for RequestTimer<'_> {
    fn drop(&mut self) {
        self.metrics.active.dec();
        if !self.metrics.enabled {
            return;
        }
        let labels = Labels {
            http_request_method: self.method,
            http_route: self.route.clone(),
            http_response_status_code: self.status.map_or(CLIENT_LEFT, |status| status.as_u16()),
        };
        let took = self.started.elapsed().as_secs_f64();
        self.metrics.requests.get_or_create(&labels).observe(took);
    }
}

/// A method is free text: an unknown one must not make a time series.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
