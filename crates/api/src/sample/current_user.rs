//! The caller of a request.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use berth_web::extract::Session;
use service::Services;
use uuid::Uuid;

use crate::error::ApiError;

/// Who asks: for now the one user of development, made at first need.
///
/// The database is asked by [`id`](Self::id) and not by the extractor: extractors of one handler run side by
/// side, and the first that fails drops the others, perhaps in the middle of a statement.
#[derive(Clone, Debug)]
pub(crate) struct CurrentUser {
    session: Session,
    services: web::Data<Services>,
}

impl CurrentUser {
    /// The key of whoever asks.
    ///
    /// # Errors
    ///
    /// What the database answers.
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
