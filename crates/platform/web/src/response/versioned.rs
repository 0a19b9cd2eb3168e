//! Responses with an `ETag`.

use actix_web::http::header::{
    CACHE_CONTROL, ETAG, EntityTag, Header, HeaderValue, IfNoneMatch, LOCATION, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Responder};
use berth_service::VersionedRow;
use serde::Serialize;

/// A body with its version, sent as the header `ETag`; a client that has this version already gets 304 without a body.
#[derive(Clone, Debug)]
pub struct Versioned<T> {
    /// The row's `version`.
    pub version: i32,
    /// What clients see of it.
    pub body: T,
}

impl<T: From<R>, R: VersionedRow> From<R> for Versioned<T> {
    fn from(row: R) -> Self {
        Self {
            version: row.version(),
            body: row.into(),
        }
    }
}

impl<T: Serialize> Versioned<T> {
    /// 201 with the address of the new resource.
    pub fn created(&self, location: &str) -> HttpResponse {
        let mut response = self.head(StatusCode::CREATED);
        response.insert_header((LOCATION, location)).json(&self.body)
    }

    fn head(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(status);
        response
            .insert_header((ETAG, tag(self.version)))
            // A copy is asked about before each use, and is of one user.
            .insert_header((CACHE_CONTROL, HeaderValue::from_static("private, no-cache")))
            .append_header((VARY, HeaderValue::from_static("authorization")));
        response
    }

    fn is_known_to(&self, request: &HttpRequest) -> bool {
        let is_read = [Method::GET, Method::HEAD].contains(request.method());
        is_read
            && match IfNoneMatch::parse(request) {
                Ok(IfNoneMatch::Any) => true,
                Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag(self.version))),
                Err(_) => false,
            }
    }
}

impl<T: Serialize> Responder for Versioned<T> {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        match self.is_known_to(request) {
            true => self.head(StatusCode::NOT_MODIFIED).finish(),
            false => self.head(StatusCode::OK).json(&self.body),
        }
    }
}

fn tag(version: i32) -> EntityTag {
    EntityTag::new_strong(version.to_string())
}
