//! Access tokens: RFC 9068 JWTs in the one form that we make. Reading one does no I/O and looks at nothing twice: what
//! is not exactly of that form is garbled, and nothing is said of how.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay::kernel::{Role, SessionId, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::SigningAlgorithm;
use crate::keys::{SigningKey, SigningKeyId};

/// Longest token that is looked at, in bytes; ours have some 600.
pub(crate) const MOST_BYTES: usize = 4096;
/// Longest header, decoded.
const MOST_HEADER_BYTES: usize = 1024;
/// Longest `kid`.
const MOST_KID_BYTES: usize = 64;
/// RFC 9068 section 2.1. An ID token has another, so it cannot pass for an access token.
const TYP: &str = "at+jwt";
/// What issued clients are called before there are others than our own.
const CLIENT_ID: &str = "first-party";
/// How far ahead the clock of the node that issued a token may be.
const FUTURE_LEEWAY: Duration = Duration::from_secs(60);

/// The header. Whatever else could stand in one (`jwk`, `jku`, `x5u`, `x5c`, `crit`, `zip` …) is refused, not ignored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

/// What a token says. Any other claim is refused, not ignored: nobody here would judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    pub(crate) sub: UserId,
    client_id: String,
    pub(crate) sid: SessionId,
    role: Role,
    iat: i64,
    pub(crate) exp: i64,
    /// RFC 7519 section 4.1.5. Ours have none.
    #[serde(default = "always", skip_serializing)]
    nbf: i64,
    jti: String,
}

const fn always() -> i64 {
    i64::MIN
}

/// The token is not one of ours, or no longer good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotGood;

/// A token in our form, whose signature nobody has looked at yet: only its `kid` is of use.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    pub(crate) kid: SigningKeyId,
    algorithm: SigningAlgorithm,
    message: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// Reads the form of a token.
pub(crate) fn parse(token: &str) -> Result<Unverified<'_>, NotGood> {
    if token.len() > MOST_BYTES {
        return Err(NotGood);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(NotGood)?;
    let (header, payload) = message.split_once('.').ok_or(NotGood)?;
    if payload.contains('.') || header.len() > MOST_HEADER_BYTES.div_ceil(3) * 4 {
        return Err(NotGood);
    }
    let header = decode(header)?;
    if header.len() > MOST_HEADER_BYTES || !is_object(&header) {
        return Err(NotGood);
    }
    // An escape in one of these strings cannot be borrowed and is refused with the rest: ours have none.
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| NotGood)?;
    if header.typ != TYP || header.kid.len() > MOST_KID_BYTES {
        return Err(NotGood);
    }
    Ok(Unverified {
        kid: header.kid.parse().map_err(|_| NotGood)?,
        algorithm: SigningAlgorithm::from_name(header.alg).ok_or(NotGood)?,
        message,
        payload,
        signature: decode(signature)?,
    })
}

/// Base64url without padding and with zero trailing bits: one value has one spelling (RFC 7515 section 2).
fn decode(text: &str) -> Result<Vec<u8>, NotGood> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotGood)
}

/// Header and payload are JSON objects (RFC 7519 section 7.2); serde would read an array too, by position. Ours have
/// nothing before the brace.
fn is_object(json: &[u8]) -> bool {
    json.starts_with(b"{")
}

impl Unverified<'_> {
    /// Believes the token, if `key` signed it, `issuer` is named in it and its time has not run out.
    pub(crate) fn verify(&self, key: &SigningKey, issuer: &str, now: Time) -> Result<Claims, NotGood> {
        if key.algorithm() != self.algorithm || !key.verify(self.message.as_bytes(), &self.signature) {
            return Err(NotGood);
        }
        let payload = decode(self.payload)?;
        if !is_object(&payload) {
            return Err(NotGood);
        }
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| NotGood)?;
        let is_ours =
            claims.iss == issuer && claims.aud == issuer && claims.client_id == CLIENT_ID && !claims.jti.is_empty();
        // No leeway at the end: the token of a session that may not be extended must not live longer either. None at the
        // beginning that somebody states: no clock of ours is behind it.
        let is_timely = now.as_secs() < claims.exp
            && claims.nbf <= now.as_secs()
            && claims.nbf < claims.exp
            && claims.iat <= now.plus(FUTURE_LEEWAY).as_secs()
            && claims.iat < claims.exp;
        if is_ours && is_timely { Ok(claims) } else { Err(NotGood) }
    }
}

/// For whom a token is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) role: Role,
    pub(crate) issued_at: Time,
    pub(crate) expires_at: Time,
}

