//! Trace context: propagates the caller's trace to the services that this one calls.
//!
//! Where spans are exported (feature `otlp`), the present span is the parent in what is sent. Otherwise the caller's
//! headers are passed on as they came, so that the trace does not break here.

use std::future::Future;

use actix_web::http::header::HeaderMap;
use berth_jobs::Tracing;

/// The headers of <https://www.w3.org/TR/trace-context/>.
const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

tokio::task_local! {
    static CURRENT: Option<TraceContext>;
}

/// The trace that a request belongs to, as its caller's headers say.
#[derive(Clone, Debug)]
pub(crate) struct TraceContext(Vec<(String, String)>);

impl TraceContext {
    /// Reads the headers; malformed ones count as absent, as the standard asks.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let found: Vec<_> = HEADERS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), text(name)?)))
            .collect();
        let (name, value) = found.first()?;
        (name == HEADERS[0] && is_traceparent(value)).then_some(Self(found))
    }

    /// Reads the text of a `traceparent` that was stored.
    fn stored(text: &str) -> Option<Self> {
        is_traceparent(text).then(|| Self(vec![(HEADERS[0].to_owned(), text.to_owned())]))
    }

    /// The trace's id, for logs.
    pub(crate) fn trace_id(&self) -> &str {
        let value = self.0.first().map_or("", |(_, value)| value.as_str());
        value.get(3..35).unwrap_or_default()
    }

    /// The headers.
    #[cfg(feature = "otlp")]
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Runs a request within its trace, so that [`outgoing`] finds it.
    pub(crate) async fn scope<T>(context: Option<Self>, request: impl Future<Output = T>) -> T {
        CURRENT.scope(context, request).await
    }
}

/// The headers that continue the present request's trace in a service that it calls.
pub fn outgoing() -> Vec<(String, String)> {
    #[cfg(feature = "otlp")]
    if let Some(headers) = super::otlp::present() {
        return headers;
    }
    let caller = CURRENT.try_with(Clone::clone).ok().flatten();
    caller.map_or_else(Vec::new, |context| context.0)
}

/// Stores the trace of the request that enqueues a job with it, and runs the job within that trace.
pub fn of_jobs() -> Tracing {
    Tracing {
        present: || {
            let mut headers = outgoing().into_iter();
            headers.find_map(|(name, value)| (name == HEADERS[0]).then_some(value))
        },
        scope: |span, traceparent, running| {
            let trace = traceparent.and_then(TraceContext::stored);
            if let Some(trace) = &trace {
                span.record("trace_id", trace.trace_id());
                #[cfg(feature = "otlp")]
                super::otlp::continue_trace(span, trace);
            }
            Box::pin(TraceContext::scope(trace, running))
        },
    }
}

/// Two, 32, 16 and two lower-case hexadecimal digits, and neither id is zero.
fn is_traceparent(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else {
        return false;
    };
    let is_hex = |part: &str, digits: usize| part.len() == digits && part.bytes().all(hex);
    let is_id = |part: &str, digits: usize| is_hex(part, digits) && part.bytes().any(|digit| digit != b'0');
    version != "ff" && is_hex(version, 2) && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(traceparent: &str) -> HeaderMap {
        let value = HeaderValue::from_str(traceparent).unwrap();
        HeaderMap::from_iter([(HeaderName::from_static("traceparent"), value)])
    }

    #[tokio::test]
    async fn a_well_formed_trace_is_passed_on_as_it_came() {
        let context = TraceContext::of(&headers(VALID)).unwrap();
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let sent = TraceContext::scope(Some(context), async { outgoing() }).await;
        assert_eq!(sent, [("traceparent".to_owned(), VALID.to_owned())]);
        assert!(outgoing().is_empty());
    }

    #[test]
    fn a_malformed_trace_counts_as_absent() {
        for wrong in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6-00f067aa0ba902b7-01",
        ] {
            assert!(TraceContext::of(&headers(wrong)).is_none(), "{wrong}");
        }
        assert!(TraceContext::of(&headers(&VALID.replacen("00-", "01-", 1))).is_some());
    }
}
