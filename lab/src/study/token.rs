//! Access tokens for targets that leave signing in to others: a JWT (RFC 7519) signed with HS256 (RFC 7518).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Whoever calls, in every target that takes the lab's tokens.
pub const SUBJECT: &str = "0198b6a0-0000-7000-8000-000000000001";
const GOOD_FOR: Duration = Duration::from_secs(24 * 3600);

/// A token that is good for a day.
pub fn good(secret: &str) -> Result<String> {
    let now = now()?;
    Ok(sign(secret, &json!({ "sub": SUBJECT, "iat": now, "exp": now + GOOD_FOR.as_secs() })))
}

/// One that was good until an hour ago.
pub fn expired(secret: &str) -> Result<String> {
    let now = now()?;
    Ok(sign(secret, &json!({ "sub": SUBJECT, "iat": now - 7200, "exp": now - 3600 })))
}

/// One whose signature is of another key.
pub fn forged(secret: &str) -> Result<String> {
    good(&format!("{secret}!"))
}

/// One that says it needs no signature (RFC 7519, section 6).
pub fn unsigned() -> Result<String> {
    let claims = json!({ "sub": SUBJECT, "exp": now()? + GOOD_FOR.as_secs() });
    Ok(format!("{}.", signed_part(&json!({ "alg": "none", "typ": "JWT" }), &claims)))
}

fn sign(secret: &str, claims: &Value) -> String {
    let text = signed_part(&json!({ "alg": "HS256", "typ": "JWT" }), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    format!("{text}.{signature}")
}

fn signed_part(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".")
}

#[expect(clippy::disallowed_methods, reason = "the lab has no `Ctx`, and a target asks the system's clock too")]
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7515, appendix A.1, has the header in another order; this is of jwt.io's debugger.
    #[test]
    fn a_known_token() {
        let token = sign("your-256-bit-secret", &json!({ "sub": "1" }));
        let (text, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(text, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0");
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap().len(), 32);
    }

    #[test]
    fn tokens_differ_where_they_should() {
        let secret = "s";
        let all = [good(secret), expired(secret), forged(secret), unsigned()].map(Result::unwrap);
        assert!(all.iter().enumerate().all(|(at, token)| !all[..at].contains(token)));
    }
}
