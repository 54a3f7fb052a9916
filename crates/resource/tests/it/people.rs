//! Callers without accounts: the token says who. What is tested here is not who they are.

use std::sync::Arc;

use mainstay::kernel::{Identity, Role, SessionId};
use mainstay::prelude::*;
use mainstay::web::{AccessError, Authenticate, Authentication};
use testkit::{App, Caller};

struct Tokens;

impl Authenticate for Tokens {
    fn authenticate(&self, _: &Ctx, token: &str) -> Authentication {
        let (role, number) = match token.split_once('-') {
            Some(("user", number)) => (Role::User, number.parse::<u128>()),
            Some(("admin", number)) => (Role::Admin, number.parse()),
            _ => return Authentication::Now(Err(AccessError::InvalidToken)),
        };
        Authentication::Now(number.map_err(|_| AccessError::InvalidToken).map(|n| Identity::User {
            user_id: user(n),
            session_id: SessionId::from_uuid(uuid::Uuid::from_u128(n)),
            role,
        }))
    }
}

pub(crate) fn user(number: u128) -> UserId {
    UserId::from_uuid(uuid::Uuid::from_u128(number))
}

pub(crate) fn domain() -> Domain {
    Domain::new("people").provide(|boot: Boot| async move {
        boot.authenticator(Arc::new(Tokens));
        Ok(())
    })
}

/// The n-th person.
pub(crate) fn person(app: &App, number: u32) -> Caller {
    app.anonymous().with_token(&format!("user-{number}"))
}

/// The n-th administrator.
pub(crate) fn admin(app: &App, number: u32) -> Caller {
    app.anonymous().with_token(&format!("admin-{number}"))
}
