//! The pattern of a request's route, used in logs and metrics instead of the path, which contains ids.

use std::sync::Arc;

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;

/// What stands for a path that no route takes.
const NONE: &str = "none";

/// `/api/v1/tags/{tag_id}`, for example; `none` where no route fits.
#[derive(Clone, Debug)]
pub(crate) struct RoutePattern(Arc<str>);

impl RoutePattern {
    /// Looks it up once for each request: before routing that means to try the whole table, which costs more than
    /// all that is measured of a request.
    pub(crate) fn of(request: &ServiceRequest) -> Self {
        let known = request.extensions().get::<Self>().cloned();
        known.unwrap_or_else(|| {
            let found = Self(request.match_pattern().as_deref().unwrap_or(NONE).into());
            request.extensions_mut().insert(found.clone());
            found
        })
    }

    /// Whether any route takes the request's path.
    pub(crate) fn is_known(request: &ServiceRequest) -> bool {
        Self::of(request).as_str() != NONE
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<RoutePattern> for Arc<str> {
    fn from(pattern: RoutePattern) -> Self {
        pattern.0
    }
}
