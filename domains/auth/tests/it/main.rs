//! Integration tests of signing up, signing in and being believed, through the router, on both databases.

#![expect(clippy::unwrap_used, reason = "clippy knows only functions marked `#[test]` as tests")]

mod accounts;
mod auth_login;
mod auth_logout;
mod auth_refresh;
mod auth_register;
mod bearer;
mod jwks;
mod login_limits;
mod start;

use auth::Accounts;
use mainstay::prelude::*;
use testkit::{App, Setup};

/// A good password, as far from every list as from the accounts here.
pub const PASSWORD: &str = "seven green lanterns by the sea";

/// Who is believed to call.
#[view]
#[derive(Debug)]
pub struct WhoView {
    user_id: UserId,
    role: Role,
}

/// Who calls.
#[get("/who")]
async fn get_who(caller: Caller<User>) -> Result<Json<WhoView>, StoreError> {
    Ok(Json(WhoView { user_id: caller.user_id(), role: caller.role() }))
}

/// The domain, and an endpoint that returns the authenticated caller.
pub fn setup() -> Setup {
    App::with(auth::domain).and(|| Domain::new("who").endpoint(get_who)).promote(|running, ctx, email| async move {
        let accounts = running.api.state().get::<Accounts>().expect("auth is there").clone();
        let secret = mainstay::kernel::Secret::new(testkit::PASSWORD.to_owned());
        accounts.promote(&ctx, &email, &secret).await.expect("the account is there");
    })
}

/// How many passwords were hashed so far.
pub fn hash_count(app: &App) -> u64 {
    app.service::<Accounts>().hash_count()
}
