//! Access tokens: JWTs signed with HS256.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::Header;
use actix_web::{FromRequest, HttpRequest, web};
use actix_web_httpauth::headers::authorization::{Authorization, Bearer};
use anyhow::Context;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use crate::State;
use crate::problem::Problem;
use crate::store::fits_a_key;

#[derive(Clone)]
pub struct Tokens {
    key: DecodingKey,
    rules: Validation,
}

impl Tokens {
    pub fn new(secret: &str) -> anyhow::Result<Self> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_required_spec_claims(&["exp", "sub"]);
        // By itself the library forgives a minute.
        rules.leeway = 0;
        let key = DecodingKey::from_secret(secret.as_bytes()).context("TOKEN_SECRET is no key")?;
        Ok(Self { key, rules })
    }
}

/// The one who calls, as the token says. Naming it as a parameter is what protects a handler.
#[derive(Deserialize)]
pub struct Caller {
    pub sub: String,
}

impl Caller {
    fn of(request: &HttpRequest) -> Option<Self> {
        let state = request.app_data::<web::Data<State>>()?;
        let bearer = Authorization::<Bearer>::parse(request).ok()?.into_scheme();
        let caller = decode::<Self>(bearer.token(), &state.tokens.key, &state.tokens.rules).ok()?.claims;
        fits_a_key(&caller.sub).then_some(caller)
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Self::of(request).ok_or(Problem::Unauthorized))
    }
}
