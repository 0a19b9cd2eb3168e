use std::fmt;
use std::future::Future;

use actix_web::http::header::{HeaderMap, HeaderName};

/// The header of <https://www.w3.org/TR/trace-context/>.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: Option<TraceContext>;
}

/// Which trace a request belongs to, as its caller says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TraceContext {
    trace: u128,
    parent: u64,
    sampled: bool,
}

impl TraceContext {
    /// Reads the header; what is not well-formed is as good as none, as the standard asks.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(HEADER)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32).filter(|id| *id != 0)?;
        let parent = hex(parts.next()?, 16).filter(|id| *id != 0)?;
        let flags = hex(parts.next()?, 2)?;
        // Later versions may add parts; this one has none.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        Some(Self {
            trace,
            parent: u64::try_from(parent).ok()?,
            sampled: flags & 1 == 1,
        })
    }

    #[cfg(feature = "otlp")]
    pub(super) fn new(trace: u128, parent: u64, sampled: bool) -> Self {
        Self {
            trace,
            parent,
            sampled,
        }
    }

    /// The trace, the caller's span, and whether the caller sends it.
    #[cfg(feature = "otlp")]
    pub(super) fn parts(&self) -> (u128, u64, bool) {
        (self.trace, self.parent, self.sampled)
    }

    /// The trace's id, for logs.
    pub(crate) fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Runs a request within its trace, so that [`outgoing`] finds it.
    pub(crate) async fn scope<T>(context: Option<Self>, request: impl Future<Output = T>) -> T {
        CURRENT.scope(context, request).await
    }

    /// The same trace with a parent of our own, for somebody we ask.
    fn child(self) -> Self {
        Self {
            parent: new_id(),
            ..self
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace,
            parent,
            sampled,
        } = self;
        write!(f, "00-{trace:032x}-{parent:016x}-{:02x}", u8::from(*sampled))
    }
}

/// The headers with which the present request's trace goes on in somebody whom we ask.
///
/// Where traces are exported the present span is the parent. Otherwise the caller's trace is passed on, if there is
/// one, so that it does not break here.
pub fn outgoing() -> Vec<(String, String)> {
    let caller = || CURRENT.try_with(|context| *context).ok().flatten();
    let parent = present().or_else(|| caller().map(TraceContext::child));
    parent
        .iter()
        .map(|parent| (HEADER.to_string(), parent.to_string()))
        .collect()
}

#[cfg(feature = "otlp")]
use super::otlp::present;

/// Nothing is exported by this build.
#[cfg(not(feature = "otlp"))]
fn present() -> Option<TraceContext> {
    None
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = text.len() == digits && text.bytes().all(lower);
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The random half of a UUID. Never zero: the bits that tell its variant are set.
fn new_id() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_well_formed_and_nothing_else() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::parse(text).unwrap();
        assert_eq!(context.to_string(), text);
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(TraceContext::parse(&text.replacen("00-", "01-", 1)).is_some());
        for wrong in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_goes_out_has_the_same_trace_and_a_parent_of_ours() {
        let came = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let goes = came.child();
        assert_eq!((goes.trace, goes.sampled), (came.trace, came.sampled));
        assert_ne!(goes.parent, came.parent);
    }
}
