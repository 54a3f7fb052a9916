use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay::cache::Bus;
use mainstay::kernel::{
    Account, AccountDeleted, AccountDirectory, AccountDirectoryError, AccountRegistered, ApiError, DirectoryFuture,
    Refused, SessionId,
};
use mainstay::prelude::*;
use tokio::sync::Mutex;

use crate::ended::Ended;
use crate::error::{AdminError, HashError, LoginError, RefreshError, RegisterError};
use crate::keyring::{KeyRing, KeyRingError};
use crate::keys::{KeyError, Seal, SigningKey};
use crate::model::{Email, Password, email_key};
use crate::passwords::{Hasher, Verdict};
use crate::tokens::{self, Grant};
use crate::verifier::Verifier;
use crate::{AuthSettings, news, past, store};

/// Accounts and their sessions. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Store,
    settings: AuthSettings,
    hasher: Hasher,
    keys: Arc<KeyRing>,
    ended: Arc<Ended>,
    issuer: Arc<str>,
    verifier: Verifier,
    /// Uses of one refresh token wait for each other here before they meet in the database, where a crowd would make
    /// PostgreSQL give up on some of them. Chosen by the token's hash; held across one transaction, within its deadline.
    refreshing: [Mutex<()>; 64],
    bus: Bus,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}

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

/// Tokens as they are given out.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access: Secret<String>,
    pub(crate) refresh: Secret<String>,
    pub(crate) expires_in_s: u64,
}

/// What `create_admin` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminCreated {
    /// Made an account.
    Created(UserId),
    /// Gave an existing account the role; its password stays.
    Promoted(UserId),
}

/// Most sessions that one node remembers to have ended within the life of an access token.
const MOST_ENDED: usize = 100_000;
/// Who issues tokens where nobody has said where this is reached.
const DEVELOPMENT_ISSUER: &str = "urn:mainstay:development";
/// Longest that a key set may be kept by others.
const MOST_KEY_SET_AGE_S: u64 = 300;

const REFRESH_PREFIX: &str = "ms_rt_";
const REFRESH_BYTES: usize = 32;

/// A new refresh token and its hash, which is all that is kept.
fn new_refresh_token(ctx: &Ctx) -> (Secret<String>, Vec<u8>) {
    let bytes: [u8; REFRESH_BYTES] = ctx.random().bytes();
    let token = format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = digest(&SHA256, token.as_bytes()).as_ref().to_vec();
    (Secret::new(token), hash)
}

/// The hash of a refresh token that has the form of one.
fn refresh_hash(token: &Secret<String>) -> Option<Vec<u8>> {
    let token = token.expose();
    let random = token.strip_prefix(REFRESH_PREFIX).filter(|random| random.len() == (REFRESH_BYTES * 4).div_ceil(3))?;
    URL_SAFE_NO_PAD.decode(random).ok()?;
    Some(digest(&SHA256, token.as_bytes()).as_ref().to_vec())
}

/// How one use of a refresh token ended.
enum Use {
    /// The token is not good.
    Refused,
    /// It was spent before: its session ended now.
    Reused(SessionId),
    /// It was this one's turn.
    Rotated(Grant),
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
    pub(crate) async fn start(boot: &Boot) -> Result<Self, StartError> {
        let settings = boot.settings::<AuthSettings>("auth")?;
        let ctx = boot.ctx();
        past::resume(boot, &ctx).await.map_err(|e| StartError::caused("the sessions cannot be read", e))?;
        let hasher = Hasher::new(&ctx, &settings)?;
        let seal = Seal::new(&boot.secret().derive("signing keys"))
            .map_err(|e| StartError::caused("signing keys cannot be sealed", e))?;
        let keys = KeyRing::open(&ctx, boot.store().clone(), seal, &settings).await.map_err(|error| match error {
            KeyRingError::Key(KeyError::Sealed) => StartError::caused(
                "the signing keys in this database were sealed with another secret_key. Set secret_key to the one this \
                 database was first started with. If that one is lost, empty the table signing_keys: new keys are made, \
                 and everyone signs in again once their access token is refused.",
                error,
            ),
            other => StartError::caused("the signing keys cannot be loaded", other),
        })?;
        let public_url = &boot.all_settings().public_url;
        let issuer: Arc<str> = if public_url.is_empty() { DEVELOPMENT_ISSUER } else { public_url }.into();
        let (keys, ended) = (Arc::new(keys), Arc::new(Ended::new(MOST_ENDED)));
        let verifier = Verifier::new(boot.store().clone(), keys.clone(), ended.clone(), issuer.clone(), &settings);
        let refreshing = std::array::from_fn(|_| Mutex::new(()));
        let store = boot.store().clone();
        let bus = boot.bus().clone();
        news::hear(&bus, ended.clone(), boot.clock().clone(), settings.access_token());
        Ok(Self(Arc::new(Inner { store, settings, hasher, keys, ended, issuer, verifier, refreshing, bus })))
    }

