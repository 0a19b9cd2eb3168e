//! Where a client resumes a feed.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Error;
use crate::error::RequestError;
use crate::extract::{LAST_EVENT_ID, Query};

/// The id of the last event that the client has: the header `Last-Event-ID`, which browsers send when they connect again,
/// or else the parameter `after`, for a client that begins after what it has read from a list.
#[derive(Clone, Copy, Debug)]
pub struct LastEventId(pub Option<Uuid>);

#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct After {
    /// The id of the last item that the client has read; later ones are sent first.
    after: Option<Uuid>,
}

impl FromRequest for LastEventId {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let header = request.headers().get(LAST_EVENT_ID.name).map(|value| {
            let text = value.to_str().ok();
            text.and_then(|text| text.parse().ok())
        });
        let query = Query::<After>::from_request(request, payload).into_inner();
        ready(match (header, query) {
            (Some(None), _) => Err(RequestError::LastEventId.into()),
            (_, Err(error)) => Err(error),
            (Some(id), Ok(_)) => Ok(Self(id)),
            (None, Ok(Query(query))) => Ok(Self(query.after)),
        })
    }
}

impl IntoParams for LastEventId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = After::into_params(|| Some(ParameterIn::Query));
        parameters.push(LAST_EVENT_ID.describe());
        parameters
    }
}
