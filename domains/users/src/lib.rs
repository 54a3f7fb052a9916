#![doc = include_str!("../README.md")]

mod api;
mod error;
mod model;
mod service;
mod store;

use std::sync::Arc;

use mainstay::kernel::{AccountDeleted, AccountDirectory, AccountRegistered};
use mainstay::prelude::*;
use mainstay::resource::{self, Op, Resource as _};

pub use api::{MeView, UserEntry};
pub use error::UsersError;
pub use model::{NewProfile, Profile, ProfilePart, ProfilePatch, ProfileView};
pub use service::Users;

/// The domain: add it to an app after the one that owns accounts.
pub fn domain() -> Domain {
    Domain::new("users")
        .about("The people behind the accounts: your own profile, and what others see of one.")
        .texts("ko", include_str!("../texts/ko.toml"))
        .migrations(migrations!("users", "0001_profiles"))
        .endpoint(api::get_me)
        .endpoint(api::update_me)
        .endpoint(api::delete_me)
        .endpoint(api::list_users)
        .resource(resource::of::<Profile>().only(&[Op::Get]))
        .loader(Loader::one("users.by_id", |ctx, database: Store, ids: Vec<UserId>| async move {
            let profiles = store::find_profiles(&database.read(&ctx), &ids).await?;
            Ok(profiles.into_iter().map(|profile| (profile.id, profile.view())).collect())
        }))
        .on(|tx, account: Arc<AccountRegistered>| async move {
            store::add_profile(&tx, account.id, &account.display_name, account.at).await
        })
        .on(|tx, account: Arc<AccountDeleted>| async move { service::remove_profile(&tx, account.id).await })
        .provide(|boot| async move {
            let directory = boot.get::<Arc<dyn AccountDirectory>>()?;
            boot.put(Users::new(boot.store().clone(), directory));
            Ok(())
        })
}
