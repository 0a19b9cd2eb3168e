//! Tokens of OIDC issuers, verified with the keys that the issuers publish.
//!
//! The keys are read in the background and when a token names one that is not known, but not more often than every
//! [`PAUSE`]: tokens with invented keys cause no traffic. What was read stays in use while an issuer is away.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use self::keys::{Found, PublishedKeys};
use crate::access_token::{header, validation, verify};
use crate::{Error, Identity, Settings, TokenError, crypto};

/// The least time between two looks at an issuer's keys because of a token.
const PAUSE: Duration = Duration::from_secs(10);

/// The accepted issuers and their keys.
#[derive(Debug)]
pub struct Issuers {
    issuers: Vec<Arc<PublishedKeys>>,
    audience: String,
    secret: Option<DecodingKey>,
    leeway: Duration,
    refresh: Duration,
}

#[derive(Deserialize)]
struct WithIssuer {
    iss: String,
}

impl Issuers {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        crypto::install();
        let client = keys::client()?;
        let issuers = settings.issuers().map(|url| {
            Arc::new(PublishedKeys::new(
                url,
                client.clone(),
                PAUSE.min(settings.keys_refresh),
            ))
        });
        let secret = settings.secret.as_ref();
        Ok(Self {
            issuers: issuers.collect(),
            audience: settings.audience.clone().unwrap_or_default(),
            secret: secret.map(|secret| DecodingKey::from_secret(secret.reveal().as_bytes())),
            leeway: settings.leeway,
            refresh: settings.keys_refresh,
        })
    }

    /// Verifies a token. Waits for the issuer at most once, where the token names a key that is not known.
    pub(crate) async fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        let header = header(token)?;
        let named: WithIssuer = insecure_decode_claims(token).map_err(|_| TokenError::Malformed)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.name() == named.iss);
        let issuer = issuer.ok_or(TokenError::Issuer)?;
        let validation = validation(header.alg, issuer.name(), &self.audience, self.leeway);
        if header.alg == Algorithm::HS256 {
            let secret = self.secret.as_ref().ok_or(TokenError::Signature)?;
            return verify(token, secret, &validation);
        }
        let mut found = issuer.find(header.kid.as_deref(), header.alg);
        if !matches!(found, Found::Key(_)) && issuer.refresh_after_pause().await {
            found = issuer.find(header.kid.as_deref(), header.alg);
        }
        match found {
            Found::Key(key) => verify(token, &key, &validation),
            Found::Unknown => Err(TokenError::UnknownKey),
            Found::NeverRead => Err(TokenError::KeysUnavailable),
        }
    }

    /// Reads the keys of all issuers now and again, for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops it; the keys stay as they are.
    pub async fn keep_fresh(&self) {
        loop {
            join_all(self.issuers.iter().map(|issuer| issuer.refresh())).await;
            tokio::time::sleep(self.refresh).await;
        }
    }
}
