use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use mainstay::cache::Bus;
use mainstay::kernel::{
    Account, AccountDeleted, AccountDirectory, AccountDirectoryError, AccountFilter, AccountRegistered, ApiError,
    DirectoryFuture, Invalid, SessionId,
};
use mainstay::prelude::*;
use mainstay::store::MOST_KEYS;
use tokio::sync::Mutex;

use crate::error::{AdminError, HashError, LoginError, RefreshError, RegisterError};
use crate::forms::Forms;
use crate::keyring::{KeyRing, KeyRingError};
use crate::keys::{KeyError, Seal, SigningKey};
use crate::model::{Email, Password, email_key};
use crate::passwords::{Hasher, Verdict};
use crate::refresh::{Genuine, RefreshTokens, Seed};
use crate::revocation::Revocations;
use crate::store::CredentialsRow;
use crate::tokens::{self, Grant};
use crate::verifier::Verifier;
use crate::{AuthSettings, clock_guard, revocation_broadcast, store};

/// Accounts and their sessions. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Store,
    settings: AuthSettings,
    hasher: Hasher,
    forms: Forms,
    refresh_tokens: RefreshTokens,
    /// Makes networks unreadable where they are kept.
    network_key: hmac::Key,
    keys: Arc<KeyRing>,
    ended: Arc<Revocations>,
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

/// Most sessions that one node remembers to have ended within the life of an access token.
const MOST_ENDED: usize = 100_000;
/// Who issues tokens where nobody has said where this is reached.
const DEVELOPMENT_ISSUER: &str = "urn:mainstay:development";
/// Longest that a key set may be kept by others.
const MOST_KEY_SET_AGE_S: u64 = 300;

/// How often a password that was found right is checked against a hash that took the place of the one before. Each time
/// somebody else has just signed in with it too, or changed it.
const MOST_CHECKS: usize = 4;

/// Somebody wants to sign in: the account they mean, if there is one, and from where.
pub(crate) struct Attempt {
    email_key: String,
    network: Vec<u8>,
    found: Option<CredentialsRow>,
}

impl Attempt {
    /// By what wrong passwords are counted: the account; or, in a network where it is at home, the two together. So whoever
    /// guesses elsewhere uses up nothing of its owner's. Both look alike to who is refused.
    pub(crate) fn subject(&self) -> String {
        let is_at_home = self.found.as_ref().is_some_and(|found| found.signs_of_home > 0);
        if is_at_home { format!("{}\n{:02x?}", self.email_key, self.network) } else { self.email_key.clone() }
    }
}

