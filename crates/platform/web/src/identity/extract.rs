//! The user who sends the request, for handlers to extract.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use berth_auth::{Claims, Identity, TokenError};
use uuid::Uuid;

use super::Sender;
use crate::Error;

/// The user who sends the request; without a valid token the answer is 401. It costs no statement.
#[derive(Clone, Debug)]
pub struct CurrentUser {
    id: Uuid,
    identity: Arc<Identity>,
}

/// The user who sends the request, or none without a token. A token that is not valid is answered with 401 all the
/// same: its sender believes to be somebody.
#[derive(Clone, Debug)]
pub struct OptionalUser(pub Option<CurrentUser>);

/// A role that a user can have; for [`RequireRole`].
pub trait Role: 'static {
    /// The value of the claim `role`.
    const NAME: &'static str;
}

/// The user who sends the request and has the role; another user's request is answered with 403.
///
/// ```
/// use berth_web::identity::{RequireRole, Role};
///
/// #[derive(Debug)]
/// struct Admin;
///
/// impl Role for Admin {
///     const NAME: &'static str = "admin";
/// }
///
/// async fn handler(admin: RequireRole<Admin>) -> String {
///     admin.id().to_string()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RequireRole<R> {
    user: CurrentUser,
    role: PhantomData<fn() -> R>,
}

impl CurrentUser {
    pub(super) fn new(id: Uuid, identity: Arc<Identity>) -> Self {
        Self { id, identity }
    }

    /// The key of the user's row.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What the token says.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The claims of the token.
    pub fn claims(&self) -> &Claims {
        self.identity.claims()
    }

    /// The scopes of the token.
    pub fn scopes(&self) -> Vec<&str> {
        self.identity.scopes()
    }

    fn of(request: &HttpRequest) -> Result<Self, Error> {
        let sender = request.extensions().get::<Sender>().cloned();
        match sender {
            Some(Ok(user)) => Ok(user),
            Some(Err(TokenError::KeysUnavailable)) => Err(Error::IssuerUnavailable),
            Some(Err(error)) => Err(Error::Unauthenticated(Some(error))),
            None => Err(Error::Unauthenticated(None)),
        }
    }
}

impl OptionalUser {
    /// The key of the user's row.
    pub fn id(&self) -> Option<Uuid> {
        self.0.as_ref().map(CurrentUser::id)
    }
}

impl<R> Deref for RequireRole<R> {
    type Target = CurrentUser;

    fn deref(&self) -> &CurrentUser {
        &self.user
    }
}

impl FromRequest for CurrentUser {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl FromRequest for OptionalUser {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match CurrentUser::of(request) {
            Ok(user) => Ok(Self(Some(user))),
            Err(Error::Unauthenticated(None)) => Ok(Self(None)),
            Err(error) => Err(error),
        })
    }
}

impl<R: Role> FromRequest for RequireRole<R> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(CurrentUser::of(request).and_then(|user| {
            if user.identity.role() != Some(R::NAME) {
                return Err(Error::InsufficientRole(R::NAME));
            }
            let role = PhantomData;
            Ok(Self { user, role })
        }))
    }
}
