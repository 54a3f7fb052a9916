mod directory;
mod registration;
mod sessions;
mod signing_keys;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use mainstay::cache::Bus;
use mainstay::prelude::*;
use tokio::sync::Mutex;

use crate::error::HashError;
use crate::forms::Forms;
use crate::keyring::{KeyRing, KeyRingError};
use crate::keys::{KeyError, Seal};
use crate::passwords::Hasher;
use crate::refresh::RefreshTokens;
use crate::revocation::Revocations;
use crate::verifier::Verifier;
use crate::{AuthSettings, clock_guard, revocation_broadcast};

pub use registration::Registered;
pub(crate) use registration::Registration;
pub(crate) use sessions::Tokens;

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

/// Most sessions that one node remembers to have ended within the life of an access token.
const MOST_ENDED: usize = 100_000;
/// Who issues tokens where nobody has said where this is reached.
const DEVELOPMENT_ISSUER: &str = "urn:mainstay:development";

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
}

impl From<KeyRingError> for HashError {
    fn from(error: KeyRingError) -> Self {
        Self::Failed(error.into())
    }
}
