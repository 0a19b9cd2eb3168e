//! Signatures of tokens, computed by ring, which TLS already requires.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, signature as ring_signature};
use ring_signature::{RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Lets `jsonwebtoken` use ring. A provider that the process has installed before stays.
pub(crate) fn install() {
    let _installed = PROVIDER.install_default();
}

/// The algorithm of HS256, as signer and as verifier.
struct Hs256(hmac::Key);

/// A public key with the one algorithm that it is used with.
struct PublicKey {
    algorithm: Algorithm,
    key: Key,
}

enum Key {
    Bytes(&'static dyn VerificationAlgorithm, Vec<u8>),
    Rsa(&'static RsaParameters, RsaPublicKeyComponents<Vec<u8>>),
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => Ok(Box::new(Hs256::new(key.as_bytes()))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    // A key of another kind would be used as something that it is not: a public key as the secret of HS256.
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let bytes = |verification: &'static dyn VerificationAlgorithm| -> Result<Key> {
        Ok(Key::Bytes(verification, key.try_get_as_bytes()?.to_vec()))
    };
    let rsa = |parameters| -> Result<Key> {
        match key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let (n, e) = (n.clone(), e.clone());
                Ok(Key::Rsa(parameters, RsaPublicKeyComponents { n, e }))
            }
            DecodingKeyKind::SecretOrDer(_) => Err(ErrorKind::InvalidKeyFormat.into()),
        }
    };
    let key = match algorithm {
        Algorithm::HS256 => return Ok(Box::new(Hs256::new(key.try_get_as_bytes()?))),
        Algorithm::ES256 => bytes(&ring_signature::ECDSA_P256_SHA256_FIXED)?,
        Algorithm::ES384 => bytes(&ring_signature::ECDSA_P384_SHA384_FIXED)?,
        Algorithm::EdDSA => bytes(&ring_signature::ED25519)?,
        Algorithm::RS256 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA256)?,
        Algorithm::RS384 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA384)?,
        Algorithm::RS512 => rsa(&ring_signature::RSA_PKCS1_2048_8192_SHA512)?,
        Algorithm::PS256 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA256)?,
        Algorithm::PS384 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA384)?,
        Algorithm::PS512 => rsa(&ring_signature::RSA_PSS_2048_8192_SHA512)?,
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(Box::new(PublicKey {
        algorithm: *algorithm,
        key,
    }))
}

impl Hs256 {
    fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let verified = match &self.key {
            Key::Bytes(algorithm, bytes) => {
                UnparsedPublicKey::new(*algorithm, bytes).verify(message, signature)
            }
            Key::Rsa(parameters, components) => components.verify(parameters, message, signature),
        };
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Header, TokenData, Validation, decode, encode};
    use serde_json::{Value, json};

    use super::*;

    /// A key that an issuer publishes.
    const PUBLIC: &[u8] = b"the bytes of a public key";

    fn keys() -> [(AlgorithmFamily, DecodingKey); 4] {
        [
            (AlgorithmFamily::Hmac, DecodingKey::from_secret(PUBLIC)),
            (AlgorithmFamily::Rsa, DecodingKey::from_rsa_der(PUBLIC)),
            (AlgorithmFamily::Ec, DecodingKey::from_ec_der(PUBLIC)),
            (AlgorithmFamily::Ed, DecodingKey::from_ed_der(PUBLIC)),
        ]
    }

    #[test]
    fn a_public_key_is_never_the_secret_of_hs256() {
        install();
        let claims = json!({ "exp": jsonwebtoken::get_current_timestamp() + 60 });
        let header = Header::new(Algorithm::HS256);
        let forged = encode(&header, &claims, &EncodingKey::from_secret(PUBLIC)).unwrap();
        for (family, key) in keys() {
            let read: Result<TokenData<Value>> = decode(&forged, &key, &Validation::new(Algorithm::HS256));
            assert_eq!(read.is_ok(), family == AlgorithmFamily::Hmac, "{family:?}");
        }
    }

    #[test]
    fn a_key_verifies_algorithms_of_its_own_family_only() {
        for (family, key) in keys() {
            for (other, _) in keys().iter().filter(|(other, _)| *other != family) {
                for algorithm in other.algorithms() {
                    assert!(verifier(algorithm, &key).is_err(), "{algorithm:?} by {family:?}");
                }
            }
        }
    }
}
