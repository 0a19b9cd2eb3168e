//! Keys of the tests' own, and tokens signed with them.

use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, rsa};
use serde_json::{Value, json};

/// A key that signs, with its id and its public part as issuers publish it.
pub(crate) struct Key {
    pub(crate) id: &'static str,
    pub(crate) public: Value,
    kind: Kind,
}

enum Kind {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<rsa::KeyPair>),
    Secret(Vec<u8>),
}

impl Key {
    pub(crate) fn es256(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let public = json!({ "kty": "EC", "crv": "P-256", "kid": id, "alg": "ES256", "use": "sig",
            "x": text(x), "y": text(y) });
        let kind = Kind::Ecdsa(pair);
        Self { id, public, kind }
    }

    pub(crate) fn eddsa(id: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public =
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": text(pair.public_key().as_ref()) });
        let kind = Kind::Ed25519(pair);
        Self { id, public, kind }
    }

    pub(crate) fn rs256(id: &'static str) -> Self {
        let arguments = [
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-outform",
            "DER",
        ];
        let made = Command::new("openssl")
            .args(arguments)
            .output()
            .expect("openssl is installed");
        let pair = RsaKeyPair::from_pkcs8(&made.stdout).or_else(|_| RsaKeyPair::from_der(&made.stdout));
        let pair = pair.expect("openssl makes a key");
        let parts: PublicKeyComponents<Vec<u8>> = pair.public().into();
        let public = json!({ "kty": "RSA", "kid": id, "n": text(&parts.n), "e": text(&parts.e) });
        let kind = Kind::Rsa(Box::new(pair));
        Self { id, public, kind }
    }

    pub(crate) fn secret(id: &'static str, secret: &[u8]) -> Self {
        Self {
            id,
            public: Value::Null,
            kind: Kind::Secret(secret.to_vec()),
        }
    }

    /// The bytes that an issuer publishes, which a forger uses as the secret of HS256.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Kind::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Kind::Rsa(pair) => pair.public().as_ref().to_vec(),
            Kind::Secret(secret) => secret.clone(),
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let algorithm = match self.kind {
            Kind::Ecdsa(_) => "ES256",
            Kind::Ed25519(_) => "EdDSA",
            Kind::Rsa(_) => "RS256",
            Kind::Secret(_) => "HS256",
        };
        self.sign_as(algorithm, claims)
    }

    /// Signs a token whose head names another algorithm.
    pub(crate) fn sign_as(&self, algorithm: &str, claims: &Value) -> String {
        self.sign_with(&json!({ "alg": algorithm, "typ": "JWT", "kid": self.id }), claims)
    }

    /// Signs a token with this head.
    pub(crate) fn sign_with(&self, head: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", text(head.to_string()), text(claims.to_string()));
        let bytes = message.as_bytes();
        let random = SystemRandom::new();
        let signature = match &self.kind {
            Kind::Ecdsa(pair) => pair.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Kind::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
            Kind::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature)
                    .unwrap();
                signature
            }
            Kind::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, bytes).as_ref().to_vec()
            }
        };
        format!("{message}.{}", text(signature))
    }
}

/// A token without a signature.
pub(crate) fn unsigned(claims: &Value) -> String {
    let head = json!({ "alg": "none", "typ": "JWT" });
    format!("{}.{}.", text(head.to_string()), text(claims.to_string()))
}

/// Seconds since 1970, so many seconds from now.
pub(crate) fn from_now(seconds: i64) -> i64 {
    chrono::Utc::now().timestamp() + seconds
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
