use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::error::ApiError;
use crate::middleware::UnitOfWork;

/// The request's database session: one for each request, however often it is asked for.
///
/// It leases nothing before its first statement, and the middleware ends it: commit for success, roll back for
/// everything else.
#[derive(Clone, Debug)]
pub struct Session(berth_database::Session);

/// A session for what a response's body reads after the handler is done and the request's own has ended.
#[derive(Debug)]
pub struct BodySession(pub berth_database::Session);

impl Deref for Session {
    type Target = berth_database::Session;

    fn deref(&self) -> &berth_database::Session {
        &self.0
    }
}

impl FromRequest for Session {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(unit_of_work(request, |unit| Self(unit.session().clone())))
    }
}

impl FromRequest for BodySession {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(unit_of_work(request, |unit| Self(unit.body_session())))
    }
}

/// Only a route outside the middleware has none, and its session would have nobody to end it.
fn unit_of_work<T>(request: &HttpRequest, use_it: impl FnOnce(&UnitOfWork) -> T) -> Result<T, ApiError> {
    let extensions = request.extensions();
    extensions
        .get::<UnitOfWork>()
        .map(use_it)
        .ok_or(ApiError::Database(berth_database::Error::SessionClosed))
}
