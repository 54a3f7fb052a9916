use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay::kernel::{Account, AccountDirectory, AccountFilter};
use mainstay::prelude::*;

use crate::error::{UsersError, directory_failed};
use crate::model::{Person, join};
use crate::store;

/// Whom a list is asked for.
#[derive(Debug, Default)]
pub(crate) struct UserFilter {
    pub(crate) account: AccountFilter,
    pub(crate) display_name_prefix: Option<String>,
}

/// How often accounts are looked for until a page is full.
const ROUNDS: usize = 10;

/// What has to hold when an account ends. The directory's transaction knows nothing of profiles: it carries this along, and
/// [`remove_profile`] looks at it.
struct DeleteCondition {
    account: Account,
    is_current: Box<dyn Fn(&Person) -> bool + Send + Sync>,
    has_failed: AtomicBool,
}

/// Removes the profile of an account that ends, inside the transaction that ends it.
///
/// # Errors
/// When the state that its owner stated is not the present one: the transaction is rolled back.
pub(crate) async fn remove_profile(tx: &Tx, id: UserId) -> Result<(), StoreError> {
    if let Some(condition) = tx.ctx().attached::<DeleteCondition>()
        && condition.account.id == id
        && let Some(profile) = store::find_profile(tx, id).await?
    {
        let has_failed = !(condition.is_current)(&Person { account: condition.account.clone(), profile });
        // Also taken back: the transaction may be run again.
        condition.has_failed.store(has_failed, Ordering::Release);
        if has_failed {
            return Err(StoreError::internal("the account is not in the state that its owner stated"));
        }
    }
    store::remove_profile(tx, id).await
}

/// Profiles, and the accounts behind them. Cheap to clone.
#[derive(Clone)]
pub struct Users {
    store: Store,
    directory: Arc<dyn AccountDirectory>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Users")
    }
}

impl Users {
    pub(crate) fn new(store: Store, directory: Arc<dyn AccountDirectory>) -> Self {
        Self { store, directory }
    }

    async fn account(&self, ctx: &Ctx, id: UserId) -> Result<Account, UsersError> {
        let found = self.directory.find(ctx, vec![id]).await.map_err(directory_failed)?;
        found.into_iter().next().ok_or(UsersError::UserNotFound)
    }

    /// A person, for themselves.
    pub(crate) async fn get(&self, ctx: &Ctx, id: UserId) -> Result<Person, UsersError> {
        let account = self.account(ctx, id).await?;
        let profile = store::find_profile(&self.store.read(ctx), id).await?.ok_or(UsersError::UserNotFound)?;
        Ok(Person { account, profile })
    }

    /// Changes a person's name, unless `is_current` says that what is there now is not what they had seen. It is asked
    /// within the transaction, so no change comes between.
    pub(crate) async fn rename<F>(
        &self,
        ctx: &Ctx,
        id: UserId,
        display_name: Option<String>,
        is_current: F,
    ) -> Result<Person, UsersError>
    where
        F: Fn(&Person) -> bool + Send + Sync + 'static,
    {
        // Asked before: a transaction waits for nothing but the database.
        let account = self.account(ctx, id).await?;
        let (now, is_current) = (ctx.now(), Arc::new(is_current));
        self.store
            .tx(ctx, move |tx| {
                let (account, name, is_current) = (account.clone(), display_name.clone(), is_current.clone());
                async move {
                    let profile = store::find_profile(&tx, id).await?.ok_or(UsersError::UserNotFound)?;
                    let mut person = Person { account, profile };
                    if !is_current(&person) {
                        return Err(UsersError::Stale);
                    }
                    if let Some(name) = name {
                        store::set_display_name(&tx, id, &name, now).await?;
                        (person.profile.display_name, person.profile.updated_at) = (name, now);
                    }
                    Ok(person)
                }
            })
            .await
    }

    /// Ends an account, with everything that anyone keeps for it, unless `is_current` says that what is there now is not
    /// what its owner had seen. It is asked within the transaction that ends the account.
    pub(crate) async fn delete<F>(&self, ctx: &Ctx, id: UserId, is_current: F) -> Result<(), UsersError>
    where
        F: Fn(&Person) -> bool + Send + Sync + 'static,
    {
        let account = self.account(ctx, id).await?;
        let condition =
            Arc::new(DeleteCondition { account, is_current: Box::new(is_current), has_failed: AtomicBool::new(false) });
        let existed = self.directory.delete(&ctx.clone().attach(condition.clone()), id).await;
        if condition.has_failed.load(Ordering::Acquire) {
            return Err(UsersError::Stale);
        }
        if existed.map_err(directory_failed)? { Ok(()) } else { Err(UsersError::UserNotFound) }
    }

    /// A page of people, newest first, and the id after which the next one begins. Two queries, whatever its length; where
    /// both an account's and a profile's fields are asked for, twice [`ROUNDS`] at most: a page may be short then.
    pub(crate) async fn list(
        &self,
        ctx: &Ctx,
        filter: &UserFilter,
        before: Option<UserId>,
        limit: u32,
    ) -> Result<(Vec<Person>, Option<UserId>), StoreError> {
        if filter.account != AccountFilter::default() {
            return self.list_by_account(ctx, filter, before, limit).await;
        }
        let prefix = filter.display_name_prefix.as_deref();
        let mut profiles = store::list_profiles(&self.store.read(ctx), prefix, before, limit + 1).await?;
        let has_more = profiles.len() > limit as usize;
        profiles.truncate(limit as usize);
        let next = profiles.last().filter(|_| has_more).map(|profile| profile.id);
        let ids = profiles.iter().map(|profile| profile.id).collect();
        let accounts = self.directory.find(ctx, ids).await.map_err(directory_failed)?;
        Ok((join(profiles, accounts), next))
    }

    /// The same, where the accounts lead the way.
    async fn list_by_account(
        &self,
        ctx: &Ctx,
        filter: &UserFilter,
        mut before: Option<UserId>,
        limit: u32,
    ) -> Result<(Vec<Person>, Option<UserId>), StoreError> {
        let (most, mut people) = (limit as usize, Vec::new());
        for _ in 0..ROUNDS {
            let found = self.directory.search(ctx, filter.account.clone(), before, limit + 1).await;
            let accounts = found.map_err(directory_failed)?;
            let is_end = accounts.len() <= most;
            before = accounts.last().map(|account| account.id);
            let ids: Vec<UserId> = accounts.iter().map(|account| account.id).collect();
            let mut profiles = store::find_profiles(&self.store.read(ctx), &ids).await?;
            profiles.sort_by_key(|profile| std::cmp::Reverse(profile.id));
            let prefix = filter.display_name_prefix.as_deref().unwrap_or_default();
            profiles.retain(|profile| profile.display_name.starts_with(prefix));
            people.extend(join(profiles, accounts));
            if people.len() > most {
                people.truncate(most);
                before = people.last().map(|person| person.profile.id);
                break;
            }
            if is_end {
                before = None;
                break;
            }
        }
        Ok((people, before))
    }
}
