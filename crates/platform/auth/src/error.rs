//! Errors of authentication.

use std::time::Duration;

/// Why a login, or another operation on an account, fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The account does not exist, has no password, or has another one: the caller cannot distinguish them.
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    /// The refresh token is unknown, spent, revoked or expired: the caller cannot distinguish them.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// The token of a mail is unknown, used, replaced by a newer one or expired: the caller cannot distinguish them.
    #[error("the token is not valid")]
    InvalidEmailToken,
    /// The password is right, and the address is not verified though `auth.require_verified_email` requires it.
    #[error("the e-mail address is not verified")]
    EmailNotVerified,
    /// Too many logins of the account, or from the address, have failed, or too many mails were asked for.
    #[error("too many attempts")]
    TooManyAttempts {
        /// When the failed ones are forgotten.
        retry_after: Duration,
    },
    /// Too many passwords wait to be hashed.
    #[error("too many passwords wait to be hashed")]
    Busy {
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The service does not keep passwords: `auth.mode` is "jwks".
    #[error("this service keeps no passwords")]
    NotLocal,
    /// Hashing or signing failed.
    #[error("cannot {0}")]
    Cryptography(&'static str),
    /// The service of the accounts failed.
    #[error(transparent)]
    Service(#[from] berth_service::Error),
}

impl From<berth_database::Error> for Error {
    fn from(error: berth_database::Error) -> Self {
        Self::Service(error.into())
    }
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Service(error.into())
    }
}

/// Why an access token is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT, one that is too long, or one without a claim that is required.
    #[error("The access token is malformed")]
    Malformed,
    /// Signed by another algorithm or key, or changed.
    #[error("The access token has an invalid signature")]
    Signature,
    /// The key that signed it is not one of its issuer's.
    #[error("The access token was signed with an unknown key")]
    UnknownKey,
    /// Of an issuer that is not accepted.
    #[error("The access token has another issuer")]
    Issuer,
    /// Made for another service.
    #[error("The access token is for another audience")]
    Audience,
    /// Too old.
    #[error("The access token expired")]
    Expired,
    /// Of a time to come.
    #[error("The access token is not valid yet")]
    NotYetValid,
    /// The keys of the issuer have never been read, so that nothing is known about the token.
    #[error("The keys of the issuer of the access token cannot be read at present")]
    KeysUnavailable,
}
