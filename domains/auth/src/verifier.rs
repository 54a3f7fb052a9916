use std::sync::Arc;
use std::time::Duration;

use mainstay::kernel::{Ctx, Identity, Role, SessionId, Time, UserId};
use mainstay::store::Store;
use mainstay::web::{AccessError, Authenticate, Authentication, SignIn};
use quick_cache::sync::Cache;

use crate::keyring::KeyRing;
use crate::revocation::{RevocationStatus, Revocations};
use crate::{AuthSettings, store, tokens};

/// Tells who a bearer token stands for. Verifying a signature and asking for the session takes some 100 µs, so verdicts
/// are remembered by the token's whole text; each is still judged by time and revocation on every use, and formed again
/// when it is older than `session_recheck_s`.
#[derive(Debug, Clone)]
pub(crate) struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    keys: Arc<KeyRing>,
    ended: Arc<Revocations>,
    issuer: Arc<str>,
    recheck: Duration,
    verdicts: Cache<Box<str>, Verdict>,
}

/// A token that was found good.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    user_id: UserId,
    session_id: SessionId,
    role: Role,
    expires_at: Time,
    /// When the session was last asked for.
    checked_at: Time,
    /// What [`Ended::generation`] was before that.
    generation: u64,
}

/// Whom a token whose signature is good names; whether the session lives is another question.
#[derive(Debug, Clone, Copy)]
struct Named {
    user_id: UserId,
    session_id: SessionId,
    expires_at: Time,
}

impl Verifier {
    pub(crate) fn new(
        store: Store,
        keys: Arc<KeyRing>,
        ended: Arc<Revocations>,
        issuer: Arc<str>,
        settings: &AuthSettings,
    ) -> Self {
        let recheck = Duration::from_secs(settings.session_recheck_s);
        let verdicts = Cache::new(settings.token_cache_entries);
        Self(Arc::new(Inner { store, keys, ended, issuer, recheck, verdicts }))
    }

    /// Looks the session up.
    fn ask(&self, ctx: &Ctx, token: &str, named: Named) -> Authentication {
        let (inner, ctx, token) = (self.0.clone(), ctx.clone(), Box::from(token));
        Authentication::Later(Box::pin(async move { inner.ask(&ctx, token, named).await }))
    }
}

impl Inner {
    async fn ask(&self, ctx: &Ctx, token: Box<str>, named: Named) -> Result<Identity, AccessError> {
        let generation = self.ended.generation();
        let now = ctx.now();
        let session = store::find_live_session(&self.store.read(ctx), named.session_id).await.map_err(undecided)?;
        let live = session.filter(|(user_id, _, expires_at)| *user_id == named.user_id && *expires_at > now);
        let Some((user_id, role, _)) = live else {
            self.verdicts.remove(&*token);
            return Err(AccessError::InvalidToken);
        };
        let Named { session_id, expires_at, .. } = named;
        self.verdicts.insert(token, Verdict { user_id, session_id, role, expires_at, checked_at: now, generation });
        Ok(Identity::User { user_id, session_id, role })
    }

    fn named(&self, claims: &tokens::Claims) -> Named {
        let expires_at = Time::from_micros(claims.exp.saturating_mul(1_000_000));
        Named { user_id: claims.sub, session_id: claims.sid, expires_at }
    }
}

impl Authenticate for Verifier {
    fn sign_in(&self) -> Option<SignIn> {
        Some(SignIn { register: Some("register"), login: "login", refresh: "refresh", logout: "logout" })
    }

    fn authenticate(&self, ctx: &Ctx, token: &str) -> Authentication {
        let (inner, now) = (&*self.0, ctx.now());
        let refused = Authentication::Now(Err(AccessError::InvalidToken));
        // Checked before the text is hashed for the look-up.
        if token.len() > tokens::MOST_BYTES {
            return refused;
        }
        if let Some(verdict) = inner.verdicts.get(token) {
            let Verdict { user_id, session_id, role, expires_at, checked_at, generation } = verdict;
            if now >= expires_at {
                return refused;
            }
            return match inner.ended.status(session_id, generation) {
                RevocationStatus::Ended => refused,
                RevocationStatus::Clear if now < checked_at.plus(inner.recheck) => {
                    Authentication::Now(Ok(Identity::User { user_id, session_id, role }))
                }
                RevocationStatus::Clear | RevocationStatus::Unsure => {
                    self.ask(ctx, token, Named { user_id, session_id, expires_at })
                }
            };
        }
        let Ok(unverified) = tokens::parse(token) else { return refused };
        match inner.keys.find(unverified.kid, now) {
            Some(key) => match unverified.verify(&key, &inner.issuer, now) {
                Ok(claims) => self.ask(ctx, token, inner.named(&claims)),
                Err(tokens::NotGood) => refused,
            },
            None if inner.keys.may_look(now) => {
                let (inner, ctx, token): (_, _, Box<str>) = (self.0.clone(), ctx.clone(), Box::from(token));
                Authentication::Later(Box::pin(async move {
                    let unverified = tokens::parse(&token).map_err(|_| AccessError::InvalidToken)?;
                    let key = inner.keys.find_again(&ctx, unverified.kid).await.map_err(undecided)?;
                    let claims = key.ok_or(AccessError::InvalidToken).and_then(|key| {
                        unverified.verify(&key, &inner.issuer, ctx.now()).map_err(|_| AccessError::InvalidToken)
                    })?;
                    let named = inner.named(&claims);
                    inner.ask(&ctx, token, named).await
                }))
            }
            None => refused,
        }
    }
}

/// The store, or a key, cannot be asked. The caller learns no more than that; the log learns why.
fn undecided(error: impl std::error::Error) -> AccessError {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(error = %error, cause, "a token cannot be judged");
    AccessError::AuthUnavailable
}
