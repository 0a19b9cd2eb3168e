//! Continues the trace of a request in the jobs that it enqueues.

use futures_util::future::BoxFuture;
use tracing::Span;

/// Says what is stored of the present trace, and how a job runs within it. By default nothing is.
///
/// Two functions, so that this crate needs no OpenTelemetry.
#[derive(Clone, Copy, Debug)]
pub struct Tracing {
    /// Returns the present trace as the text of a header `traceparent`.
    pub present: fn() -> Option<String>,
    /// Runs a job within the trace that was stored with it. The span is the job's.
    pub scope: for<'f> fn(&Span, Option<&str>, BoxFuture<'f, ()>) -> BoxFuture<'f, ()>,
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            present: || None,
            scope: |_, _, running| running,
        }
    }
}
