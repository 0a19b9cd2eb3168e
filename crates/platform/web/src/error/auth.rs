//! The problems of logins and tokens.

use std::borrow::Cow;
use std::time::Duration;

use berth_auth::{Error, TokenError};
use berth_service::Error as ServiceError;

use super::of_service;
use crate::problem::{self, Problem};

/// What the client sees of a login that fails.
pub fn problem(error: &Error) -> Problem {
    match error {
        Error::InvalidCredentials => Problem::of(&problem::INVALID_CREDENTIALS).www_authenticate("Bearer"),
        Error::InvalidRefreshToken => Problem::of(&problem::UNAUTHENTICATED)
            .detail("The refresh token is not valid. Log in again.")
            .www_authenticate("Bearer"),
        Error::InvalidEmailToken => {
            let rule = "is not valid: it was used, replaced by a newer one, or has expired";
            of_service(&ServiceError::invalid("token", rule))
        }
        Error::EmailNotVerified => Problem::of(&problem::EMAIL_NOT_VERIFIED),
        Error::TooManyAttempts { retry_after } => {
            Problem::of(&problem::TOO_MANY_ATTEMPTS).retry_after(*retry_after)
        }
        Error::Busy { retry_after } => Problem::of(&problem::LOGINS_BUSY).retry_after(*retry_after),
        Error::NotLocal => Problem::not_found().detail(
            "This service does not handle logins; an identity provider issues its \
                tokens.",
        ),
        Error::Cryptography(_) => Problem::internal(),
        Error::Service(error) => of_service(error),
    }
}

/// 401, with a challenge in the words of RFC 6750. The body is the same for every kind of token.
pub(super) fn unauthenticated(error: Option<TokenError>) -> Problem {
    let challenge: Cow<'static, str> = match error {
        None => "Bearer".into(),
        Some(error) => format!("Bearer error=\"invalid_token\", error_description=\"{error}\"").into(),
    };
    Problem::of(&problem::UNAUTHENTICATED).www_authenticate(challenge)
}

/// 403 for a user without the role.
pub(super) fn insufficient_role() -> Problem {
    Problem::of(&problem::INSUFFICIENT_ROLE).www_authenticate("Bearer error=\"insufficient_scope\"")
}

/// 503 where the keys of an issuer have not been read yet.
pub(super) fn issuer_unavailable() -> Problem {
    Problem::of(&problem::ISSUER_UNAVAILABLE).retry_after(Duration::from_secs(5))
}
