//! Security headers of every response.

use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::settings;

/// No page of another site shows a page of this service in a frame; what it loads is its author's decision.
const OF_PAGES: HeaderValue = HeaderValue::from_static("frame-ancestors 'none'");
/// A browser that is made to show data as a page loads nothing and runs nothing.
const OF_DATA: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The headers of every answer; one that a handler set itself stays.
#[derive(Clone, Debug)]
pub(crate) struct SecurityHeaders(Vec<(HeaderName, HeaderValue)>);

impl SecurityHeaders {
    pub(crate) fn new(settings: &settings::SecurityHeaders) -> Self {
        if !settings.enabled {
            return Self(Vec::new());
        }
        let fixed = [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
        ];
        let fixed = fixed.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let seconds = settings.hsts_max_age.as_secs();
        let hsts = HeaderValue::from_str(&format!("max-age={seconds}; includeSubDomains")).ok();
        let hsts = hsts
            .filter(|_| seconds > 0)
            .map(|value| (STRICT_TRANSPORT_SECURITY, value));
        Self(fixed.into_iter().chain(hsts).collect())
    }

    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        if !self.0.is_empty() && !headers.contains_key(CONTENT_SECURITY_POLICY) {
            let policy = if is_page(headers) { OF_PAGES } else { OF_DATA };
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        for (name, value) in &self.0 {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    kind.get(..9)
        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"))
}
