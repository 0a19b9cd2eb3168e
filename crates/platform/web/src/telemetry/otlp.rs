//! Exports spans to an OpenTelemetry collector.

use std::collections::HashMap;

use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

use super::trace_context::TraceContext;

/// Sends spans to a collector, in batches and from a thread of its own. Dropped, it sends the rest.
#[derive(Debug)]
pub(crate) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Opens no connection yet: an unreachable collector costs spans, never requests.
    ///
    /// # Errors
    ///
    /// The address is not a URL.
    pub(crate) fn new(
        endpoint: &str,
        service: &str,
        version: &'static str,
    ) -> Result<Self, opentelemetry_otlp::ExporterBuildError> {
        // It fails where the process has a provider already, which is as good.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()?;
        let version = KeyValue::new("service.version", version);
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attribute(version)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// Turns spans of `tracing` into spans that are sent.
    pub(crate) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let tracer = self.0.tracer(env!("CARGO_PKG_NAME"));
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(error = %error, "the last traces could not be sent");
        }
    }
}

/// Makes a request's span part of its caller's trace.
pub(super) fn continue_trace(span: &Span, caller: &TraceContext) {
    let headers: HashMap<String, String> = caller
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let context = TraceContextPropagator::new().extract(&headers);
    // Without an exporter there is no trace to continue.
    let _ = span.set_parent(context);
}

/// The headers of the present span, where it is part of a trace that is exported.
pub(super) fn present() -> Option<Vec<(String, String)>> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    headers.retain(|_, value: &mut String| !value.is_empty());
    (!headers.is_empty()).then(|| headers.into_iter().collect())
}
