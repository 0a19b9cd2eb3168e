//! The query string.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::error::{Error, RequestError};

/// The query as `T`; the problem of a query of another shape names the parameter.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl<T: DeserializeOwned> Query<T> {
    /// Parses the query, for handlers that check something else before.
    ///
    /// # Errors
    ///
    /// [`RequestError::Query`] for a query of another shape.
    pub fn of(request: &HttpRequest) -> Result<Self, Error> {
        let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
        let parsed = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
        Ok(Self(parsed.map_err(RequestError::Query)?))
    }
}
