#![doc = include_str!("../README.md")]

mod api;
mod clock_guard;
mod commands;
mod doctor_checks;
mod error;
mod forms;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod keyring;
mod keys;
mod model;
mod passwords;
mod refresh;
mod revocation;
mod revocation_broadcast;
mod service;
mod settings;
mod store;
mod tokens;
mod verifier;

use std::sync::Arc;

use mainstay::kernel::AccountDirectory;
use mainstay::prelude::*;
use mainstay::store::SessionCheck;

pub use api::{AccountView, JwkSet, TokenPair};
pub use error::{AdminError, HashError, LoginError, RefreshError, RegisterError};
pub use keys::Jwk;
pub use service::{Accounts, Registered};
pub use settings::{AuthSettings, SigningAlgorithm};

/// The domain: add it to an app before every domain whose endpoints ask who calls.
pub fn domain() -> Domain {
    Domain::new("auth")
        .about("Accounts and their sessions: register, sign in for tokens, exchange them for new ones, sign out.")
        .texts("ko", include_str!("../texts/ko.toml"))
        .migrations(migrations!("auth", "0001_accounts", "0002_shares", "0003_accounts_role"))
        .settings::<AuthSettings>()
        .session_check(SessionCheck::new(store::LIVE_SESSION))
        .limit("register: 120/1m by address")
        // Both count wrong passwords alone, so an office behind one address signs in as it likes. Who guesses from one address
        // gets few, for whichever accounts; and all who guess at one account together not many (NIST SP 800-63B-4, section
        // 3.2.2), but for the networks it is at home in, which are counted one by one.
        .limit("login: 60/10m by address")
        // By the minute, not the day: after a Redis has lost what it held, each account gets one attempt in six seconds first.
        .limit("account: 100/10m by subject")
        .endpoint(api::register)
        .endpoint(api::login)
        .endpoint(api::refresh)
        .endpoint(api::logout)
        .endpoint(api::get_jwks)
        .command(commands::create_admin())
        .check(doctor_checks::check)
        .provide(|boot| async move {
            let accounts = Accounts::start(&boot).await?;
            boot.authenticator(Arc::new(accounts.verifier()));
            boot.put::<Arc<dyn AccountDirectory>>(Arc::new(accounts.clone()));
            boot.put(accounts);
            Ok(())
        })
}
