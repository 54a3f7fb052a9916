//! A door for the fuzzers of `crates/fuzzing`, there only with the feature `fuzzing`: a key that signs whatever it is
//! given, and the judgement that `Verifier` passes before it asks the store. Nothing here is of use to a program.

use mainstay::kernel::{Clock, Id, Random, Role, SessionId, Time, UserId};

use crate::SigningAlgorithm;
use crate::keys::{Jwk, SigningKey};
use crate::tokens::{self, Grant};

/// A longer token is refused unread.
pub const MOST_TOKEN_BYTES: usize = tokens::MOST_BYTES;

/// A signing key in the fuzzers' hand.
#[derive(Debug)]
pub struct FuzzKey(SigningKey);

impl FuzzKey {
    /// A new key of this algorithm, under this `kid`.
    pub fn generate(kid: &str, algorithm: SigningAlgorithm) -> Option<Self> {
        SigningKey::generate(kid.parse().ok()?, algorithm, Time::MIN).ok().map(Self)
    }

    /// Its name, a token's `kid`.
    pub fn kid(&self) -> String {
        self.0.id().to_string()
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.0.algorithm()
    }

    /// Its public half, as it is published.
    pub const fn jwk(&self) -> &Jwk {
        self.0.jwk()
    }

    /// Signs anything.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.0.sign(message)
    }

    /// A token as `auth` issues it.
    pub fn issue(&self, issuer: &str, issued_at: Time, expires_at: Time) -> Option<String> {
        let (clock, random) = (Clock::fake(issued_at), Random::seeded(1));
        let user_id: UserId = Id::new(&clock, &random);
        let session_id: SessionId = Id::new(&clock, &random);
        let grant = Grant { user_id, session_id, role: Role::User, issued_at, expires_at };
        tokens::issue(&self.0, issuer, grant, [7; 16]).ok()
    }

    /// Whom `auth` takes the bearer of `token` for, where this is the only key: a token that names another is refused,
    /// as `KeyRing` does.
    pub fn judge(&self, token: &str, issuer: &str, now: Time) -> Option<(UserId, SessionId)> {
        let unverified = tokens::parse(token).ok()?;
        if unverified.kid != self.0.id() {
            return None;
        }
        let claims = unverified.verify(&self.0, issuer, now).ok()?;
        Some((claims.sub, claims.sid))
    }
}