    /// Who tells what a token stands for.
    pub(crate) fn verifier(&self) -> Verifier {
        self.0.verifier.clone()
    }

    /// How many passwords were hashed since the start, for new accounts and for checks. Tests show by it that an unknown
    /// address takes the work of a known one.
    pub fn hash_count(&self) -> u64 {
        self.0.hasher.count()
    }

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
    fn check_new(&self, email: &str, password: &Secret<String>, name: &str) -> Result<(Email, Password), Refused> {
        let password = Password::new(password.expose());
        let mailbox = email.rsplit_once('@').map_or(email, |(mailbox, _)| mailbox);
        let mut faults = password.faults(self.0.settings.password_min_characters, &[email, mailbox, name]);
        let email = Email::new(email).map_err(|fault| faults.push(fault));
        Refused::unless_empty(faults)?;
        email.map(|email| (email, password)).map_err(|()| Refused::default())
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
        self.0
            .store
            .tx(ctx, move |tx| {
                let (email, hash, registered) = (email.clone(), hash.clone(), registered.clone());
                async move {
                    if !store::add_account(&tx, id, &email, &hash, role, now).await? {
                        return Err(AddError::Taken);
                    }
                    let display_name = registered.display_name.clone();
                    tx.announce(AccountRegistered { id, display_name, at: now }).await?;
                    Ok(registered)
                }
            })
            .await
    }

    /// Signs in. The same work and the same answer, whichever of the two is wrong.
    pub(crate) async fn login(&self, ctx: &Ctx, email: &str, password: &Secret<String>) -> Result<Tokens, LoginError> {
        let found = store::find_credentials(&self.0.store.read(ctx), &email_key(email)).await?;
        let password = Password::new(password.expose());
        let verdict = self.0.hasher.check(ctx, &password, found.as_ref().map(|row| row.password_hash.as_str())).await?;
        let (Some(account), Verdict::Right { is_outdated }) = (found, verdict) else {
            return Err(LoginError::InvalidCredentials);
        };
        let mut hash = account.password_hash;
        if is_outdated {
            hash = self.rehash(ctx, account.id, hash, &password).await?;
        }
        self.open_session(ctx, account.id, hash).await?.ok_or(LoginError::InvalidCredentials)
    }

    /// Hashes a password that was just found right with today's parameters.
    async fn rehash(&self, ctx: &Ctx, id: UserId, old: String, password: &Password) -> Result<String, LoginError> {
        let (new, now) = (self.0.hasher.hash(ctx, password).await?, ctx.now());
        let kept = new.clone();
        self.0
            .store
            .tx(ctx, move |tx| {
                let (old, new) = (old.clone(), new.clone());
                async move { store::set_password_hash(&tx, id, &old, &new, now).await }
            })
            .await?;
        Ok(kept)
    }

    /// Begins a session of an account whose password hash is still this one.
    async fn open_session(&self, ctx: &Ctx, account_id: UserId, hash: String) -> Result<Option<Tokens>, StoreError> {
        let key = self.0.keys.signing(ctx).await?;
        let (session_id, now) = (ctx.new_id(), ctx.now());
        let ends_at = now.plus(self.0.settings.refresh_absolute());
        let token_ends_at = now.plus(self.0.settings.refresh_idle()).min(ends_at);
        let unused_since = now.minus(self.0.settings.refresh_idle());
        let (refresh, refresh_hash) = new_refresh_token(ctx);
        let role = self
            .0
            .store
            .tx(ctx, move |tx| {
                let (hash, refresh_hash) = (hash.clone(), refresh_hash.clone());
                async move {
                    let Some(role) = store::role_of(&tx, account_id, &hash).await? else {
                        return Ok::<_, StoreError>(None);
                    };
                    store::remove_dead_sessions(&tx, account_id, now, unused_since).await?;
                    store::add_session(&tx, session_id, account_id, now, ends_at).await?;
                    store::add_refresh_token(&tx, &refresh_hash, session_id, now, token_ends_at).await?;
                    Ok(Some(role))
                }
            })
            .await?;
        let Some(role) = role else { return Ok(None) };
        let grant = Grant { user_id: account_id, session_id, role, issued_at: now, expires_at: ends_at };
        self.tokens(ctx, &key, grant, refresh).map(Some)
    }

