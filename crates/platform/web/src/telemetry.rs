//! Logs and traces: lines for people or JSON for programs, one span around each request, spans to a collector.

#[cfg(feature = "otlp")]
mod otlp;
mod trace_context;

use std::io::IsTerminal;

use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use tracing::{Span, field};
use tracing_actix_web::{RootSpanBuilder, TracingLogger};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt};

#[cfg(feature = "otlp")]
use self::otlp::Exporter;
pub(crate) use self::trace_context::TraceContext;
pub use self::trace_context::{of_jobs, outgoing};
use crate::request_id::RequestId;
use crate::route_pattern::RoutePattern;
use crate::settings::{Log, LogFormat, Settings};

/// Keeps the exporter of spans; dropped at the end, it sends the rest.
#[derive(Debug)]
#[must_use]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    _exporter: Option<Exporter>,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The process has a subscriber already.
    #[error("the process already has a log subscriber")]
    Taken(#[from] TryInitError),
    #[cfg(feature = "otlp")]
    /// The collector's address is not a URL.
    #[error("cannot export traces")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Logs to standard output, in the format and above the level of the settings, and exports spans where a collector
/// is set. `version` is the service's own.
///
/// # Errors
///
/// The process has a subscriber already, or the collector's address is not a URL.
pub fn init(settings: &Settings, version: &'static str) -> Result<Telemetry, TelemetryError> {
    let telemetry = subscribe(settings, version)?;
    log_panics();
    let name = &settings.app.name;
    tracing::info!(
        service.name = name,
        service.version = version,
        "starting {name} {version}"
    );
    Ok(telemetry)
}

#[cfg(feature = "otlp")]
fn subscribe(settings: &Settings, version: &'static str) -> Result<Telemetry, TelemetryError> {
    let Some(endpoint) = &settings.telemetry.otlp_endpoint else {
        just_log(settings)?;
        return Ok(Telemetry { _exporter: None });
    };
    let exporter = Exporter::new(endpoint, &settings.app.name, version)?;
    let logged = levels(&settings.log.level);
    let traced = levels(&settings.telemetry.trace_level);
    tracing_subscriber::registry()
        .with(lines(&settings.log).with_filter(logged))
        .with(exporter.layer().with_filter(traced))
        .try_init()?;
    Ok(Telemetry {
        _exporter: Some(exporter),
    })
}

#[cfg(not(feature = "otlp"))]
fn subscribe(settings: &Settings, _: &'static str) -> Result<Telemetry, TelemetryError> {
    just_log(settings)?;
    Ok(Telemetry {})
}

/// With one filter for everything: a filter of a layer's own is asked again whenever a span is entered or left.
fn just_log(settings: &Settings) -> Result<(), TryInitError> {
    tracing_subscriber::registry()
        .with(lines(&settings.log))
        .with(levels(&settings.log.level))
        .try_init()
}

/// The levels of a setting. Malformed requests are not errors of the service, and actix logs each as one.
fn levels(text: &str) -> Targets {
    crate::settings::levels(&format!("actix_http::h1::dispatcher=off,{text}")).unwrap_or_default()
}

fn lines(log: &Log) -> Box<dyn Layer<Registry> + Send + Sync> {
    // A log that nothing reads any more must not end the process: reporting the failure on standard error can panic.
    let lines = fmt::layer()
        .with_ansi(std::io::stdout().is_terminal())
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => lines.compact().with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

/// The outermost middleware: everything logged for a request stands in its span.
pub fn request_span() -> TracingLogger<RequestSpan> {
    TracingLogger::new()
}

/// Describes the request in its span, by OpenTelemetry's conventions, and keeps its id for inner middleware.
#[derive(Debug)]
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let id = RequestId::of(request.headers());
        let span = tracing::info_span!(
            "request",
            request_id = id.as_str(),
            http.request.method = request.method().as_str(),
            http.route = RoutePattern::of(request).as_str(),
            http.response.status_code = field::Empty,
            trace_id = field::Empty,
            otel.name = field::Empty,
            otel.kind = field::Empty,
            otel.status_code = field::Empty,
        );
        if cfg!(feature = "otlp") {
            name_for_collectors(&span, request);
        }
        if let Some(trace) = TraceContext::of(request.headers()) {
            span.record("trace_id", trace.trace_id());
            #[cfg(feature = "otlp")]
            otlp::continue_trace(&span, &trace);
        }
        request.extensions_mut().insert(id);
        span
    }

    /// For a collector: the log's own line has the status, and adding a field to a span of JSON costs as much as
    /// the rest of it.
    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, actix_web::Error>) {
        if cfg!(feature = "otlp") {
            let status = match outcome {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            span.record("http.response.status_code", status.as_u16());
            if status.is_server_error() {
                span.record("otel.status_code", "ERROR");
            }
        }
    }
}

/// As OpenTelemetry's conventions call a server's span: they group by this name.
fn name_for_collectors(span: &Span, request: &ServiceRequest) {
    let (method, route) = (request.method(), RoutePattern::of(request));
    span.record("otel.name", format!("{method} {}", route.as_str()));
    span.record("otel.kind", "server");
}

/// Only the hook knows where a panic happened; its request is answered by the middleware.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            panic.location = place.as_deref().unwrap_or("unknown"),
            panic.message = panic.payload_as_str().unwrap_or("not a text"),
            "panicked"
        );
    }));
}
