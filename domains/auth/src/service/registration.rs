//! New accounts: people who register, and administrators.

use mainstay::kernel::{Account, AccountRegistered, Invalid};
use mainstay::prelude::*;

use super::Accounts;
use crate::error::{AdminError, RegisterError};
use crate::model::{Email, Password, email_key};
use crate::{revocation_broadcast, store};

/// What someone registers with.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) email: String,
    pub(crate) password: Secret<String>,
    pub(crate) display_name: String,
}

/// A new account and what its owner wants to be called.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The account.
    pub account: Account,
    /// What others see.
    pub display_name: String,
}

/// An account could not be added.
enum AddError {
    Taken,
    Store(StoreError),
}

impl From<StoreError> for AddError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Accounts {
    /// Registers an account.
    pub(crate) async fn register(&self, ctx: &Ctx, new: Registration) -> Result<Registered, RegisterError> {
        if !self.0.settings.registration_open {
            return Err(RegisterError::RegistrationClosed);
        }
        let (email, password) = self.check_new(&new.email, &new.password, &new.display_name)?;
        // Hashed before the address is looked at, so that a taken one takes as long as a free one.
        let hash = self.0.hasher.hash(ctx, &password).await?;
        match self.add(ctx, email, hash, Role::User, new.display_name).await {
            Ok(registered) => Ok(registered),
            Err(AddError::Taken) => Err(RegisterError::EmailTaken),
            Err(AddError::Store(error)) => Err(error.into()),
        }
    }

    /// What is wrong with a new account, all at once.
    fn check_new(&self, email: &str, password: &Secret<String>, name: &str) -> Result<(Email, Password), Invalid> {
        let password = Password::new(password.expose());
        let mailbox = email.rsplit_once('@').map_or(email, |(mailbox, _)| mailbox);
        let mut errors = password.errors(self.0.settings.password_min_characters, &[email, mailbox, name]);
        let email = Email::new(email).map_err(|fault| errors.push(fault));
        Invalid::unless_empty(errors)?;
        email.map(|email| (email, password)).map_err(|()| Invalid::default())
    }

    async fn add(
        &self,
        ctx: &Ctx,
        email: Email,
        hash: String,
        role: Role,
        name: String,
    ) -> Result<Registered, AddError> {
        let (id, now) = (ctx.new_id(), ctx.now());
        let account = Account { id, email: email.typed().to_owned(), role, created_at: now };
        let registered = Registered { account, display_name: name };
        let network = self.kept_network(ctx.network(), email.key());
        self.0
            .store
            .tx(ctx, move |tx| {
                let (email, hash, network) = (email.clone(), hash.clone(), network.clone());
                let registered = registered.clone();
                async move {
                    if !store::add_account(&tx, id, &email, &hash, role, &network, now).await? {
                        return Err(AddError::Taken);
                    }
                    let display_name = registered.display_name.clone();
                    tx.emit(AccountRegistered { id, display_name, at: now }).await?;
                    Ok(registered)
                }
            })
            .await
    }

    /// Makes an account that may do everything. For the command line: the caller has made sure that `ctx` may do this.
    ///
    /// # Errors
    /// When the address or the password is not acceptable, somebody registered the address, or the store fails.
    pub async fn create_admin(&self, ctx: &Ctx, email: &str, password: &Secret<String>) -> Result<UserId, AdminError> {
        let name: String = email.split('@').next().unwrap_or_default().chars().take(100).collect();
        let (parsed, password) = self.check_new(email, password, &name)?;
        let hash = self.0.hasher.hash(ctx, &password).await?;
        match self.add(ctx, parsed, hash, Role::Admin, name).await {
            Ok(registered) => Ok(registered.account.id),
            Err(AddError::Taken) => Err(AdminError::AlreadyRegistered),
            Err(AddError::Store(error)) => Err(error.into()),
        }
    }

    /// Takes an account over for an administrator: it has the role and this password from now on, and its sessions end. An
    /// address alone proves nothing: anyone may have registered it, and would be the administrator otherwise.
    ///
    /// # Errors
    /// When there is none, the password is not acceptable, or the store fails.
    pub async fn promote(&self, ctx: &Ctx, email: &str, password: &Secret<String>) -> Result<UserId, AdminError> {
        let (email, password) = self.check_new(email, password, "")?;
        let (hash, now) = (self.0.hasher.hash(ctx, &password).await?, ctx.now());
        let pending = self.0.ended.pending();
        let promoted = self
            .0
            .store
            .tx(ctx, move |tx| {
                let (email, hash) = (email.clone(), hash.clone());
                async move {
                    let Some(id) = store::find_id(&tx, email.key()).await? else { return Ok::<_, StoreError>(None) };
                    store::set_role_and_password(&tx, id, Role::Admin, &hash, now).await?;
                    let sessions = store::session_ids(&tx, id).await?;
                    store::remove_all_sessions(&tx, id).await?;
                    Ok(Some((id, sessions)))
                }
            })
            .await?;
        let sessions = promoted.as_ref().map_or(&[][..], |(_, sessions)| sessions);
        pending.settle(sessions, now.plus(self.0.settings.access_token()), now);
        revocation_broadcast::tell(&self.0.bus, ctx, sessions).await;
        promoted.map(|(id, _)| id).ok_or(AdminError::AccountNotFound)
    }

    /// Whether `create_admin`, or `promote`, would find what it needs.
    pub(crate) async fn check_admin(&self, ctx: &Ctx, email: &str, is_promotion: bool) -> Result<(), AdminError> {
        let is_there = store::find_id(&self.0.store.read(ctx), &email_key(email)).await?.is_some();
        match (is_there, is_promotion) {
            (true, false) => Err(AdminError::AlreadyRegistered),
            (false, true) => Err(AdminError::AccountNotFound),
            (true, true) | (false, false) => Ok(()),
        }
    }
}
