use std::fmt;
use std::pin::Pin;

use crate::{Code, Ctx, Role, Time, UserId};

/// What the rest of the house may know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub id: UserId,
    /// The address they sign in with.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub created_at: Time,
}

/// Which accounts are looked for; what is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// With this address, whatever its case.
    pub email: Option<String>,
    /// With this role.
    pub role: Option<Role>,
}

/// The directory could not answer.
#[derive(Debug)]
pub struct AccountDirectoryError {
    /// The kind of failure.
    pub code: Code,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Display for AccountDirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the account directory did not answer")
    }
}

impl std::error::Error for AccountDirectoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// An answer of the directory, on its way.
pub type DirectoryFuture<T> = Pin<Box<dyn Future<Output = Result<T, AccountDirectoryError>> + Send>>;

/// Where accounts are looked up and ended. `auth` supplies it; code that shows people asks it.
pub trait AccountDirectory: Send + Sync + 'static {
    /// The accounts with these ids, those that exist, in no order.
    fn find(&self, ctx: &Ctx, ids: Vec<UserId>) -> DirectoryFuture<Vec<Account>>;

    /// Up to `most` accounts that the filter fits, newest first, those older than `before` where that is given. The caller has
    /// made sure that `ctx` may know them.
    fn search(
        &self,
        ctx: &Ctx,
        filter: AccountFilter,
        before: Option<UserId>,
        most: u32,
    ) -> DirectoryFuture<Vec<Account>>;

    /// Ends an account, its sessions, and, through [`AccountDeleted`](crate::AccountDeleted), everything that others keep
    /// for it, in one transaction. Whether it existed. The caller has made sure that `ctx` may do this.
    fn delete(&self, ctx: &Ctx, id: UserId) -> DirectoryFuture<bool>;
}
