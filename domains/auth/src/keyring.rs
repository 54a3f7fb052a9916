use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use mainstay::kernel::{Ctx, Json, Time};
use mainstay::store::{Store, StoreError};

use crate::keys::{KeyError, Seal, SigningKey, SigningKeyId};
use crate::store::{self, SigningKeyRow};
use crate::{AuthSettings, SigningAlgorithm};

/// This process's copy of the signing keys, which live in the store, sealed, so that every node has them. Held by the
/// service, which signs with them, and by the verifier.
#[derive(Debug)]
pub(crate) struct KeyRing {
    store: Store,
    seal: Arc<Seal>,
    keys: RwLock<Arc<Vec<Arc<SigningKey>>>>,
    /// When the copy was last made, or that was last tried, in microseconds.
    loaded_at: AtomicI64,
    algorithm: SigningAlgorithm,
    lead: Duration,
    reload: Duration,
    /// How long after its successor begins a key is still believed.
    tail: Duration,
}

/// Between the clocks of two nodes, and for what was signed at the last moment.
const SLACK: Duration = Duration::from_secs(60);

impl KeyRing {
    /// Loads the keys; makes one where there is none of the algorithm that is set.
    pub(crate) async fn open(
        ctx: &Ctx,
        store: Store,
        seal: Seal,
        settings: &AuthSettings,
    ) -> Result<Self, KeyRingError> {
        let ring = Self {
            store,
            seal: Arc::new(seal),
            keys: RwLock::default(),
            loaded_at: AtomicI64::new(0),
            algorithm: settings.signing_algorithm,
            lead: Duration::from_secs(settings.key_publish_lead_s),
            reload: Duration::from_secs(settings.key_reload_s),
            tail: settings.access_token() + SLACK,
        };
        // Opened before one is added: with another secret, nothing may be changed.
        ring.load(ctx).await?;
        ring.ensure(ctx).await?;
        ring.load(ctx).await?;
        Ok(ring)
    }

    /// Makes sure that there is a key of the algorithm. Two nodes that start at once end with one key.
    async fn ensure(&self, ctx: &Ctx) -> Result<(), KeyRingError> {
        if self.keys().iter().any(|key| key.retires_at.is_none() && key.algorithm() == self.algorithm) {
            return Ok(());
        }
        self.add(ctx, true).await.map(drop)
    }

    /// Makes a new key and publishes it. It signs once everyone has had the time to learn of it; the present ones are
    /// believed until their tokens have expired.
    pub(crate) async fn rotate(&self, ctx: &Ctx) -> Result<SigningKeyId, KeyRingError> {
        let id = self.add(ctx, false).await?;
        self.load(ctx).await?;
        Ok(id)
    }

    async fn add(&self, ctx: &Ctx, only_if_missing: bool) -> Result<SigningKeyId, KeyRingError> {
        let (algorithm, id, now) = (self.algorithm, ctx.new_id(), ctx.now());
        let (seal, random) = (self.seal.clone(), ctx.random().clone());
        // An RSA key takes long enough to make others wait.
        let (sealed, jwk) = tokio::task::spawn_blocking(move || {
            let key = SigningKey::generate(id, algorithm, now)?;
            let sealed = seal.close(&key, &random)?;
            Ok::<_, KeyError>((sealed, key.jwk().clone()))
        })
        .await
        .map_err(StoreError::internal)??;
        let public = Json::new(serde_json::to_value(jwk).map_err(StoreError::internal)?);
        let (lead, tail) = (self.lead, self.tail);
        let kept = self
            .store
            .tx(ctx, move |tx| {
                let (sealed, public) = (sealed.clone(), public.clone());
                async move {
                    let known = store::list_signing_keys(&tx, now).await?;
                    if only_if_missing && let Some(known) = known.iter().find(|key| key.is_unretired(algorithm)) {
                        return Ok::<_, StoreError>(known.id);
                    }
                    // The first of all keys signs at once: nobody can know another.
                    let not_before = if known.is_empty() { now } else { now.plus(lead) };
                    let algorithm = algorithm.name().to_owned();
                    let key = SigningKeyRow { id, algorithm, sealed, not_before, retires_at: None };
                    store::add_signing_key(&tx, &key, public, now).await?;
                    store::retire_other_keys(&tx, id, not_before.plus(tail), now).await?;
                    Ok(id)
                }
            })
            .await?;
        Ok(kept)
    }

