use std::sync::LazyLock;

use auth::SigningAlgorithm;
use auth::fuzzing::{FuzzKey, MOST_TOKEN_BYTES};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use mainstay::kernel::{Role, SessionId, Time, UserId, parse_json};
use serde_json::Value;

use crate::bytes::Bytes;

const ISSUER: &str = "https://api.example.com";
/// 2027-01-15T08:00:00Z.
const NOW: Time = Time::from_micros(1_800_000_000_000_000);
/// The names that seeds know the keys by.
const KIDS: [&str; 3] =
    ["sgk_01kaz5rcs0f7rvtnzvzvzvzvz1", "sgk_01kaz5rcs0f7rvtnzvzvzvzvz2", "sgk_01kaz5rcs0f7rvtnzvzvzvzvz3"];

struct Signer {
    key: FuzzKey,
    theirs: DecodingKey,
    algorithm: Algorithm,
}

// Made once by each process: RSA takes a while. What is found does not depend on which keys they are.
static SIGNERS: LazyLock<[Signer; 3]> = LazyLock::new(|| {
    let signer = |kid, ours, algorithm| {
        let key = FuzzKey::generate(kid, ours).expect("a key can be made");
        let jwk = serde_json::to_value(key.jwk()).expect("a key is JSON");
        let jwk: Jwk = serde_json::from_value(jwk).expect("it is a JWK in the other implementation's eyes too");
        Signer { key, theirs: DecodingKey::from_jwk(&jwk).expect("and one that verifies"), algorithm }
    };
    [
        signer(KIDS[0], SigningAlgorithm::EdDSA, Algorithm::EdDSA),
        signer(KIDS[1], SigningAlgorithm::ES256, Algorithm::ES256),
        signer(KIDS[2], SigningAlgorithm::RS256, Algorithm::RS256),
    ]
});

/// Access tokens: nothing is believed that the key did not sign, and what it signed only in the form that we make.
///
/// The first byte says what the rest is: a token as it is; a header and a payload, a line each, to be signed; a payload
/// alone, under a good header; or how to bend a token that was really issued. The second says with which key.
pub fn token(data: &[u8]) {
    let mut bytes = Bytes(data);
    let (form, which) = (bytes.byte(), bytes.byte());
    let signer = &SIGNERS[usize::from(which % 3)];
    match form % 4 {
        0 => {
            let text = String::from_utf8_lossy(bytes.0);
            judge(signer, &text);
        }
        1 => {
            let (header, payload) = (bytes.line(), bytes.0);
            judge(signer, &signed(signer, header, payload));
        }
        2 => {
            let token = signed(signer, good_header(signer).as_bytes(), bytes.0);
            let is_accepted = judge(signer, &token);
            if let Some(expected) = is_good_payload(bytes.0) {
                let expected = expected && token.len() <= MOST_TOKEN_BYTES;
                assert_eq!(is_accepted, expected, "what the key signed is judged by its claims");
            }
        }
        _ => bend(signer, &mut bytes),
    }
}

fn good_header(signer: &Signer) -> String {
    format!(r#"{{"typ":"at+jwt","alg":"{}","kid":"{}"}}"#, signer.key.algorithm().name(), signer.key.kid())
}

fn signed(signer: &Signer, header: &[u8], payload: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = signer.key.sign(message.as_bytes()).expect("a key signs");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Judges a token; if it is believed, so must the other implementation believe its signature and its claims. Says whether
/// it is believed.
fn judge(signer: &Signer, token: &str) -> bool {
    let Some((user_id, _)) = signer.key.judge(token, ISSUER, NOW) else { return false };
    let (message, signature) = token.rsplit_once('.').expect("a token has a signature");
    let is_signed = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &signer.theirs, signer.algorithm);
    assert_eq!(is_signed.ok(), Some(true), "believed, though the key did not sign it: {token}");
    let payload = message.split_once('.').and_then(|(_, payload)| URL_SAFE_NO_PAD.decode(payload).ok());
    // Deep nesting in a claim that nobody reads breaks their reading and not ours.
    if payload.is_some_and(|payload| parse_json(&payload).is_ok()) {
        let read = jsonwebtoken::decode::<Value>(token, &signer.theirs, &validation(signer));
        let read = read.unwrap_or_else(|error| panic!("believed, though another implementation says {error}: {token}"));
        assert_eq!(read.claims["sub"], user_id.to_string());
        assert_eq!(read.header.typ.as_deref(), Some("at+jwt"));
        assert_eq!(read.header.kid, Some(signer.key.kid()));
    }
    true
}

fn validation(signer: &Signer) -> Validation {
    let mut validation = Validation::new(signer.algorithm);
    validation.set_audience(&[ISSUER]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // It would ask the machine's clock; the time is judged below.
    validation.validate_exp = false;
    validation
}

/// Whether a payload is one that is believed under a good signature, told claim by claim; none where that cannot be told
/// from JSON that is read strictly.
fn is_good_payload(payload: &[u8]) -> Option<bool> {
    let claims = parse_json(payload).ok()?.value;
    // An array is read by position.
    let claims = claims.as_object()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    let (issued_at, expires_at) = (number("iat"), number("exp"));
    let now = NOW.as_secs();
    let is_timely = issued_at.zip(expires_at).is_some_and(|(iat, exp)| iat <= now + 60 && exp > now && exp > iat)
        && claims.get("nbf").is_none_or(|nbf| nbf.as_i64().is_some_and(|nbf| nbf <= now));
    let known = ["iss", "aud", "sub", "client_id", "sid", "role", "iat", "exp", "nbf", "jti"];
    // Ours have nothing before the brace.
    let is_formed = payload.starts_with(b"{")
        && text("sub").is_some_and(|sub| sub.parse::<UserId>().is_ok())
        && text("sid").is_some_and(|sid| sid.parse::<SessionId>().is_ok())
        && claims.get("role").is_some_and(|role| serde_json::from_value::<Role>(role.clone()).is_ok())
        && text("client_id") == Some("first-party")
        && text("jti").is_some_and(|jti| !jti.is_empty())
        && claims.keys().all(|claim| known.contains(&&**claim));
    Some(is_formed && is_timely && text("iss") == Some(ISSUER) && text("aud") == Some(ISSUER))
}

/// A token that was issued, with a letter changed, cut off, or added.
fn bend(signer: &Signer, bytes: &mut Bytes<'_>) {
    let until = NOW.plus(std::time::Duration::from_secs(900));
    let good = signer.key.issue(ISSUER, NOW, until).expect("a key signs");
    assert!(judge(signer, &good), "a token that was issued is believed");
    assert!(signer.key.judge(&good, ISSUER, until).is_none(), "until its time has run out");
    for other in SIGNERS.iter().filter(|other| other.key.kid() != signer.key.kid()) {
        assert!(!judge(other, &good), "by another key");
    }
    let place = usize::from(u16::from_le_bytes([bytes.byte(), bytes.byte()])) % good.len();
    let (how, letter) = (bytes.byte(), bytes.byte() & 0x7f);
    let mut bent = good.clone().into_bytes();
    match how % 4 {
        0 => bent[place] = letter,
        1 => bent.truncate(place),
        2 => bent.insert(place, letter),
        _ => {
            bent.splice(place.., bytes.0.iter().copied());
        }
    }
    if let Ok(bent) = String::from_utf8(bent) {
        assert_eq!(judge(signer, &bent), bent == good, "{bent}");
    }
}
