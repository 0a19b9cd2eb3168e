//! The request's session, and the one of a streaming body.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};

use crate::Error;
use crate::middleware::{Rights, UnitOfWork};

/// The request's database session: one for each request, however often it is extracted.
///
/// Slot cost: 0 before its first statement, then 1 at most. The middleware ends it: commit for a status below 400, roll
/// back for everything else.
#[derive(Clone, Debug)]
pub struct Session {
    session: berth_database::Session,
    unit: UnitOfWork,
}

/// The request's session with the rights of the service's own role, also where row-level security is on: for tables
/// that policies hide from users, such as the users' own. A handler takes this or [`Session`], not both.
#[derive(Clone, Debug)]
pub struct ServiceSession(Session);

/// The session that reads the body of an answer after the request's own has ended.
///
/// Slot cost: 0 between statements, 1 during one. It reads in autocommit and has no deadline of its own.
#[derive(Debug)]
pub struct StreamingSession(berth_database::Session);

impl Session {
    /// Commits and ends the request's session, and returns the one for the body of the answer.
    ///
    /// A request so never holds two connections: every clone of the ended session answers with
    /// [`SessionClosed`](berth_database::Error::SessionClosed).
    ///
    /// # Errors
    ///
    /// The commit's, and `SessionClosed` where this was called before.
    pub async fn into_streaming(self) -> Result<StreamingSession, Error> {
        Ok(StreamingSession(self.unit.into_streaming().await?))
    }
}

impl Deref for Session {
    type Target = berth_database::Session;

    fn deref(&self) -> &berth_database::Session {
        &self.session
    }
}

impl Deref for ServiceSession {
    type Target = berth_database::Session;

    fn deref(&self) -> &berth_database::Session {
        &self.0
    }
}

impl Deref for StreamingSession {
    type Target = berth_database::Session;

    fn deref(&self) -> &berth_database::Session {
        &self.0
    }
}

impl Session {
    fn of(request: &HttpRequest, rights: Rights) -> Result<Self, Error> {
        let unit = request.extensions().get::<UnitOfWork>().cloned();
        // Only a route outside the middleware has none, and nothing would end its session.
        let unit = unit.ok_or(berth_database::Error::SessionClosed)?;
        let session = unit.session(rights)?.clone();
        Ok(Self { session, unit })
    }
}

impl FromRequest for Session {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request, Rights::User))
    }
}

impl FromRequest for ServiceSession {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Session::of(request, Rights::Service).map(Self))
    }
}
