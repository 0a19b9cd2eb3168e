//! Logins over HTTP: the bodies of requests and answers, and what handlers do with them.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder, web};
use berth_auth::{Accounts, Credentials, Local, Tokens, refresh_token};
use berth_jobs::Jobs;
use berth_service::Clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CurrentUser, Identities};
use crate::Error;
use crate::extract::{ClientAddress, ServiceSession};

/// The e-mail address and the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    email: String,
    #[schema(format = Password)]
    password: String,
}

/// The refresh token, which is used once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshToken {
    refresh_token: String,
}

/// The old and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    #[schema(format = Password)]
    old_password: String,
    #[schema(format = Password, min_length = 8, max_length = 200)]
    new_password: String,
}

/// The tokens of a login.
#[derive(Serialize, ToSchema)]
pub struct TokenResponse {
    /// The access token; send it as `Authorization: Bearer`.
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds that the access token is valid.
    #[schema(example = 900)]
    expires_in: u64,
    /// Exchange it for new tokens before the access token expires; it can be used once.
    refresh_token: String,
}

/// The logins of the service, for the handlers of one request. They use the session of the request, with the rights of
/// the service's own role.
#[derive(Clone, Debug)]
pub struct Logins {
    session: ServiceSession,
    identities: web::Data<Identities>,
    address: ClientAddress,
    jobs: web::Data<Jobs>,
}

impl Logins {
    /// The request's session.
    pub fn session(&self) -> &ServiceSession {
        &self.session
    }

    /// The client's address, where it is known.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.address.0
    }

    /// The queue.
    pub(super) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Hashes passwords and makes tokens.
    ///
    /// # Errors
    ///
    /// 404 where issuers make the tokens.
    pub fn local(&self) -> Result<&Local, Error> {
        Ok(self.identities.auth().local()?)
    }

    /// Checks a password and issues tokens. No connection is held while the password is hashed.
    ///
    /// # Errors
    ///
    /// 401, 429 and 503; see [`berth_auth::Error`].
    pub async fn login(&self, accounts: &impl Accounts, login: Login) -> Result<TokenResponse, Error> {
        let credentials = Credentials {
            email: login.email,
            password: login.password,
            address: self.address.0,
        };
        let now = Clock::system().now();
        let tokens = self.local()?.login(&self.session, accounts, &credentials, now);
        Ok(tokens.await?.into())
    }

    /// Exchanges a refresh token for new tokens.
    ///
    /// # Errors
    ///
    /// 401 for a token that is not valid.
    pub async fn refresh(
        &self,
        accounts: &impl Accounts,
        token: RefreshToken,
    ) -> Result<TokenResponse, Error> {
        let now = Clock::system().now();
        let tokens = self
            .local()?
            .refresh(&self.session, accounts, &token.refresh_token, now);
        Ok(tokens.await?.into())
    }

    /// Ends the login of a refresh token. An unknown one is no error.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn logout(&self, token: RefreshToken) -> Result<(), Error> {
        Ok(refresh_token::revoke(&self.session, &token.refresh_token).await?)
    }

    /// Changes the password of the user, ends all logins and begins a new one.
    ///
    /// # Errors
    ///
    /// 401 for a wrong old password, 422 for a new one that is too short, 429 and 503.
    pub async fn change_password(
        &self,
        accounts: &impl Accounts,
        user: &CurrentUser,
        change: ChangePassword,
    ) -> Result<TokenResponse, Error> {
        let passwords = (&*change.old_password, &*change.new_password);
        let now = Clock::system().now();
        let local = self.local()?;
        let tokens = local.change_password(&self.session, accounts, user.id(), passwords, now);
        Ok(tokens.await?.into())
    }

    /// Forgets that the user's row exists, because it was deleted.
    pub fn forget(&self, user: &CurrentUser) {
        self.identities.forget(user);
    }
}

impl FromRequest for Logins {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let session = ServiceSession::from_request(request, payload).into_inner();
        let identities = request.app_data::<web::Data<Identities>>().cloned();
        let jobs = request.app_data::<web::Data<Jobs>>().cloned();
        ready(session.and_then(|session| {
            Ok(Self {
                session,
                identities: identities.ok_or(Error::NoRoute)?,
                address: ClientAddress::of(request),
                jobs: jobs.ok_or(Error::NoRoute)?,
            })
        }))
    }
}

/// 200, for no cache (RFC 6749, section 5.1).
impl Responder for TokenResponse {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(self)
    }
}

impl From<Tokens> for TokenResponse {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access_token,
            token_type: tokens.token_type,
            expires_in: tokens.expires_in,
            refresh_token: tokens.refresh_token,
        }
    }
}

/// None of the types with a secret shows anything of it.
macro_rules! show_nothing_of {
    ($($name:ident)+) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}

pub(super) use show_nothing_of;

show_nothing_of! { Login RefreshToken ChangePassword TokenResponse }