    /// The tokens of a session that ends at `grant.expires_at` at the latest.
    fn tokens(&self, ctx: &Ctx, key: &SigningKey, grant: Grant, refresh: Secret<String>) -> Result<Tokens, StoreError> {
        let expires_at = grant.expires_at.min(grant.issued_at.plus(self.0.settings.access_token()));
        let grant = Grant { expires_at, ..grant };
        let access = tokens::issue(key, &self.0.issuer, grant, ctx.random().bytes()).map_err(StoreError::internal)?;
        let expires_in_s = u64::try_from(grant.expires_at.as_secs() - grant.issued_at.as_secs()).unwrap_or(0);
        Ok(Tokens { access: Secret::new(access), refresh, expires_in_s })
    }

    /// Exchanges a refresh token. Of any number of uses at once one wins; every other use of a spent token ends the
    /// session, the winner's new tokens included: who came second cannot be told from a thief.
    pub(crate) async fn refresh(&self, ctx: &Ctx, token: &Secret<String>) -> Result<Tokens, RefreshError> {
        let hash = refresh_hash(token).ok_or(RefreshError::InvalidRefreshToken)?;
        let key = self.0.keys.signing(ctx).await.map_err(StoreError::from)?;
        let turn = &self.0.refreshing[usize::from(hash[0]) % self.0.refreshing.len()];
        let _turn = ctx.within(turn.lock()).await.map_err(|_| StoreError::Timeout)?;
        let (now, idle) = (ctx.now(), self.0.settings.refresh_idle());
        let (refresh, next_hash) = new_refresh_token(ctx);
        let pending = self.0.ended.pending();
        let outcome = self
            .0
            .store
            .tx(ctx, move |tx| {
                let (hash, next_hash) = (hash.clone(), next_hash.clone());
                async move {
                    let Some(row) = store::find_refresh_token(&tx, &hash).await?.filter(|row| row.ended_at.is_none())
                    else {
                        return Ok::<_, StoreError>(Use::Refused);
                    };
                    if row.spent_at.is_some() {
                        store::end_session(&tx, row.session_id, row.account_id, now).await?;
                        return Ok(Use::Reused(row.session_id));
                    }
                    if row.expires_at <= now || row.session_expires_at <= now {
                        return Ok(Use::Refused);
                    }
                    if !store::spend_refresh_token(&tx, &hash, now).await? {
                        return Ok(Use::Refused);
                    }
                    let token_ends_at = now.plus(idle).min(row.session_expires_at);
                    store::touch_session(&tx, row.session_id, now).await?;
                    store::add_refresh_token(&tx, &next_hash, row.session_id, now, token_ends_at).await?;
                    Ok(Use::Rotated(Grant {
                        user_id: row.account_id,
                        session_id: row.session_id,
                        role: row.role,
                        issued_at: now,
                        expires_at: row.session_expires_at,
                    }))
                }
            })
            .await?;
        let until = now.plus(self.0.settings.access_token());
        match outcome {
            Use::Refused => {
                pending.settle(&[], until, now);
                Err(RefreshError::InvalidRefreshToken)
            }
            Use::Reused(session_id) => {
                pending.settle(&[session_id], until, now);
                news::tell(&self.0.bus, ctx, &[session_id]).await;
                tracing::warn!(session.id = %session_id, "a spent refresh token was used; its session is ended");
                Err(RefreshError::InvalidRefreshToken)
            }
            Use::Rotated(grant) => {
                pending.settle(&[], until, now);
                Ok(self.tokens(ctx, &key, grant, refresh)?)
            }
        }
    }

    /// Ends the caller's session, and the one that `other` belongs to if it is the caller's too.
    pub(crate) async fn logout(
        &self,
        ctx: &Ctx,
        user_id: UserId,
        session_id: SessionId,
        other: Option<&Secret<String>>,
    ) -> Result<(), StoreError> {
        let (now, other) = (ctx.now(), other.and_then(refresh_hash));
        let pending = self.0.ended.pending();
        let ended = self
            .0
            .store
            .tx(ctx, move |tx| {
                let other = other.clone();
                async move {
                    let mut ended = vec![session_id];
                    if let Some(hash) = other
                        && let Some(row) = store::find_refresh_token(&tx, &hash).await?
                        && row.account_id == user_id
                    {
                        ended.push(row.session_id);
                    }
                    for id in &ended {
                        store::end_session(&tx, *id, user_id, now).await?;
                    }
                    Ok::<_, StoreError>(ended)
                }
            })
            .await?;
        pending.settle(&ended, now.plus(self.0.settings.access_token()), now);
        news::tell(&self.0.bus, ctx, &ended).await;
        Ok(())
    }

