//! The user who sends a request, for handlers to extract.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use berth_web::extract::Session;
use service::Services;
use uuid::Uuid;

use crate::error::ApiError;

/// The user who sends the request: without authentication, the development user.
///
/// The extractor runs no statement; [`id`](Self::id) does. The extractors of a handler run concurrently, and the first
/// that fails drops the others, possibly in the middle of a statement.
#[derive(Clone, Debug)]
pub(crate) struct CurrentUser {
    session: Session,
    services: web::Data<Services>,
}

impl CurrentUser {
    /// Returns the user's key.
    ///
    /// # Errors
    ///
    /// The database's.
    pub(crate) async fn id(&self) -> Result<Uuid, ApiError> {
        Ok(self.services.users(&self.session).development_user().await?.id)
    }
}

impl FromRequest for CurrentUser {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let session = Session::from_request(request, payload).into_inner();
        let services = request.app_data::<web::Data<Services>>().cloned();
        ready(session.map_err(ApiError::from).and_then(|session| {
            let services = services.ok_or(berth_web::Error::NoRoute)?;
            Ok(Self { session, services })
        }))
    }
}
