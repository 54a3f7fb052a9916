//! Accounts as other domains see them.

use mainstay::kernel::{
    Account, AccountDeleted, AccountDirectory, AccountDirectoryError, AccountFilter, ApiError, DirectoryFuture,
};
use mainstay::prelude::*;
use mainstay::store::MOST_KEYS;

use super::Accounts;
use crate::model::email_key;
use crate::{revocation_broadcast, store};

impl Accounts {
    async fn delete_account(&self, ctx: &Ctx, id: UserId) -> Result<bool, StoreError> {
        let now = ctx.now();
        let pending = self.0.ended.pending();
        let ended = self
            .0
            .store
            .tx(ctx, move |tx| async move {
                let sessions = store::session_ids(&tx, id).await?;
                store::remove_all_sessions(&tx, id).await?;
                if !store::remove_account(&tx, id).await? {
                    return Ok::<_, StoreError>(None);
                }
                tx.emit(AccountDeleted { id }).await?;
                Ok(Some(sessions))
            })
            .await?;
        let sessions = ended.as_deref().unwrap_or_default();
        pending.settle(sessions, now.plus(self.0.settings.access_token()), now);
        revocation_broadcast::tell(&self.0.bus, ctx, sessions).await;
        Ok(ended.is_some())
    }
}

impl AccountDirectory for Accounts {
    fn find(&self, ctx: &Ctx, ids: Vec<UserId>) -> DirectoryFuture<Vec<Account>> {
        let (accounts, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            let reads = accounts.0.store.read(&ctx);
            let mut found = Vec::with_capacity(ids.len());
            for ids in ids.chunks(MOST_KEYS) {
                found.extend(store::find_accounts(&reads, ids).await.map_err(directory_error)?);
            }
            Ok(found)
        })
    }

    fn search(
        &self,
        ctx: &Ctx,
        filter: AccountFilter,
        before: Option<UserId>,
        most: u32,
    ) -> DirectoryFuture<Vec<Account>> {
        let (accounts, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            let reads = accounts.0.store.read(&ctx);
            let email = filter.email.as_deref().map(email_key);
            let found = store::search_accounts(&reads, email.as_deref(), filter.role, before, most).await;
            found.map_err(directory_error)
        })
    }

    fn delete(&self, ctx: &Ctx, id: UserId) -> DirectoryFuture<bool> {
        let (accounts, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move { accounts.delete_account(&ctx, id).await.map_err(directory_error) })
    }
}

fn directory_error(error: StoreError) -> AccountDirectoryError {
    AccountDirectoryError { code: error.code(), source: Box::new(error) }
}
