//! What a limiter starts with.

use std::time::Duration;

use super::pooler_kind::{Phase, PoolerKind};

/// Which certificate the limiter shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// One for `localhost` and `127.0.0.1`, signed by [`Cluster::authority`](crate::Cluster::authority).
    #[default]
    Trusted,
    /// The same, signed by [`Cluster::strange_authority`](crate::Cluster::strange_authority).
    Strange,
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

/// What a limiter starts with; all but the last two can be changed later.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimiterOptions {
    /// How many clients have a place at once. Default: 15.
    pub limit: usize,
    /// Whose words a refusal has. Default: [`PoolerKind::SupavisorSession`].
    pub pooler_kind: PoolerKind,
    /// When it is sent. Default: as usual for the pooler_kind.
    pub phase: Option<Phase>,
    /// How long a place rests after its client has closed. Default: not at all.
    pub release_delay: Duration,
    /// How long bytes travel, each way. Default: no time.
    pub latency: Duration,
    /// The certificate. Default: the trusted one.
    pub certificate: Certificate,
    /// The port of the server or pooler behind it. Default: the database's own.
    pub upstream_port: Option<u16>,
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
            upstream_port: None,
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

    /// Sets whose words a refusal has.
    pub fn pooler_kind(self, pooler_kind: PoolerKind) -> Self {
        LimiterOptions { pooler_kind, ..self }
    }

    /// Sets when a refusal is sent.
    pub fn phase(self, phase: Phase) -> Self {
        LimiterOptions {
            phase: Some(phase),
            ..self
        }
    }

    /// Sets how long a place rests after its client has closed.
    pub fn release_delay(self, release_delay: Duration) -> Self {
        LimiterOptions {
            release_delay,
            ..self
        }
    }

    /// Sets how long bytes travel, each way.
    pub fn latency(self, latency: Duration) -> Self {
        LimiterOptions { latency, ..self }
    }

    /// Sets the certificate.
    pub fn certificate(self, certificate: Certificate) -> Self {
        LimiterOptions { certificate, ..self }
    }

    /// Sets the port of the server or pooler behind it.
    pub fn upstream_port(self, port: u16) -> Self {
        LimiterOptions {
            upstream_port: Some(port),
            ..self
        }
    }
}
