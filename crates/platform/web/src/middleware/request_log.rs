//! The log line of a request.

use std::time::Instant;

use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;

use crate::route_pattern::RoutePattern;

/// The target of the line for a request that succeeded, so that it can be switched off by itself.
const ACCESS: &str = "access";

/// Characters of a path in the log.
const LONGEST_PATH: usize = 200;

/// A request under way. Dropped unanswered, it is logged as one whose client left.
#[derive(Debug)]
pub(super) struct RequestLog {
    /// The path of a request that no route takes. The span of every other names its route.
    unrouted: Option<String>,
    routine: bool,
    started: Instant,
    answered: bool,
}

impl RequestLog {
    pub(super) fn begin(request: &ServiceRequest) -> Self {
        Self {
            unrouted: (!RoutePattern::is_known(request)).then(|| shortened(request.path())),
            routine: is_routine(request.path()),
            started: Instant::now(),
            answered: false,
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode, error: Option<&str>) {
        self.answered = true;
        let (code, ms) = (status.as_u16(), self.milliseconds());
        if self.routine {
            tracing::debug!(status = code, duration_ms = ms, error, "request completed");
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(status = code, duration_ms = ms, error, "request rejected");
        } else if status.is_server_error() {
            tracing::error!(status = code, duration_ms = ms, error, "request failed");
        } else if status.is_client_error() {
            let path = self.unrouted.as_deref();
            tracing::info!(status = code, duration_ms = ms, path, error, "request completed");
        } else {
            tracing::info!(target: ACCESS, status = code, duration_ms = ms, "request completed");
        }
    }

    /// Since the request's head arrived, to a tenth.
    fn milliseconds(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1e4).round() / 10.0
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        if !self.answered {
            let ms = self.milliseconds();
            tracing::info!(
                duration_ms = ms,
                "request cancelled: the client disconnected before the response"
            );
        }
    }
}

/// A longer one would let a client fill the log.
fn shortened(path: &str) -> String {
    path.chars().take(LONGEST_PATH).collect()
}

/// Probes and scrapes arrive every few seconds: a line each would bury the others.
pub(super) fn is_routine(path: &str) -> bool {
    let prefixes = ["/health", "/debug/"];
    path == "/metrics" || prefixes.iter().any(|prefix| path.starts_with(prefix))
}
