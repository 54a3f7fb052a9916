use std::fmt;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{KeyInit, Mac};

/// Makes digests that nobody can make again, or hold a guess against, without the key: for what is kept about a secret, as
/// the fingerprint of a body with a password in it.
#[derive(Clone)]
pub struct KeyedHash([u8; 32]);

impl KeyedHash {
    /// With a key, as [`SecretKey::derive`](crate::SecretKey::derive) gives one for each purpose.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The digest of all parts: keyed BLAKE2b (RFC 7693 section 2.9). None of them can be mistaken for another.
    pub fn digest<const N: usize>(&self, parts: [&[u8]; N]) -> [u8; 32] {
        // A key of 32 bytes is within BLAKE2b's bounds.
        let Ok(mut mac) = <Blake2bMac<U32> as KeyInit>::new_from_slice(&self.0) else { unreachable!() };
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(••••••••)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_its_key_and_of_its_parts() {
        let [one, other] = [[1; 32], [2; 32]].map(KeyedHash::new);
        assert_eq!(one.digest([b"a", b"b"]), one.digest([b"a", b"b"]));
        assert_ne!(one.digest([b"a", b"b"]), other.digest([b"a", b"b"]));
        assert_ne!(one.digest([b"ab", b""]), one.digest([b"a", b"b"]));
        assert_ne!(one.digest([b"a", b""]), one.digest([b"a"]));
        assert!(!format!("{one:?}").contains('1'));
    }
}
