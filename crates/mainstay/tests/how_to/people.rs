//! Who calls, without accounts: the token says it. In a product `auth` and `users` stand here.

use std::sync::Arc;

use mainstay::kernel::{Identity, SessionId};
use mainstay::prelude::*;
use mainstay::web::{AccessError, Authenticate, Authentication};
use testkit::{App, Caller};
use uuid::Uuid;

struct Tokens;

impl Authenticate for Tokens {
    fn authenticate(&self, _: &Ctx, token: &str) -> Authentication {
        let number = token.strip_prefix("user-").and_then(|number| number.parse::<u128>().ok());
        Authentication::Now(number.ok_or(AccessError::InvalidToken).map(|number| Identity::User {
            user_id: user(number),
            session_id: SessionId::from_uuid(Uuid::from_u128(number)),
            role: Role::User,
        }))
    }
}

/// What others see of a person.
#[view]
#[derive(Debug)]
pub(crate) struct PersonView {
    /// Who.
    id: UserId,
}

pub(crate) fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

/// The n-th person.
pub(crate) fn person(app: &App, number: u32) -> Caller {
    app.anonymous().with_token(&format!("user-{number}"))
}

pub(crate) fn domain() -> Domain {
    Domain::new("users")
        .loader(Loader::one("users.by_id", |_, _, ids: Vec<UserId>| async move {
            Ok(ids.into_iter().map(|id| (id, PersonView { id })).collect())
        }))
        .provide(|boot: Boot| async move {
            boot.authenticator(Arc::new(Tokens));
            Ok(())
        })
}
