//! Who calls: `Authorization: Bearer TOKEN`, a JWT signed with HS256.

use std::sync::Arc;

use anyhow::Context;
use axum::RequestPartsExt;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum_extra::TypedHeader;
use axum_extra::headers::Authorization;
use axum_extra::headers::authorization::Bearer;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use crate::AppState;
use crate::database::is_key;
use crate::error::Error;

pub struct Tokens {
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

impl Tokens {
    pub fn new(secret: &str) -> anyhow::Result<Self> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        // Whoever signs them has the same clock.
        validation.leeway = 0;
        let key = DecodingKey::from_secret(secret.as_bytes()).context("TOKEN_SECRET cannot be used")?;
        Ok(Self { key, validation })
    }

    fn verify(&self, token: &str) -> Result<Claims, Error> {
        match jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation) {
            Ok(token) => Ok(token.claims),
            Err(error) => {
                tracing::debug!(%error, "refused a token");
                Err(Error::Unauthorized)
            }
        }
    }
}

/// Whoever the token names. A handler that takes one is for those who have a token.
pub struct Caller {
    pub id: String,
}

impl FromRequestParts<Arc<AppState>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Error> {
        let TypedHeader(Authorization(bearer)) =
            parts.extract::<TypedHeader<Authorization<Bearer>>>().await.map_err(|_| Error::Unauthorized)?;
        let Claims { sub } = state.tokens.verify(bearer.token())?;
        // It becomes a post's author.
        if is_key(&sub) { Ok(Self { id: sub }) } else { Err(Error::Unauthorized) }
    }
}