/// Makes a token. `jti` is random.
pub(crate) fn issue(key: &SigningKey, issuer: &str, grant: Grant, jti: [u8; 16]) -> Result<String, SigningFailed> {
    let kid = key.id().to_string();
    let header = Header { typ: TYP, alg: key.algorithm().name(), kid: &kid };
    let claims = Claims {
        iss: issuer.to_owned(),
        aud: issuer.to_owned(),
        sub: grant.user_id,
        client_id: CLIENT_ID.to_owned(),
        sid: grant.session_id,
        role: grant.role,
        iat: grant.issued_at.as_secs(),
        exp: grant.expires_at.as_secs(),
        nbf: always(),
        jti: URL_SAFE_NO_PAD.encode(jti),
    };
    let encode =
        |json: Result<Vec<u8>, serde_json::Error>| json.map(|j| URL_SAFE_NO_PAD.encode(j)).map_err(|_| SigningFailed);
    let mut token = encode(serde_json::to_vec(&header))?;
    token.push('.');
    token.push_str(&encode(serde_json::to_vec(&claims))?);
    let signature = key.sign(token.as_bytes()).ok_or(SigningFailed)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// The key could not sign; a bug in the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SigningFailed;

impl std::fmt::Display for SigningFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an access token could not be signed")
    }
}

impl std::error::Error for SigningFailed {}

#[cfg(test)]
mod tests {
    use mainstay::kernel::{Clock, Id, Random};
    use proptest::prelude::*;

    use super::*;

    const ISSUER: &str = "https://api.example.com";
    const NOW: Time = Time::from_micros(1_800_000_000_000_000);

    fn key(algorithm: SigningAlgorithm) -> SigningKey {
        SigningKey::generate(Id::new(&Clock::fake(NOW), &Random::os()), algorithm, NOW).unwrap()
    }

