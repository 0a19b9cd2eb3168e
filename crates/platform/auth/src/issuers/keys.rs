//! The published keys of one issuer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use reqwest::{Client, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::Error;

/// Time for one answer of an issuer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer that are read.
const LARGEST: usize = 1 << 20;

/// The keys of one issuer, as they were read last.
#[derive(Debug)]
pub(super) struct PublishedKeys {
    name: String,
    client: Client,
    pause: Duration,
    keys: RwLock<Option<Arc<Keys>>>,
    /// When the issuer was asked last, whatever came of it.
    asked: Mutex<Option<Instant>>,
}

type Keys = HashMap<Option<String>, Vec<(Vec<Algorithm>, Arc<DecodingKey>)>>;

/// What is known about the key that a token names.
pub(super) enum Found {
    Key(Arc<DecodingKey>),
    Unknown,
    /// The issuer has not answered since the start.
    NeverRead,
}

/// The part of the discovery document (OpenID Connect Discovery 1.0) that is used.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Why the keys of an issuer cannot be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("its answer has more than {LARGEST} bytes")]
    TooLarge,
    #[error("its answer has another form")]
    Form(#[from] serde_json::Error),
    #[error("its discovery document is of another issuer")]
    OtherIssuer,
    #[error("it publishes no key that can be used")]
    NoKeys,
}

pub(super) fn client() -> Result<Client, Error> {
    // Fails where the process has installed a provider already, which serves as well.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none());
    client
        .build()
        .map_err(|_| Error::Cryptography("set up TLS for the keys of issuers"))
}

impl PublishedKeys {
    pub(super) fn new(name: &str, client: Client, pause: Duration) -> Self {
        Self {
            name: name.to_owned(),
            client,
            pause,
            keys: RwLock::default(),
            asked: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Finds a key by its id. A token without one is verified by the only key of its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(keys) = keys else { return Found::NeverRead };
        let fits = |entry: &&(Vec<Algorithm>, Arc<DecodingKey>)| entry.0.contains(&algorithm);
        let mut found = match id {
            Some(id) => keys
                .get(&Some(id.to_owned()))
                .into_iter()
                .flatten()
                .filter(fits)
                .collect::<Vec<_>>(),
            None => keys.values().flatten().filter(fits).collect(),
        };
        match (found.pop(), found.is_empty()) {
            (Some((_, key)), true) => Found::Key(key.clone()),
            _ => Found::Unknown,
        }
    }

    /// Reads the keys, unless they were read, or could not be read, a moment ago. Returns whether they were read.
    ///
    /// Callers that come meanwhile wait for the one look.
    pub(super) async fn refresh_after_pause(&self) -> bool {
        let came = Instant::now();
        let mut asked = self.asked.lock().await;
        match *asked {
            // Another caller has asked while this one waited.
            Some(time) if time >= came => true,
            Some(time) if time.elapsed() < self.pause => false,
            _ => self.ask(&mut asked).await,
        }
    }

    pub(super) async fn refresh(&self) {
        let mut asked = self.asked.lock().await;
        self.ask(&mut asked).await;
    }

    async fn ask(&self, asked: &mut Option<Instant>) -> bool {
        // Before the answer, so that a caller that leaves does not allow the next one to ask at once.
        *asked = Some(Instant::now());
        let read = self.read().await;
        *asked = Some(Instant::now());
        match read {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                true
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(issuer = self.name, %error, cause, "cannot fetch the keys of an issuer; the known \
                    keys stay in use");
                false
            }
        }
    }

    async fn read(&self) -> Result<Keys, ReadError> {
        let base = self.name.trim_end_matches('/');
        let discovery: Result<Discovery, _> = self
            .get(&format!("{base}/.well-known/openid-configuration"))
            .await;
        let address = match discovery {
            Ok(found) if found.issuer == self.name => found.jwks_uri,
            Ok(_) => return Err(ReadError::OtherIssuer),
            // Supabase and others publish their keys here without a discovery document.
            Err(ReadError::Status(StatusCode::NOT_FOUND)) => format!("{base}/.well-known/jwks.json"),
            Err(error) => return Err(error),
        };
        let published: JwkSet = self.get(&address).await?;
        let keys = usable(&published);
        if keys.is_empty() {
            Err(ReadError::NoKeys)
        } else {
            Ok(keys)
        }
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, ReadError> {
        let mut answer = self.client.get(address).send().await?;
        if answer.status() != StatusCode::OK {
            return Err(ReadError::Status(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(ReadError::TooLarge);
            }
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// The keys that verify signatures, by their ids. Secrets are never published, so that one in the list is a mistake.
fn usable(published: &JwkSet) -> Keys {
    let mut keys = Keys::new();
    for key in &published.keys {
        let algorithms = algorithms(key);
        let signs = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        if let (false, true, Ok(decoding)) = (algorithms.is_empty(), signs, DecodingKey::from_jwk(key)) {
            let entry = keys.entry(key.common.key_id.clone()).or_default();
            entry.push((algorithms, Arc::new(decoding)));
        }
    }
    keys
}

/// The algorithms that a key may be used with: the one that it names, or those of its kind.
fn algorithms(key: &Jwk) -> Vec<Algorithm> {
    let of_kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => Vec::new(),
    };
    match key.common.key_algorithm.map(|named| named.to_string().parse()) {
        Some(Ok(named)) => of_kind
            .into_iter()
            .filter(|algorithm| *algorithm == named)
            .collect(),
        Some(Err(_)) => Vec::new(),
        None => of_kind,
    }
}
