//! Extractor for the query string.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use super::input;
use crate::error::Error;

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
    /// [`Error::Request`] for a query of another shape.
    pub fn of(request: &HttpRequest) -> Result<Self, Error> {
        Ok(Self(input::query(request.query_string())?))
    }
}
