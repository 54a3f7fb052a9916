//! One signing key: made, sealed for the store, opened, used.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay::kernel::{Id, IdKind, Random, Time};
use serde::Deserialize;

use crate::SigningAlgorithm;

/// Marks ids of signing keys: a token's `kid`.
#[derive(Debug)]
pub(crate) enum SigningKeyKind {}
impl IdKind for SigningKeyKind {
    const PREFIX: &'static str = "sgk";
    const NAME: &'static str = "SigningKeyId";
}

pub(crate) type SigningKeyId = Id<SigningKeyKind>;

/// A public key that verifies access tokens (RFC 7517; RFC 8037 for Ed25519).
#[mainstay::view]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Jwk {
    /// The family of the key: `OKP`, `EC` or `RSA`.
    pub kty: String,
    /// What it is for: `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Its algorithm: `EdDSA`, `ES256` or `RS256`.
    pub alg: String,
    /// Its name in a token's header.
    pub kid: String,
    /// The curve, where there is one: `Ed25519` or `P-256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The curve point's first coordinate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The curve point's second coordinate (`EC`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The modulus (`RSA`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent (`RSA`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

enum Pair {
    Ed(Ed25519KeyPair),
    // Larger than the others by far.
    Ec(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

/// Why a key cannot be made or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// The crypto library failed, or what was unsealed is not a key.
    Broken,
    /// It was sealed with another `secret_key`, or changed since.
    Sealed,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Broken => "a signing key is broken",
            Self::Sealed => "a signing key was sealed with another secret_key, or changed in the database",
        })
    }
}

impl std::error::Error for KeyError {}

/// A key pair, ready for use: parsed once.
pub(crate) struct SigningKey {
    id: SigningKeyId,
    algorithm: SigningAlgorithm,
    pair: Pair,
    public: ParsedPublicKey,
    jwk: Jwk,
    /// From when it signs.
    pub(crate) not_before: Time,
    /// Until when what it signed is believed.
    pub(crate) retires_at: Option<Time>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn broken<E>(_: E) -> KeyError {
    KeyError::Broken
}

impl SigningKey {
    /// Makes a key pair, by the crypto library's own generator. For RSA that takes a while.
    pub(crate) fn generate(id: SigningKeyId, algorithm: SigningAlgorithm, not_before: Time) -> Result<Self, KeyError> {
        let pair = match algorithm {
            SigningAlgorithm::EdDSA => Pair::Ed(Ed25519KeyPair::generate().map_err(broken)?),
            SigningAlgorithm::ES256 => {
                Pair::Ec(Box::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(broken)?))
            }
            SigningAlgorithm::RS256 => Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).map_err(broken)?)),
        };
        Self::of(id, algorithm, pair, not_before, None)
    }

    fn of(
        id: SigningKeyId,
        algorithm: SigningAlgorithm,
        pair: Pair,
        not_before: Time,
        retires_at: Option<Time>,
    ) -> Result<Self, KeyError> {
        let encode = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let mut jwk = Jwk {
            kty: String::new(),
            usage: "sig".to_owned(),
            alg: algorithm.name().to_owned(),
            kid: id.to_string(),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
        };
        let public = match &pair {
            Pair::Ed(pair) => {
                let point = pair.public_key().as_ref();
                (jwk.kty, jwk.crv, jwk.x) = ("OKP".to_owned(), Some("Ed25519".to_owned()), encode(point));
                ParsedPublicKey::new(&ED25519, point)
            }
            Pair::Ec(pair) => {
                // Uncompressed: 4, then both coordinates (SEC 1 section 2.3.3).
                let point = pair.public_key().as_ref();
                let [4, coordinates @ ..] = point else { return Err(KeyError::Broken) };
                let (x, y) = coordinates.split_at_checked(32).ok_or(KeyError::Broken)?;
                (jwk.kty, jwk.crv) = ("EC".to_owned(), Some("P-256".to_owned()));
                (jwk.x, jwk.y) = (encode(x), encode(y));
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            }
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                jwk.kty = "RSA".to_owned();
                jwk.n = encode(key.modulus().big_endian_without_leading_zero());
                jwk.e = encode(key.exponent().big_endian_without_leading_zero());
                ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.as_ref())
            }
        };
        Ok(Self { id, algorithm, pair, public: public.map_err(broken)?, jwk, not_before, retires_at })
    }

    /// Its name: a token's `kid`.
    pub(crate) const fn id(&self) -> SigningKeyId {
        self.id
    }

    /// Its algorithm, whatever a token's header says.
    pub(crate) const fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// Its public half.
    pub(crate) const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Whether this key signed `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    /// Signs.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Ed(pair) => pair.try_sign(message).ok().map(|s| s.as_ref().to_vec()),
            Pair::Ec(pair) => pair.sign(&SystemRandom::new(), message).ok().map(|s| s.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }

    fn private_der(&self) -> Result<Vec<u8>, KeyError> {
        Ok(match &self.pair {
            Pair::Ed(pair) => pair.to_pkcs8v1().map_err(broken)?.as_ref().to_vec(),
            Pair::Ec(pair) => pair.to_pkcs8v1().map_err(broken)?.as_ref().to_vec(),
            Pair::Rsa(pair) => pair.as_der().map_err(broken)?.as_ref().to_vec(),
        })
    }
}

/// Seals private keys for the store and opens them: AES-256-GCM under a key of its own purpose. What is sealed is bound
/// to the key's id and algorithm, so that one cannot be put in another's place.
pub(crate) struct Seal(LessSafeKey);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    pub(crate) fn new(key: &[u8; 32]) -> Result<Self, KeyError> {
        UnboundKey::new(&AES_256_GCM, key).map(|key| Self(LessSafeKey::new(key))).map_err(broken)
    }

    fn bound_to(id: SigningKeyId, algorithm: SigningAlgorithm) -> Aad<Vec<u8>> {
        let mut bytes = id.as_uuid().as_bytes().to_vec();
        bytes.extend_from_slice(algorithm.name().as_bytes());
        Aad::from(bytes)
    }

    /// A fresh nonce, then the sealed key. There are a handful of keys, so random nonces do not meet.
    pub(crate) fn close(&self, key: &SigningKey, random: &Random) -> Result<Vec<u8>, KeyError> {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let mut sealed = key.private_der()?;
        let aad = Self::bound_to(key.id, key.algorithm);
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).map_err(broken)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Seal::close`] made.
    pub(crate) fn open(
        &self,
        id: SigningKeyId,
        algorithm: SigningAlgorithm,
        sealed: &[u8],
        not_before: Time,
        retires_at: Option<Time>,
    ) -> Result<SigningKey, KeyError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(KeyError::Sealed)?;
        let mut der = sealed.to_vec();
        let der = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Self::bound_to(id, algorithm), &mut der)
            .map_err(|_| KeyError::Sealed)?;
        let pair = match algorithm {
            SigningAlgorithm::EdDSA => Pair::Ed(Ed25519KeyPair::from_pkcs8(der).map_err(broken)?),
            SigningAlgorithm::ES256 => {
                Pair::Ec(Box::new(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(broken)?))
            }
            SigningAlgorithm::RS256 => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(der).map_err(broken)?)),
        };
        SigningKey::of(id, algorithm, pair, not_before, retires_at)
    }
}

