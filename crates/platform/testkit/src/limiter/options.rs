//! Options of a limiter.

use std::time::Duration;

use super::pooler_kind::{Phase, PoolerKind};
use crate::certificates::Certificate;

/// Whether the limiter offers TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsSupport {
    /// Clients that ask for TLS get it.
    #[default]
    Offered,
    /// Clients that ask for TLS are answered with "no".
    Refused,
}

/// What becomes of the CancelRequests that clients send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CancelRequests {
    /// They reach the server.
    #[default]
    Forwarded,
    /// They are counted and dropped, as some poolers do.
    Dropped,
}

/// Options of a limiter; all but the certificate can be changed later.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimiterOptions {
    /// How many clients have a slot at once. Default: 15.
    pub limit: usize,
    /// Which pooler's refusal it sends. Default: [`PoolerKind::SupavisorSession`].
    pub pooler_kind: PoolerKind,
    /// When it sends the refusal. Default: as that pooler does.
    pub phase: Option<Phase>,
    /// How long a slot stays occupied after its client has closed. Default: no time.
    pub release_delay: Duration,
    /// The latency each way. Default: none.
    pub latency: Duration,
    /// The certificate. Default: the trusted one.
    pub certificate: Certificate,
}

impl Default for LimiterOptions {
    fn default() -> Self {
        LimiterOptions {
            limit: 15,
            pooler_kind: PoolerKind::SupavisorSession,
            phase: None,
            release_delay: Duration::ZERO,
            latency: Duration::ZERO,
            certificate: Certificate::Trusted,
        }
    }
}

impl LimiterOptions {
    /// Options with this limit.
    pub fn limit(limit: usize) -> Self {
        LimiterOptions {
            limit,
            ..LimiterOptions::default()
        }
    }

    /// Sets which pooler's refusal it sends.
    pub fn pooler_kind(self, pooler_kind: PoolerKind) -> Self {
        LimiterOptions { pooler_kind, ..self }
    }

    /// Sets when it sends the refusal.
    pub fn phase(self, phase: Phase) -> Self {
        LimiterOptions {
            phase: Some(phase),
            ..self
        }
    }

    /// Sets how long a slot stays occupied after its client has closed.
    pub fn release_delay(self, release_delay: Duration) -> Self {
        LimiterOptions {
            release_delay,
            ..self
        }
    }

    /// Sets the latency each way.
    pub fn latency(self, latency: Duration) -> Self {
        LimiterOptions { latency, ..self }
    }

    /// Sets the certificate.
    pub fn certificate(self, certificate: Certificate) -> Self {
        LimiterOptions { certificate, ..self }
    }
}
