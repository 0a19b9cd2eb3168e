//! Sections about what reaches the service from outside: browsers of other origins, headers for browsers, limits by client.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::HeaderName;
use berth_settings::{between, require, seconds};
use garde::Validate;
use serde::{Deserialize, Serialize};

/// `[cors]`: which pages of other origins may call the service.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins whose pages may call the service; none by default.
    #[garde(custom(are_origins), custom(no_wildcard_with(self.credentials)))]
    pub origins: Vec<String>,
    /// Methods that they may use.
    #[garde(custom(are_methods))]
    pub methods: Vec<String>,
    /// Headers that they may send.
    #[garde(custom(are_headers))]
    pub headers: Vec<String>,
    /// Whether browsers send cookies and other credentials with the request.
    pub credentials: bool,
    /// Time that a browser may keep the answer to a preflight request.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 86400.0)))]
    pub max_age: Duration,
}

/// `[security_headers]`: headers that tell browsers what an answer may be used for.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct SecurityHeaders {
    /// Whether they are sent.
    pub enabled: bool,
    /// Time that browsers use HTTPS only; 0 sends no such header.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 63_072_000.0)))]
    pub hsts_max_age: Duration,
}

/// `[rate_limit]`: how many requests one client may send.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Whether requests are limited.
    pub enabled: bool,
    /// Time in which the quotas are whole again.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(1.0, 3600.0)))]
    pub window: Duration,
    /// Requests of one user in each window.
    #[garde(custom(between(1, 1_000_000)))]
    pub per_user: u32,
    /// Requests of one address in each window.
    #[garde(custom(between(1, 1_000_000)))]
    pub per_address: u32,
    /// Users and addresses that are remembered.
    #[garde(custom(between(100, 10_000_000)))]
    pub max_clients: u64,
}

/// `[idempotency]`: requests that may be sent again.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// Time that a key and its answer are kept.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(60.0, 2_592_000.0)))]
    pub keep_for: Duration,
}

/// `[events]`: answers of server-sent events.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Streams that may be open at the same time.
    #[garde(custom(between(1, 1_000_000)))]
    pub max_streams: usize,
    /// Time without an event after which a comment is sent.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(1.0, 300.0)))]
    pub heartbeat: Duration,
}

fn are_origins(origins: &[String], (): &()) -> garde::Result {
    let is_origin = |origin: &String| {
        let rest = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        origin == "*" || rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ']))
    };
    require(
        origins.iter().all(is_origin),
        "must be origins such as \"https://app.example.com\", without a path, or \"*\"",
    )
}

fn no_wildcard_with(credentials: bool) -> impl FnOnce(&Vec<String>, &()) -> garde::Result {
    move |origins, ()| {
        require(
            !credentials || !origins.iter().any(|origin| origin == "*"),
            "must name the origins where cors.credentials is true: \"*\" would let every page act for its reader",
        )
    }
}

fn are_methods(methods: &[String], (): &()) -> garde::Result {
    let is_method = |method: &String| Method::from_bytes(method.as_bytes()).is_ok();
    require(methods.iter().all(is_method), "must be methods such as \"GET\"")
}

fn are_headers(names: &[String], (): &()) -> garde::Result {
    let is_name = |name: &String| HeaderName::from_bytes(name.as_bytes()).is_ok();
    require(
        names.iter().all(is_name),
        "must be names of headers such as \"content-type\"",
    )
}
