//! Extractors for `If-Match` and `If-None-Match`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{EntityTag, Header, IF_MATCH, IfMatch as Tags};
use actix_web::{FromRequest, HttpRequest, web};
use berth_service::ExpectedVersion;

use crate::app_state::AppInfo;
use crate::error::{Error, RequestError};

/// The versions in the header `If-Match`, as [`Versioned`](crate::response::Versioned) sends them: the change is made to
/// one of them only. Without the header, and for `*`, to any; where `server.require_if_match` is set, a request without
/// it is answered with 428.
#[derive(Clone, Debug)]
pub struct IfMatch(pub ExpectedVersion);

/// Describes the header `If-None-Match` of an operation that answers with
/// [`Versioned`](crate::response::Versioned), which reads it: `params(IfNoneMatch)`.
#[derive(Clone, Copy, Debug)]
pub struct IfNoneMatch;

impl FromRequest for IfMatch {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = request.app_data::<web::Data<AppInfo>>();
        let is_given = request.headers().contains_key(IF_MATCH);
        if !is_given {
            return ready(match app.is_some_and(|app| app.require_if_match) {
                true => Err(RequestError::NoIfMatch.into()),
                false => Ok(Self(ExpectedVersion::default())),
            });
        }
        ready(Ok(Self(match Tags::parse(request) {
            Ok(Tags::Any) => ExpectedVersion::default(),
            Ok(Tags::Items(tags)) => ExpectedVersion::one_of(tags.iter().filter_map(version).collect()),
            // A tag of another form is none of ours.
            Err(_) => ExpectedVersion::one_of(Vec::new()),
        })))
    }
}

/// The version of a tag exactly as it is sent: `"01"` is another one than `"1"`.
fn version(tag: &EntityTag) -> Option<i32> {
    let version: i32 = tag.tag().parse().ok()?;
    (!tag.weak && version.to_string() == tag.tag()).then_some(version)
}
