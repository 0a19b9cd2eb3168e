use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

use super::TraceContext;

/// Sends spans to a collector, in batches and from a thread of its own. Dropped, it sends what is left.
#[derive(Debug)]
pub(crate) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Connects to nothing yet: a collector that is away costs spans, never requests.
    ///
    /// # Errors
    ///
    /// The address cannot be understood.
    pub(crate) fn new(endpoint: &str, service: &str) -> Result<Self, opentelemetry_otlp::ExporterBuildError> {
        // Whoever was first to choose the process's cryptography has chosen; this only sees to a choice.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
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

    /// What turns spans of `tracing` into spans that are sent.
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
pub(crate) fn continue_trace(span: &Span, caller: &TraceContext) {
    let (trace, parent, sampled) = caller.parts();
    let flags = if sampled {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::default()
    };
    let (trace, parent) = (TraceId::from(trace), SpanId::from(parent));
    let caller = SpanContext::new(trace, parent, flags, true, TraceState::default());
    // Where nothing is exported there is nobody to tell.
    let _ = span.set_parent(Context::new().with_remote_span_context(caller));
}

/// The present span in the form of the header, where it is part of a trace that is sent.
pub(crate) fn present() -> Option<TraceContext> {
    let context = Span::current().context();
    let span = context.span();
    let here = span.span_context();
    here.is_valid().then(|| {
        TraceContext::new(
            u128::from_be_bytes(here.trace_id().to_bytes()),
            u64::from_be_bytes(here.span_id().to_bytes()),
            here.is_sampled(),
        )
    })
}