/// How one use of a refresh token ended.
enum Use {
    /// The token is not good.
    Invalid,
    /// It was spent before: its session ended now.
    Reused,
    /// It was this one's turn, or it was spent so lately that its successor is given once more: the one made with this seed.
    Good(Grant, Seed),
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
        clock_guard::resume(boot, &ctx).await.map_err(|e| StartError::caused("the sessions cannot be read", e))?;
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
        let (keys, ended) = (Arc::new(keys), Arc::new(Revocations::new(MOST_ENDED)));
        let verifier = Verifier::new(boot.store().clone(), keys.clone(), ended.clone(), issuer.clone(), &settings);
        let bus = boot.bus().clone();
        revocation_broadcast::hear(&bus, ended.clone(), boot.clock().clone(), settings.access_token());
        let forms = Forms::settle(&ctx, boot.store(), &hasher)
            .await
            .map_err(|e| StartError::caused("the forms of stored passwords cannot be read", e))?;
        Ok(Self(Arc::new(Inner {
            store: boot.store().clone(),
            settings,
            hasher,
            forms,
            refresh_tokens: RefreshTokens::new(|purpose| boot.secret().derive(purpose)),
            network_key: hmac::Key::new(hmac::HMAC_SHA256, &boot.secret().derive("networks of sessions")),
            keys,
            ended,
            issuer,
            verifier,
            refreshing: std::array::from_fn(|_| Mutex::new(())),
            bus,
        })))
    }

    /// The network that asks, as it is kept with an account of this address.
    fn kept_network(&self, network: Option<u128>, email_key: &str) -> Vec<u8> {
        let mut keyed = hmac::Context::with_key(&self.0.network_key);
        keyed.update(&network.unwrap_or(u128::MAX).to_be_bytes());
        keyed.update(email_key.as_bytes());
        keyed.sign().as_ref()[..16].to_vec()
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

    /// Looks up whom somebody wants to sign in as.
    pub(crate) async fn attempt(&self, ctx: &Ctx, email: &str) -> Result<Attempt, StoreError> {
        let email_key = email_key(email);
        let network = self.kept_network(ctx.network(), &email_key);
        let found = store::find_credentials(&self.0.store.read(ctx), &email_key, &network).await?;
        let hash = found.as_ref().map(|row| row.password_hash.as_str());
        if let Err(error) = self.0.forms.follow(ctx, &self.0.store, &self.0.hasher, hash).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the forms of stored passwords are not known anew"
            );
        }
        Ok(Attempt { email_key, network, found })
    }

    /// Signs in. The same work and the same answer, whichever of the two is wrong. `admit` is asked just before the password
    /// is checked, once it is this one's turn: so no more are checked than it admits, and who waits costs nothing yet.
    pub(crate) async fn login(
        &self,
        ctx: &Ctx,
        attempt: Attempt,
        password: &Secret<String>,
        admit: impl AsyncFnOnce() -> Result<(), LoginError>,
    ) -> Result<Tokens, LoginError> {
        let Attempt { email_key, network, mut found } = attempt;
        let password = Password::new(password.expose());
        let mut turn = self.0.hasher.turn(ctx).await?;
        admit().await?;
        for n in 1.. {
            let hash = found.as_ref().map(|row| row.password_hash.as_str());
            let verdict = self.0.hasher.check(ctx, turn, &password, hash).await?;
            let (Some(CredentialsRow { id, password_hash, .. }), Verdict::Right { is_outdated }) = (found, verdict)
            else {
                return Err(LoginError::InvalidCredentials);
            };
            // Once: nodes that hash differently would undo each other's for ever. And only where there is room: it can wait
            // until the next time.
            let rehashed = match is_outdated && n == 1 {
                true => match self.0.hasher.hash(ctx, &password).await {
                    Ok(hash) => Some(hash),
                    Err(HashError::Busy) => None,
                    Err(error) => return Err(error.into()),
                },
                false => None,
            };
            if let Some(tokens) = self.open_session(ctx, id, password_hash, rehashed, network.clone()).await? {
                return Ok(tokens);
            }
            // The hash is another meanwhile: somebody else who signed in has made it anew, or the password was changed.
            if n == MOST_CHECKS {
                break;
            }
            found = store::find_credentials(&self.0.store.read(ctx), &email_key, &network).await?;
            turn = self.0.hasher.turn(ctx).await?;
        }
        Err(LoginError::InvalidCredentials)
    }

    /// Begins a session of an account whose password hash is still this one, and puts `rehashed` in its place.
    async fn open_session(
        &self,
        ctx: &Ctx,
        account_id: UserId,
        hash: String,
        rehashed: Option<String>,
        network: Vec<u8>,
    ) -> Result<Option<Tokens>, StoreError> {
        let key = self.0.keys.signing(ctx).await?;
        let (session_id, now) = (ctx.new_id(), ctx.now());
        let ends_at = now.plus(self.0.settings.refresh_absolute());
        let token_ends_at = now.plus(self.0.settings.refresh_idle()).min(ends_at);
        let unused_since = now.minus(self.0.settings.refresh_idle());
        let others = self.0.settings.sessions_per_account.saturating_sub(1);
        let (refresh, refresh_hash) = self.0.refresh_tokens.make(session_id, ctx.random().bytes());
        let pending = self.0.ended.pending();
        let opened = self
            .0
            .store
            .tx(ctx, move |tx| {
                let (hash, rehashed) = (hash.clone(), rehashed.clone());
                let (refresh_hash, network) = (refresh_hash.clone(), network.clone());
                async move {
                    let Some(role) = store::role_of(&tx, account_id, &hash).await? else {
                        return Ok::<_, StoreError>(None);
                    };
                    if let Some(rehashed) = &rehashed {
                        store::set_password_hash(&tx, account_id, rehashed, now).await?;
                    }
                    store::remove_dead_sessions(&tx, account_id, now, unused_since).await?;
                    let ended = store::remove_oldest_sessions(&tx, account_id, others).await?;
                    store::add_session(&tx, session_id, account_id, &network, now, ends_at).await?;
                    store::add_refresh_token(&tx, &refresh_hash, session_id, now, token_ends_at).await?;
                    Ok(Some((role, ended)))
                }
            })
            .await?;
        let ended = opened.as_ref().map_or(&[][..], |(_, ended)| ended);
        pending.settle(ended, now.plus(self.0.settings.access_token()), now);
        revocation_broadcast::tell(&self.0.bus, ctx, ended).await;
        let Some((role, _)) = opened else { return Ok(None) };
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

    /// Exchanges a refresh token: it is spent, and its successor is the only good one of its session. Asked again within
    /// `refresh_grace_s` and before the successor is used, it gives the same successor. Every other use of a spent one ends
    /// the session: who came second cannot be told from a thief.
    pub(crate) async fn refresh(&self, ctx: &Ctx, token: &Secret<String>) -> Result<Tokens, RefreshError> {
        let Genuine { session_id, hash } =
            self.0.refresh_tokens.read(token).ok_or(RefreshError::InvalidRefreshToken)?;
        let key = self.0.keys.signing(ctx).await.map_err(StoreError::from)?;
        let turn = &self.0.refreshing[usize::from(hash[0]) % self.0.refreshing.len()];
        let _turn = ctx.within(turn.lock()).await.map_err(|_| StoreError::Timeout)?;
        let new_seed: Seed = ctx.random().bytes();
        let (_, next_hash) = self.0.refresh_tokens.successor(token, session_id, &new_seed);
        let (now, accounts) = (ctx.now(), self.clone());
        let pending = self.0.ended.pending();
        let network = ctx.network();
        let outcome = self
            .0
            .store
            .tx(ctx, move |tx| {
                let (hash, next_hash) = (hash.clone(), next_hash.clone());
                let accounts = accounts.clone();
                async move {
                    let settings = &accounts.0.settings;
                    let Some(row) = store::find_refresh(&tx, session_id, &hash).await? else {
                        return Ok::<_, StoreError>(Use::Invalid);
                    };
                    if row.ended_at.is_some() || row.session_expires_at <= now {
                        return Ok(Use::Invalid);
                    }
                    let grant = Grant {
                        user_id: row.account_id,
                        session_id,
                        role: row.role,
                        issued_at: now,
                        expires_at: row.session_expires_at,
                    };
                    // It is the latest that was spent, or nothing would be kept of it: its successor was not used.
                    let lately = row.spent_at.filter(|spent_at| now < spent_at.plus(settings.refresh_grace()));
                    let seed = lately.and(row.seed).and_then(|seed| Seed::try_from(seed).ok());
                    match (row.token_expires_at, row.spent_at, seed) {
                        (Some(_), Some(_), Some(seed)) => return Ok(Use::Good(grant, seed)),
                        (Some(expires_at), None, _) if expires_at <= now => return Ok(Use::Invalid),
                        (Some(_), None, _) => {}
                        (None, ..) | (Some(_), Some(_), None) => {
                            store::end_stolen_session(&tx, session_id, now).await?;
                            return Ok(Use::Reused);
                        }
                    }
                    if !store::spend_refresh_token(&tx, &hash, session_id, &new_seed, now).await? {
                        return Ok(Use::Invalid);
                    }
                    let token_ends_at = now.plus(settings.refresh_idle()).min(row.session_expires_at);
                    let network = accounts.kept_network(network, &row.email_key);
                    store::touch_session(&tx, session_id, &network, now).await?;
                    store::add_refresh_token(&tx, &next_hash, session_id, now, token_ends_at).await?;
                    Ok(Use::Good(grant, new_seed))
                }
            })
            .await?;
        let until = now.plus(self.0.settings.access_token());
        match outcome {
            Use::Invalid => {
                pending.settle(&[], until, now);
                Err(RefreshError::InvalidRefreshToken)
            }
            Use::Reused => {
                pending.settle(&[session_id], until, now);
                revocation_broadcast::tell(&self.0.bus, ctx, &[session_id]).await;
                tracing::warn!(session.id = %session_id, "a spent refresh token was used; its session is ended");
                Err(RefreshError::InvalidRefreshToken)
            }
            Use::Good(grant, seed) => {
                pending.settle(&[], until, now);
                let (refresh, _) = self.0.refresh_tokens.successor(token, session_id, &seed);
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
        let (now, other) = (ctx.now(), other.and_then(|token| self.0.refresh_tokens.read(token)));
        let pending = self.0.ended.pending();
        let ended = self
            .0
            .store
            .tx(ctx, move |tx| {
                let other = other.clone();
                async move {
                    let mut ended = vec![session_id];
                    if let Some(Genuine { session_id, hash }) = other
                        && let Some(row) = store::find_refresh(&tx, session_id, &hash).await?
                        && row.account_id == user_id
                    {
                        ended.push(session_id);
                    }
                    for id in &ended {
                        store::end_session(&tx, *id, user_id, now).await?;
                    }
                    Ok::<_, StoreError>(ended)
                }
            })
            .await?;
        pending.settle(&ended, now.plus(self.0.settings.access_token()), now);
        revocation_broadcast::tell(&self.0.bus, ctx, &ended).await;
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

impl From<KeyRingError> for HashError {
    fn from(error: KeyRingError) -> Self {
        Self::Failed(error.into())
    }
}
