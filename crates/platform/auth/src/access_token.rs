//! Access tokens of this service: JWTs (RFC 7519) signed with HS256, and the verification of all tokens.

use std::time::Duration;

use berth_settings::Secret;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Application, Error, Identity, TokenError, crypto};

/// Longer tokens are refused unread.
const LONGEST: usize = 8192;

/// Signs and verifies the access tokens of this service.
///
/// They name the service as their issuer and audience, so that another service with the same secret refuses them.
pub struct AccessTokens {
    name: String,
    signs: EncodingKey,
    /// The present secret, then the previous one.
    verifies: Vec<DecodingKey>,
    validation: Validation,
    lifetime: Duration,
}

#[derive(Serialize)]
struct Issued<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: Uuid,
    role: &'a str,
    iat: u64,
    exp: u64,
}

impl AccessTokens {
    pub(crate) fn new(application: &Application, lifetime: Duration) -> Self {
        crypto::install();
        let secrets = [Some(&application.secret), application.previous_secret.as_ref()];
        let key = |secret: &Secret| DecodingKey::from_secret(secret.reveal().as_bytes());
        Self {
            signs: EncodingKey::from_secret(application.secret.reveal().as_bytes()),
            verifies: secrets.into_iter().flatten().map(key).collect(),
            validation: validation(
                Algorithm::HS256,
                &application.name,
                &application.name,
                Duration::ZERO,
            ),
            name: application.name.clone(),
            lifetime,
        }
    }

    /// Makes a token for a user.
    ///
    /// # Errors
    ///
    /// [`Error::Cryptography`], which does not happen with a secret that is text.
    pub fn issue(&self, user: Uuid, role: &str) -> Result<String, Error> {
        self.issue_for(user, role, self.lifetime)
    }

    /// Makes a token that is valid for another time.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue).
    pub fn issue_for(&self, user: Uuid, role: &str, lifetime: Duration) -> Result<String, Error> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = Issued {
            iss: &self.name,
            aud: &self.name,
            sub: user,
            role,
            iat: now,
            exp: now + lifetime.as_secs(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signs)
            .map_err(|_| Error::Cryptography("sign the access token"))
    }

    /// Time that a token is valid.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    pub(crate) fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        let header = header(token)?;
        if header.alg != Algorithm::HS256 {
            return Err(TokenError::Signature);
        }
        let mut outcome = Err(TokenError::Signature);
        for key in &self.verifies {
            outcome = verify(token, key, &self.validation);
            if outcome != Err(TokenError::Signature) {
                break;
            }
        }
        outcome
    }
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens")
            .field("name", &self.name)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// What every token must fulfil. `exp`, `iss`, `aud` and `sub` are required.
pub(crate) fn validation(algorithm: Algorithm, issuer: &str, audience: &str, leeway: Duration) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = leeway.as_secs();
    validation
}

/// Reads the head of a token, which says how it is signed. An `alg` of `none` is not a known one.
pub(crate) fn header(token: &str) -> Result<Header, TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::Malformed);
    }
    let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
    // Extensions that must be understood (RFC 7515, section 4.1.11); none is.
    match header.crit {
        None => Ok(header),
        Some(_) => Err(TokenError::Malformed),
    }
}

/// Verifies a token with one key.
pub(crate) fn verify(
    token: &str,
    key: &DecodingKey,
    validation: &Validation,
) -> Result<Identity, TokenError> {
    let claims =
        decode::<Map<String, Value>>(token, key, validation).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            ErrorKind::ImmatureSignature => TokenError::NotYetValid,
            ErrorKind::InvalidIssuer => TokenError::Issuer,
            ErrorKind::InvalidAudience => TokenError::Audience,
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::Signature,
            _ => TokenError::Malformed,
        })?;
    Identity::of(claims.claims)
}