    fn grant() -> Grant {
        let (clock, random) = (Clock::fake(NOW), Random::seeded(1));
        Grant {
            user_id: Id::new(&clock, &random),
            session_id: Id::new(&clock, &random),
            role: Role::User,
            issued_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(900)),
        }
    }

    const ALL: [SigningAlgorithm; 3] = [SigningAlgorithm::EdDSA, SigningAlgorithm::ES256, SigningAlgorithm::RS256];

    /// The independent implementation reads what we make, with what we publish (RFC 9068 section 2.2, RFC 7517).
    #[test]
    fn another_implementation_accepts_our_tokens_by_our_published_keys() {
        for algorithm in ALL {
            let key = key(algorithm);
            let token = issue(&key, ISSUER, grant(), [7; 16]).unwrap();
            let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(serde_json::to_value(key.jwk()).unwrap()).unwrap();
            let theirs = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
            let mut validation = jsonwebtoken::Validation::new(match algorithm {
                SigningAlgorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
                SigningAlgorithm::ES256 => jsonwebtoken::Algorithm::ES256,
                SigningAlgorithm::RS256 => jsonwebtoken::Algorithm::RS256,
            });
            validation.set_audience(&[ISSUER]);
            validation.set_issuer(&[ISSUER]);
            validation.validate_exp = false;
            let read = jsonwebtoken::decode::<serde_json::Value>(&token, &theirs, &validation).unwrap();
            assert_eq!(read.header.typ.as_deref(), Some("at+jwt"));
            assert_eq!(read.header.kid, Some(key.id().to_string()));
            for claim in ["iss", "aud", "sub", "client_id", "iat", "exp", "jti", "sid", "role"] {
                assert!(read.claims.get(claim).is_some(), "{claim}");
            }
        }
    }

    #[test]
    fn a_token_is_good_with_its_key_issuer_and_time_alone() {
        let others = ALL.map(key);
        for algorithm in ALL {
            let key = key(algorithm);
            let token = issue(&key, ISSUER, grant(), [7; 16]).unwrap();
            let parsed = parse(&token).unwrap();
            assert_eq!(parsed.kid, key.id());
            assert_eq!(parsed.verify(&key, ISSUER, NOW).unwrap().sub, grant().user_id);
            let last = NOW.plus(Duration::from_secs(899));
            assert!(parsed.verify(&key, ISSUER, last).is_ok());
            assert_eq!(parsed.verify(&key, ISSUER, last.plus(Duration::from_secs(1))), Err(NotGood));
            assert!(parsed.verify(&key, ISSUER, NOW.minus(Duration::from_secs(60))).is_ok());
            assert_eq!(parsed.verify(&key, ISSUER, NOW.minus(Duration::from_secs(61))), Err(NotGood));
            assert_eq!(parsed.verify(&key, "https://other.example.com", NOW), Err(NotGood));
            for other in &others {
                assert_eq!(parsed.verify(other, ISSUER, NOW), Err(NotGood), "another key");
            }
        }
    }

    /// RFC 9068 section 4: each claim counts, even under a good signature.
    #[test]
    fn a_signature_is_not_enough() {
        let key = key(SigningAlgorithm::EdDSA);
        let good = issue(&key, ISSUER, grant(), [7; 16]).unwrap();
        let good: serde_json::Value =
            serde_json::from_slice(&decode(good.split('.').nth(1).unwrap()).unwrap()).unwrap();
        let signed_as = |alg: &str, typ: &str, claims: &serde_json::Value| {
            let header = serde_json::json!({ "typ": typ, "alg": alg, "kid": key.id() });
            let message = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(header.to_string()),
                URL_SAFE_NO_PAD.encode(claims.to_string())
            );
            let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).unwrap());
            format!("{message}.{signature}")
        };
        let signed = |typ: &str, claims: &serde_json::Value| signed_as("EdDSA", typ, claims);
        let judge = |token: &str| parse(token).and_then(|t| t.verify(&key, ISSUER, NOW));
        assert!(judge(&signed("at+jwt", &good)).is_ok(), "the control");
        assert_eq!(judge(&signed("JWT", &good)), Err(NotGood), "an ID token");
        assert_eq!(judge(&signed_as("ES256", "at+jwt", &good)), Err(NotGood), "not the key's own algorithm");
        let now = NOW.as_secs();
        for (claim, value) in [
            ("iss", serde_json::json!("https://evil.example.com")),
            ("aud", serde_json::json!("https://evil.example.com")),
            ("aud", serde_json::json!([ISSUER, "https://evil.example.com"])),
            ("sub", good["sid"].clone()),
            ("sub", serde_json::json!("' or 1=1 --")),
            ("sid", good["sub"].clone()),
            ("role", serde_json::json!("root")),
            ("exp", serde_json::json!(now)),
            ("exp", serde_json::json!("2999-01-01")),
            ("exp", serde_json::json!(1e300)),
            ("exp", serde_json::json!(now as f64 + 900.5)),
            ("iat", serde_json::json!(now + 61)),
            ("iat", serde_json::json!(now + 900)),
            ("iat", serde_json::json!(null)),
            ("nbf", serde_json::json!(now + 1)),
            ("nbf", serde_json::json!(now + 3600)),
            ("nbf", serde_json::json!(now as f64 - 0.5)),
            ("nbf", serde_json::json!("2020-01-01")),
            ("nbf", serde_json::json!(null)),
            ("client_id", serde_json::json!("somebody-else")),
            ("jti", serde_json::json!("")),
            ("jti", serde_json::json!(7)),
            ("aud", serde_json::json!([ISSUER])),
            ("aud", serde_json::json!("")),
            // Registered by others, and nothing that we would judge.
            ("cnf", serde_json::json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" })),
            ("acr", serde_json::json!("urn:example:strong")),
            ("scope", serde_json::json!("")),
            ("is_admin", serde_json::json!(true)),
        ] {
            let mut claims = good.clone();
            claims[claim] = value.clone();
            assert_eq!(judge(&signed("at+jwt", &claims)), Err(NotGood), "{claim}: {value}");
        }
        for nbf in [now, now - 3600, 0] {
            let mut claims = good.clone();
            claims["nbf"] = nbf.into();
            assert!(judge(&signed("at+jwt", &claims)).is_ok(), "not before {nbf}");
        }
        let mut timeless = good.clone();
        (timeless["iat"], timeless["exp"]) = (serde_json::json!(now + 30), serde_json::json!(now + 30));
        assert_eq!(judge(&signed("at+jwt", &timeless)), Err(NotGood), "over as soon as it began");
        let order = ["iss", "aud", "sub", "client_id", "sid", "role", "iat", "exp", "jti"];
        let listed: Vec<_> = order.iter().map(|claim| good[claim].clone()).collect();
        assert_eq!(judge(&signed("at+jwt", &listed.into())), Err(NotGood), "a list of claims");
        for claim in order {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(claim);
            assert_eq!(judge(&signed("at+jwt", &claims)), Err(NotGood), "without {claim}");
        }
    }

    /// RFC 8725 section 3: what stands in the header decides nothing.
    #[test]
    fn any_other_form_is_garbled() {
        let key = key(SigningAlgorithm::EdDSA);
        let token = issue(&key, ISSUER, grant(), [7; 16]).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        let kid = key.id().to_string();
        let with = |header: serde_json::Value| format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()));
        let header = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
            let mut header = serde_json::json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": kid });
            change(header.as_object_mut().unwrap());
            with(header)
        };
        assert!(parse(&header(&|_| {})).is_ok(), "the control");
        for (name, value) in [
            ("alg", serde_json::json!("none")),
            ("alg", serde_json::json!("None")),
            ("alg", serde_json::json!("HS256")),
            ("alg", serde_json::json!("eddsa")),
            ("typ", serde_json::json!("JWT")),
            ("typ", serde_json::json!("AT+JWT")),
            ("kid", serde_json::json!("../../etc/passwd")),
            ("kid", serde_json::json!("' or 1=1 --")),
            ("kid", serde_json::json!("x".repeat(65))),
            ("kid", serde_json::json!(7)),
            ("jwk", serde_json::to_value(key.jwk()).unwrap()),
            ("jku", serde_json::json!("https://evil.example.com/jwks.json")),
            ("x5u", serde_json::json!("https://evil.example.com/x.pem")),
            ("x5c", serde_json::json!([])),
            ("crit", serde_json::json!(["exp"])),
            ("b64", serde_json::json!(false)),
            ("zip", serde_json::json!("DEF")),
        ] {
            let token = header(&|h| {
                h.insert(name.to_owned(), value.clone());
            });
            assert!(parse(&token).is_err(), "{name}: {value}");
        }
        assert!(parse(&with(serde_json::json!(["at+jwt", "EdDSA", kid]))).is_err(), "a list");
        for absent in ["typ", "alg", "kid"] {
            let token = header(&|h| {
                h.remove(absent);
            });
            assert!(parse(&token).is_err(), "without {absent}");
        }
        let twice = format!(r#"{{"typ":"at+jwt","alg":"EdDSA","alg":"EdDSA","kid":"{kid}"}}"#);
        let padded = format!("{}=.{rest}", token.split_once('.').unwrap().0);
        for garbled in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "...".to_owned(),
            format!("{token}."),
            format!(".{token}"),
            format!("{token}.{rest}"),
            token.replace('.', " "),
            format!("{}.{rest}", URL_SAFE_NO_PAD.encode(twice)),
            padded,
            format!("{}.{rest}", URL_SAFE_NO_PAD.encode(" ".repeat(2000))),
            format!("{token}{}", "A".repeat(MOST_BYTES)),
        ] {
            assert!(parse(&garbled).is_err(), "{garbled}");
        }
    }

    /// What is longer is not looked at; what is just as long is a token like any other.
    #[test]
    fn a_header_and_a_token_have_their_longest() {
        let key = key(SigningAlgorithm::EdDSA);
        let token = issue(&key, ISSUER, grant(), [7; 16]).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        // JSON may have space after its end, so a good header can be made as long as one likes.
        let header = format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{}"}}"#, key.id());
        let with_header = |bytes: usize| format!("{}.{rest}", URL_SAFE_NO_PAD.encode(format!("{header:<bytes$}")));
        for (bytes, is_read) in [(MOST_HEADER_BYTES, true), (MOST_HEADER_BYTES + 1, false), (2000, false)] {
            assert_eq!(parse(&with_header(bytes)).is_ok(), is_read, "a header of {bytes}");
        }
        // So can a signature, as long as nobody looks whether it is one: four characters for three bytes of it.
        let head = format!("{}.xx.", URL_SAFE_NO_PAD.encode(&header));
        let with_signature = |characters: usize| format!("{head}{}", "A".repeat(characters));
        let most = MOST_BYTES - head.len();
        // One character over a multiple of four is no base64, whatever the length.
        for characters in (most - 3)..=most {
            assert_eq!(parse(&with_signature(characters)).is_ok(), characters % 4 != 1, "{characters}");
        }
        for characters in (most + 1)..=(most + 4) {
            assert!(parse(&with_signature(characters)).is_err(), "{characters}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_the_parser_panic(bytes in ".{0,600}", which in 0usize..3, header in ".{0,80}") {
            let _ = parse(&bytes);
            let token = format!("{}.{bytes}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&bytes));
            let _ = parse(&token);
            let _ = parse(&token[token.char_indices().nth(which).map_or(0, |(at, _)| at)..]);
        }

        #[test]
        fn a_changed_token_is_never_good(at in 0usize..500, to in "[A-Za-z0-9_.-]") {
            let key = key(SigningAlgorithm::EdDSA);
            let token = issue(&key, ISSUER, grant(), [7; 16]).unwrap();
            let at = at % token.len();
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            if changed != token {
                let verdict = parse(&changed).and_then(|t| t.verify(&key, ISSUER, NOW));
                prop_assert_eq!(verdict, Err(NotGood));
            }
        }
    }
}