    /// The public keys, and for how many seconds others may keep the set.
    pub(crate) async fn published_keys(&self, ctx: &Ctx) -> Result<(Vec<Arc<SigningKey>>, u64), StoreError> {
        let max_age_s = (self.0.settings.key_publish_lead_s / 2).min(MOST_KEY_SET_AGE_S);
        Ok((self.0.keys.published(ctx).await?, max_age_s))
    }

    /// Makes a new signing key. It is published now and signs after `auth.key_publish_lead_s`; the present one is believed
    /// until the last token it signs has expired. Says the new key's `kid`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rotate_signing_key(&self, ctx: &Ctx) -> Result<String, StoreError> {
        Ok(self.0.keys.rotate(ctx).await?.to_string())
    }

    /// Makes an account that may do everything, or gives the one that has this address the role; its password and its
    /// sessions stay then. For the command line: the caller has made sure that `ctx` may do this.
    ///
    /// # Errors
    /// When the address or the password is not acceptable, or the store fails.
    pub async fn create_admin(
        &self,
        ctx: &Ctx,
        email: &str,
        password: &Secret<String>,
    ) -> Result<AdminCreated, AdminError> {
        match self.promote(ctx, email).await {
            Err(AdminError::AccountNotFound) => {}
            other => return other.map(AdminCreated::Promoted),
        }
        let name: String = email.split('@').next().unwrap_or_default().chars().take(100).collect();
        let (parsed, password) = self.check_new(email, password, &name)?;
        let hash = self.0.hasher.hash(ctx, &password).await?;
        match self.add(ctx, parsed, hash, Role::Admin, name).await {
            Ok(registered) => Ok(AdminCreated::Created(registered.account.id)),
            // Registered by someone else in the meantime.
            Err(AddError::Taken) => self.promote(ctx, email).await.map(AdminCreated::Promoted),
            Err(AddError::Store(error)) => Err(error.into()),
        }
    }

    /// Gives the account with this address the administrator's role. Its sessions have it from their next check on, on
    /// this node at once.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn promote(&self, ctx: &Ctx, email: &str) -> Result<UserId, AdminError> {
        let (key, now) = (email_key(email), ctx.now());
        let id = self
            .0
            .store
            .tx(ctx, move |tx| {
                let key = key.clone();
                async move {
                    let Some((id, role)) = store::find_role(&tx, &key).await? else { return Ok::<_, StoreError>(None) };
                    if role != Role::Admin {
                        store::set_role(&tx, id, Role::Admin, now).await?;
                    }
                    Ok(Some(id))
                }
            })
            .await?;
        self.0.ended.doubt_all();
        id.ok_or(AdminError::AccountNotFound)
    }

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
                tx.announce(AccountDeleted { id }).await?;
                Ok(Some(sessions))
            })
            .await?;
        let sessions = ended.as_deref().unwrap_or_default();
        pending.settle(sessions, now.plus(self.0.settings.access_token()), now);
        news::tell(&self.0.bus, ctx, sessions).await;
        Ok(ended.is_some())
    }
}

/// Most ids in one statement.
const MOST_IDS: usize = 500;

impl AccountDirectory for Accounts {
    fn find(&self, ctx: &Ctx, ids: Vec<UserId>) -> DirectoryFuture<Vec<Account>> {
        let (accounts, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            let reads = accounts.0.store.read(&ctx);
            let mut found = Vec::with_capacity(ids.len());
            for ids in ids.chunks(MOST_IDS) {
                found.extend(store::find_accounts(&reads, ids).await.map_err(directory_error)?);
            }
            Ok(found)
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

impl From<KeyRingError> for HashError {
    fn from(error: KeyRingError) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay::kernel::{Clock, Random};

    use super::*;

    #[test]
    fn a_refresh_token_is_read_in_its_one_form() {
        let ctx = Ctx::system("test", Duration::from_secs(1), &Clock::system(), &Random::os());
        let (token, hash) = new_refresh_token(&ctx);
        assert_eq!(refresh_hash(&token), Some(hash));
        let text = token.into_inner();
        for garbled in [
            String::new(),
            REFRESH_PREFIX.to_owned(),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            format!("{text}A"),
            format!("{text}="),
            text.replace("ms_rt_", "MS_RT_"),
            format!("{}!", &text[..text.len() - 1]),
            "x".repeat(1_000_000),
        ] {
            assert_eq!(refresh_hash(&Secret::new(garbled.clone())), None, "{}", garbled.len());
        }
    }
}