    /// Copies the keys from the store, and opens those that are new.
    async fn load(&self, ctx: &Ctx) -> Result<(), KeyRingError> {
        let now = ctx.now();
        self.loaded_at.store(now.as_micros(), Ordering::SeqCst);
        let rows = store::list_signing_keys(&self.store.read(ctx), now).await?;
        let known = self.keys();
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let same = known
                .iter()
                .find(|key| key.id() == row.id && key.retires_at == row.retires_at && key.not_before == row.not_before);
            keys.push(match same {
                Some(key) => key.clone(),
                None => {
                    // An algorithm that only a newer version knows.
                    let Some(algorithm) = SigningAlgorithm::from_name(&row.algorithm) else { continue };
                    Arc::new(self.seal.open(row.id, algorithm, &row.sealed, row.not_before, row.retires_at)?)
                }
            });
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    fn keys(&self) -> Arc<Vec<Arc<SigningKey>>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_due(&self, now: Time) -> bool {
        now >= Time::from_micros(self.loaded_at.load(Ordering::SeqCst)).plus(self.reload)
    }

    /// The keys whose tokens are believed, also those that will sign: for publication.
    pub(crate) async fn published(&self, ctx: &Ctx) -> Result<Vec<Arc<SigningKey>>, KeyRingError> {
        if self.is_due(ctx.now()) {
            self.load(ctx).await?;
        }
        let is_believed = |key: &Arc<SigningKey>| key.retires_at.is_none_or(|at| at > ctx.now());
        Ok(self.keys().iter().filter(|key| is_believed(key)).cloned().collect())
    }

    /// The key that signs now: the one that began last. Where none has begun, the clock was set back behind the first of
    /// them; that one signs then, for without any nobody could sign in until the clock has caught up.
    pub(crate) async fn signing(&self, ctx: &Ctx) -> Result<Arc<SigningKey>, KeyRingError> {
        let keys = self.published(ctx).await?;
        let begun = keys.iter().filter(|key| key.not_before <= ctx.now());
        let latest = begun.max_by_key(|key| (key.not_before, key.id()));
        let key = latest.or_else(|| keys.iter().min_by_key(|key| (key.not_before, key.id())));
        key.cloned().ok_or(KeyRingError::Missing)
    }

    /// The key of this name, if this process knows it and its tokens are believed. Does no I/O.
    pub(crate) fn find(&self, id: SigningKeyId, now: Time) -> Option<Arc<SigningKey>> {
        self.keys().iter().find(|key| key.id() == id && key.retires_at.is_none_or(|at| at > now)).cloned()
    }

    /// Whether a name that is not known may be looked for in the store: once in a while, however many are sent. The
    /// caller to whom this says yes does it, by [`KeyRing::find_again`].
    pub(crate) fn may_look(&self, now: Time) -> bool {
        let before = self.loaded_at.load(Ordering::SeqCst);
        self.is_due(now)
            && self.loaded_at.compare_exchange(before, now.as_micros(), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The key of this name, after a look into the store.
    pub(crate) async fn find_again(
        &self,
        ctx: &Ctx,
        id: SigningKeyId,
    ) -> Result<Option<Arc<SigningKey>>, KeyRingError> {
        self.load(ctx).await?;
        Ok(self.find(id, ctx.now()))
    }
}

/// Why there are no keys.
#[derive(Debug)]
pub(crate) enum KeyRingError {
    /// The store failed.
    Store(StoreError),
    /// A key is sealed with another secret, or broken.
    Key(KeyError),
    /// None has begun to sign.
    Missing,
}

impl std::fmt::Display for KeyRingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Missing => f.write_str("there is no signing key"),
        }
    }
}

impl std::error::Error for KeyRingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Key(_) | Self::Missing => None,
        }
    }
}

impl From<StoreError> for KeyRingError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<KeyError> for KeyRingError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<KeyRingError> for StoreError {
    /// What a caller sees: the store's own answer, or a bug in the server.
    fn from(error: KeyRingError) -> Self {
        match error {
            KeyRingError::Store(error) => error,
            other => StoreError::internal(other),
        }
    }
}
