//! Limits how many requests one client may send.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use moka::sync::Cache;
use uuid::Uuid;

use super::request_log::is_routine;
use crate::Error;
use crate::client_address::{TrustedProxies, network};
use crate::identity::Sender;
use crate::settings;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Remembers what each client has used of its quotas, in this process. A clone shares it.
#[derive(Clone, Debug)]
pub struct RateLimits(Option<Arc<Limits>>);

#[derive(Debug)]
struct Limits {
    used: Cache<Client, Arc<AtomicU64>>,
    started: Instant,
    window: Duration,
    per_user: u32,
    per_address: u32,
    policy: HeaderValue,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Client {
    /// The subject of a token that was verified.
    User(Uuid),
    Address(IpAddr),
}

/// What is left of a quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Quota {
    name: &'static str,
    remaining: u32,
    /// Until the quota is whole again.
    reset: Duration,
    /// Until a request is admitted, where this one is not.
    refused: Option<Duration>,
}

impl RateLimits {
    pub(crate) fn new(settings: &settings::RateLimit) -> Self {
        let settings::RateLimit {
            enabled,
            window,
            per_user,
            per_address,
            max_clients,
        } = *settings;
        let seconds = window.as_secs();
        let policy = format!("\"user\";q={per_user};w={seconds}, \"address\";q={per_address};w={seconds}");
        Self(enabled.then(|| {
            Arc::new(Limits {
                // A client that was quiet for a window has its whole quota again, whether it is remembered or not.
                used: Cache::builder()
                    .max_capacity(max_clients)
                    .time_to_idle(window)
                    .build(),
                started: Instant::now(),
                window,
                per_user,
                per_address,
                policy: HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("")),
            })
        }))
    }
}

impl Limits {
    /// Takes one request of the client's quota, by the generic cell rate algorithm: a number holds the time at which the
    /// quota is whole again, which each request puts off by its part of the window.
    fn take(&self, client: Client, now: Duration) -> Quota {
        let (name, most) = match client {
            Client::User(_) => ("user", self.per_user),
            Client::Address(_) => ("address", self.per_address),
        };
        let whole_at = self.used.get_with(client, Arc::default);
        let (now, window) = (nanos(now), nanos(self.window));
        let part = (window / u64::from(most)).max(1);
        let next = |whole_at: u64| Some(whole_at.max(now) + part).filter(|next| *next <= now + window);
        let taken = whole_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let whole_at = taken.map_or_else(|full| full, |before| before.max(now) + part);
        let reset = whole_at.saturating_sub(now);
        Quota {
            name,
            remaining: u32::try_from(window.saturating_sub(reset) / part).unwrap_or(u32::MAX),
            reset: Duration::from_nanos(reset),
            refused: taken
                .is_err()
                .then(|| Duration::from_nanos((whole_at + part).saturating_sub(now + window))),
        }
    }

    fn describe(&self, quotas: &[Quota], headers: &mut HeaderMap) {
        let parts = quotas.iter().map(|quota| {
            let seconds = quota.reset.as_millis().div_ceil(1000);
            format!("\"{}\";r={};t={seconds}", quota.name, quota.remaining)
        });
        if let Ok(value) = HeaderValue::from_str(&parts.collect::<Vec<_>>().join(", ")) {
            headers.insert(LIMIT, value);
            headers.insert(POLICY, self.policy.clone());
        }
    }
}

/// Answers a client that has used its quota with 429, and sends each client what is left of it.
///
/// The quotas are of the user whom a valid token names, and of the address. The headers are those of
/// draft-ietf-httpapi-ratelimit-headers-10. Probes are not limited. It stands within the middleware that verifies tokens.
///
/// # Errors
///
/// [`Error::RateLimited`], and those of the inner middleware.
pub async fn rate_limit(
    limits: web::Data<RateLimits>,
    proxies: web::Data<TrustedProxies>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let Some(limits) = limits.0.clone().filter(|_| !is_routine(request.path())) else {
        return next.call(request).await;
    };
    let now = limits.started.elapsed();
    let address = proxies
        .client_of(request.head())
        .map(|address| Client::Address(network(address)));
    let clients = user(&request).into_iter().chain(address);
    let quotas: Vec<_> = clients.map(|client| limits.take(client, now)).collect();
    let refused = quotas.iter().filter_map(|quota| quota.refused).max();
    let mut outcome = match refused {
        Some(retry_after) => Err(Error::RateLimited { retry_after }.into()),
        None => next.call(request).await,
    };
    match &mut outcome {
        Ok(response) => limits.describe(&quotas, response.headers_mut()),
        Err(error) => error.add_response_mapper(move |mut response| {
            limits.describe(&quotas, response.headers_mut());
            response
        }),
    }
    outcome
}

/// Only a token that was verified counts: a client can invent any number of others.
fn user(request: &ServiceRequest) -> Option<Client> {
    let sender = request.extensions().get::<Sender>().cloned();
    sender.and_then(Result::ok).map(|user| Client::User(user.id()))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_address: u32, max_clients: u64) -> Arc<Limits> {
        let settings = settings::RateLimit {
            enabled: true,
            window: Duration::from_secs(60),
            per_user: 1,
            per_address,
            max_clients,
        };
        RateLimits::new(&settings).0.unwrap()
    }

    fn address(number: u32) -> Client {
        Client::Address(std::net::Ipv4Addr::from(number).into())
    }

    #[test]
    fn a_quota_is_used_at_once_and_comes_back_evenly() {
        let limits = limits(3, 100);
        let at = Duration::from_secs;
        let left: Vec<_> = (0..3).map(|_| limits.take(address(1), at(0)).remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = limits.take(address(1), at(0));
        assert_eq!(
            (refused.remaining, refused.reset, refused.refused),
            (0, at(60), Some(at(20)))
        );
        assert_eq!(limits.take(address(1), at(19)).refused, Some(at(1)));
        assert_eq!(limits.take(address(1), at(20)).refused, None);
        assert_eq!(
            limits.take(address(2), at(20)).remaining,
            2,
            "another client has a quota of its own"
        );
        assert_eq!(
            limits.take(address(1), at(200)).remaining,
            2,
            "after a quiet window it is whole"
        );
    }

    #[test]
    fn a_user_and_an_address_have_quotas_of_their_own() {
        let limits = limits(3, 100);
        let user = || Client::User(Uuid::nil());
        assert_eq!(limits.take(user(), Duration::ZERO).refused, None);
        assert!(limits.take(user(), Duration::ZERO).refused.is_some());
        assert_eq!(limits.take(address(1), Duration::ZERO).refused, None);
    }

    #[test]
    fn the_clients_that_are_remembered_are_bounded() {
        let limits = limits(3, 100);
        for number in 0..10_000 {
            limits.take(address(number), Duration::ZERO);
        }
        limits.used.run_pending_tasks();
        assert!(limits.used.entry_count() <= 100, "{}", limits.used.entry_count());
    }
}
