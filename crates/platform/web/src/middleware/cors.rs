//! Cross-Origin Resource Sharing: lets pages of other origins call the service.

use actix_cors::Cors;
use actix_web::http::header::HeaderValue;
use actix_web::middleware::Condition;

use crate::AppState;
use crate::settings;

/// Headers of an answer that such pages may read, beside the few that browsers always show.
const EXPOSED: [&str; 9] = [
    "etag",
    "idempotency-replayed",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server-timing",
    "www-authenticate",
    "x-request-id",
];

/// Answers preflight requests and marks answers for the origins of `[cors]`. Without an origin it does nothing.
///
/// A request from another origin is served like any other, without the headers that let the page read the answer.
pub fn cors(state: &AppState) -> Condition<Cors> {
    let settings = &state.settings.cors;
    Condition::new(!settings.origins.is_empty(), allowing(settings))
}

fn allowing(settings: &settings::Cors) -> Cors {
    let origins = settings.origins.clone();
    let cors = Cors::default()
        .allowed_origin_fn(move |origin, _| is_allowed(&origins, origin))
        .allowed_methods(settings.methods.iter().map(String::as_str))
        .allowed_headers(settings.headers.iter().map(String::as_str))
        .expose_headers(EXPOSED)
        .block_on_origin_mismatch(false)
        .max_age(usize::try_from(settings.max_age.as_secs()).ok());
    match settings.credentials {
        true => cors.supports_credentials(),
        false => cors,
    }
}

/// Exactly one of the origins, or one that ends with `:*` and this origin's port.
fn is_allowed(allowed: &[String], origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    allowed.iter().any(|allowed| match allowed.strip_suffix(":*") {
        _ if allowed == "*" => true,
        Some(host) => origin.strip_prefix(host).is_some_and(is_port),
        None => allowed == origin,
    })
}

/// Nothing, which is the scheme's own port, or a port.
fn is_port(rest: &str) -> bool {
    rest.is_empty()
        || rest
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_as_a_whole() {
        let allowed = ["https://app.example.com", "http://localhost:*"].map(str::to_owned);
        let is = |origin: &'static str| is_allowed(&allowed, &HeaderValue::from_static(origin));
        for origin in [
            "https://app.example.com",
            "http://localhost",
            "http://localhost:5173",
        ] {
            assert!(is(origin), "{origin}");
        }
        for origin in [
            "http://app.example.com",
            "https://app.example.com:444",
            "https://app.example.com.evil.test",
            "http://localhost.evil.test",
            "http://localhost:80.evil.test",
            "http://localhost:",
            "https://localhost:5173",
            "null",
        ] {
            assert!(!is(origin), "{origin}");
        }
    }
}
