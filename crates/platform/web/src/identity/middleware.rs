//! Verifies the token of a request, once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use berth_auth::{Auth, Identity, Mode, Subject, Subjects, TokenError};
use berth_database::{Database, Outcome, SessionOptions};
use uuid::Uuid;

use super::CurrentUser;
use crate::Error;

/// What the token of a request says, for the extractors and the session.
pub(crate) type Sender = Result<CurrentUser, TokenError>;

/// Verifies tokens and knows the users that they name; for [`identify`].
#[derive(Clone)]
pub struct Identities {
    auth: Auth,
    database: Database,
    request_timeout: Duration,
    known: Subject,
    subjects: Option<Arc<dyn Subjects>>,
}

impl Identities {
    pub(crate) fn new(auth: Auth, database: Database, request_timeout: Duration) -> Self {
        Self {
            auth,
            database,
            request_timeout,
            known: Subject::default(),
            subjects: None,
        }
    }

    /// Sets what makes the rows of users whom other issuers know; needed where `auth.mode` is "jwks".
    pub fn set_subjects(&mut self, subjects: Arc<dyn Subjects>) {
        self.subjects = Some(subjects);
    }

    /// Logins, and what else there is about tokens.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Forgets that the user's row exists, because it was deleted.
    pub fn forget(&self, user: &CurrentUser) {
        self.known.forget(user.identity());
    }

    async fn sender(&self, token: &str) -> Result<Sender, Error> {
        let identity = match self.auth.verify(token).await {
            Ok(identity) => identity,
            Err(error) => return Ok(Err(error)),
        };
        let user = self.user(&identity).await?;
        let user = user.map(|user| CurrentUser::new(user, Arc::new(identity)));
        Ok(user.ok_or(TokenError::Malformed))
    }

    /// The key of the user's row: the subject of a token of ours, and otherwise a row that is made at the first sight.
    async fn user(&self, identity: &Identity) -> Result<Option<Uuid>, Error> {
        let Some(subjects) = &self.subjects.as_ref().filter(|_| self.auth.mode() == Mode::Jwks) else {
            return Ok(identity.subject().parse().ok());
        };
        if let Some(user) = self.known.known(identity) {
            return Ok(Some(user));
        }
        // A session of its own, which ends before the request's begins: the row stays where the request fails, and is
        // made by the service's own role.
        let options = SessionOptions::new("first sight of a user").deadline(self.request_timeout);
        let session = self.database.session(options);
        let user = subjects.user_of(&session, identity).await?;
        session.end(Outcome::Commit).await?;
        self.known.remember(identity, user);
        Ok(Some(user))
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identities").field(&self.auth).finish()
    }
}

/// Verifies the bearer token of a request, if it has one. What comes of it is for the extractors: a route without them
/// takes any token.
///
/// # Errors
///
/// Those of the database where a user is seen for the first time, and those of the inner middleware.
pub async fn identify(
    identities: web::Data<Identities>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if let Some(token) = bearer(request.headers()) {
        let sender = identities.sender(token).await?;
        request.extensions_mut().insert(sender);
    }
    next.call(request).await
}

/// The token of `Authorization: Bearer`, whose scheme may be written in any case (RFC 9110). Of two headers there is no
/// valid one: a proxy may have checked the other.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION);
    let (first, second) = (given.next()?, given.next());
    if second.is_some() {
        return Some("");
    }
    let (scheme, token) = first.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
