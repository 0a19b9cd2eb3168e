//! Headers that tell browsers what an answer may be used for.

use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::settings;

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
            (CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
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
        for (name, value) in &self.0 {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}
