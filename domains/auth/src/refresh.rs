//! Refresh tokens: whose session one is for stands in it, under a tag that only we can make. So one that was spent long ago is
//! known for what it is although nothing is kept of it, and a forged one costs no I/O.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay::kernel::{Secret, SessionId};
use uuid::Uuid;

const PREFIX: &str = "ms_rt_";
const ID_BYTES: usize = 16;
const RANDOM_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const BYTES: usize = ID_BYTES + RANDOM_BYTES + TAG_BYTES;

/// What a token's successor is made with, beside the token.
pub(crate) type Seed = [u8; 16];

/// Makes and reads refresh tokens.
pub(crate) struct RefreshTokens {
    tag: hmac::Key,
    successor: hmac::Key,
}

/// A token that we made, for the session it names; whether it is good, the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Genuine {
    pub(crate) session_id: SessionId,
    /// SHA-256 of the token, which is all that is kept of it.
    pub(crate) hash: Vec<u8>,
}

impl RefreshTokens {
    /// `derive` gives a key for a purpose.
    pub(crate) fn new(derive: impl Fn(&str) -> [u8; 32]) -> Self {
        let key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &derive(purpose));
        Self { tag: key("refresh tokens"), successor: key("successors of refresh tokens") }
    }

    /// The token of a session with this randomness, and its hash.
    pub(crate) fn make(&self, session_id: SessionId, random: [u8; RANDOM_BYTES]) -> (Secret<String>, Vec<u8>) {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(session_id.as_uuid().as_bytes());
        bytes.extend_from_slice(&random);
        let tag = hmac::sign(&self.tag, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let hash = hash_of(&token);
        (Secret::new(token), hash)
    }

    /// The token that follows another. It cannot be computed from the other without the seed, which is in the store, nor
    /// from both without our key.
    pub(crate) fn successor(
        &self,
        of: &Secret<String>,
        session_id: SessionId,
        seed: &[u8],
    ) -> (Secret<String>, Vec<u8>) {
        let mut made = hmac::Context::with_key(&self.successor);
        made.update(seed);
        made.update(of.expose().as_bytes());
        let mut random = [0; RANDOM_BYTES];
        random.copy_from_slice(made.sign().as_ref());
        self.make(session_id, random)
    }

    /// Reads a token in its one form; none where it is not one of ours.
    pub(crate) fn read(&self, token: &Secret<String>) -> Option<Genuine> {
        let token = token.expose();
        let letters = token.strip_prefix(PREFIX).filter(|letters| letters.len() == (BYTES * 4).div_ceil(3))?;
        let bytes = URL_SAFE_NO_PAD.decode(letters).ok()?;
        let (signed, tag) = bytes.split_at_checked(ID_BYTES + RANDOM_BYTES)?;
        verify_slices_are_equal(&hmac::sign(&self.tag, signed).as_ref()[..TAG_BYTES], tag).ok()?;
        let session_id = SessionId::from_uuid(Uuid::from_bytes(*signed.first_chunk()?));
        Some(Genuine { session_id, hash: hash_of(token) })
    }
}

fn hash_of(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use mainstay::kernel::{Clock, Random};

    use super::*;

    fn tokens(key: u8) -> RefreshTokens {
        RefreshTokens::new(|purpose| {
            let mut bytes = [key; 32];
            bytes[..7].copy_from_slice(&purpose.as_bytes()[..7]);
            bytes
        })
    }

    fn session() -> SessionId {
        SessionId::new(&Clock::system(), &Random::os())
    }

    #[test]
    fn a_token_is_read_in_its_one_form() {
        let (ours, session) = (tokens(1), session());
        let (token, hash) = ours.make(session, [7; RANDOM_BYTES]);
        assert_eq!(ours.read(&token), Some(Genuine { session_id: session, hash }));
        assert_eq!(tokens(2).read(&token), None, "another server's");
        let text = token.into_inner();
        for garbled in [
            String::new(),
            PREFIX.to_owned(),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            format!("{text}A"),
            format!("{text}="),
            text.replace("ms_rt_", "MS_RT_"),
            format!("{}!", &text[..text.len() - 1]),
            format!("{PREFIX}{}", "A".repeat(86)),
            "x".repeat(1_000_000),
        ] {
            assert_eq!(ours.read(&Secret::new(garbled.clone())), None, "{}", garbled.len());
        }
        // Every letter counts.
        for at in PREFIX.len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(ours.read(&Secret::new(String::from_utf8(changed).unwrap())), None, "letter {at}");
        }
    }

    #[test]
    fn a_successor_is_always_the_same_and_told_by_all_three() {
        let (ours, session) = (tokens(1), session());
        let (token, _) = ours.make(session, [7; RANDOM_BYTES]);
        let next = |tokens: &RefreshTokens, token: &Secret<String>, seed: &[u8]| {
            tokens.successor(token, session, seed).0.into_inner()
        };
        let successor = next(&ours, &token, &[1; 16]);
        assert_eq!(successor, next(&ours, &token, &[1; 16]));
        assert_eq!(ours.read(&Secret::new(successor.clone())).unwrap().session_id, session);
        let (other, _) = ours.make(session, [8; RANDOM_BYTES]);
        for different in
            [next(&ours, &token, &[2; 16]), next(&ours, &other, &[1; 16]), next(&tokens(2), &token, &[1; 16])]
        {
            assert_ne!(successor, different);
        }
    }
}
