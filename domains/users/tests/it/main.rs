//! Integration tests of profiles, through the router, on both databases.

#![expect(clippy::unwrap_used, reason = "clippy knows only functions marked `#[test]` as tests")]

mod users;
mod users_id;
mod users_me;

use auth::Accounts;
use testkit::{App, Setup};

/// The domains that a profile meets.
pub fn setup() -> Setup {
    App::with(auth::domain).and(::users::domain).and(posts::domain).promote(|running, ctx, email| async move {
        let accounts = running.api.state().get::<Accounts>().expect("auth is there").clone();
        let secret = mainstay::kernel::Secret::new(testkit::PASSWORD.to_owned());
        accounts.promote(&ctx, &email, &secret).await.expect("the account is there");
    })
}
