//! Signing in, going on with a session, and ending it.

use mainstay::kernel::SessionId;
use mainstay::prelude::*;

use super::Accounts;
use crate::error::{HashError, LoginError, RefreshError};
use crate::keys::SigningKey;
use crate::model::{Password, email_key};
use crate::passwords::Verdict;
use crate::refresh::{Genuine, Seed};
use crate::store::CredentialsRow;
use crate::tokens::{self, Grant};
use crate::{revocation_broadcast, store};

/// Tokens as they are given out.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access: Secret<String>,
    pub(crate) refresh: Secret<String>,
    pub(crate) expires_in_s: u64,
}

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

impl Accounts {
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
}