#[cfg(test)]
mod tests {
    use mainstay::kernel::Clock;

    use super::*;

    #[test]
    fn a_sealed_key_opens_under_its_own_name_and_secret_alone() {
        let (seal, other) = (Seal::new(&[1; 32]).unwrap(), Seal::new(&[2; 32]).unwrap());
        let new_id = || SigningKeyId::new(&Clock::system(), &Random::os());
        for algorithm in [SigningAlgorithm::EdDSA, SigningAlgorithm::ES256, SigningAlgorithm::RS256] {
            let key = SigningKey::generate(new_id(), algorithm, Time::MIN).unwrap();
            let sealed = seal.close(&key, &Random::os()).unwrap();
            let opened = seal.open(key.id(), algorithm, &sealed, Time::MIN, None).unwrap();
            assert!(opened.verify(b"message", &key.sign(b"message").unwrap()));
            assert!(key.verify(b"message", &opened.sign(b"message").unwrap()));
            assert!(!key.verify(b"another", &opened.sign(b"message").unwrap()));
            assert_eq!(opened.jwk(), key.jwk());
            let mut bent = sealed.clone();
            bent[20] ^= 1;
            let refused = [
                other.open(key.id(), algorithm, &sealed, Time::MIN, None),
                seal.open(new_id(), algorithm, &sealed, Time::MIN, None),
                seal.open(key.id(), algorithm, &bent, Time::MIN, None),
                seal.open(key.id(), algorithm, &sealed[..8], Time::MIN, None),
            ];
            for outcome in refused {
                assert_eq!(outcome.unwrap_err(), KeyError::Sealed);
            }
        }
    }

    #[test]
    fn a_key_prints_nothing_secret() {
        let key = SigningKey::generate(
            SigningKeyId::new(&Clock::system(), &Random::os()),
            SigningAlgorithm::EdDSA,
            Time::MIN,
        )
        .unwrap();
        assert!(!serde_json::to_string(key.jwk()).unwrap().contains("\"d\""));
        assert!(!format!("{key:?}").contains("pair"));
    }
}
