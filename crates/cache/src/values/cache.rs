use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cache_config::{CacheConfig, CacheConfigError};
#[cfg(feature = "redis")]
use super::cache_state::deliver;
use super::cache_state::{CacheState, Known, TOPIC};
use super::cached::Cached;
use super::frequency_sketch::Sketch;
use super::generations::Generations;
use super::invalidation_guard::InvalidationGuard;
use super::key::Target;
use super::local::Local;
#[cfg(feature = "redis")]
use super::redis_values::RedisValues;
use super::single_flight::Flights;
use super::stats::{Counts, Hot, Stats};
use crate::{Backend, Bus, CacheSettings};

/// The most configs of a cache.
const MOST_CONFIGS: usize = 1000;
/// The most old values that are refreshed at a time in the background; the others stay old a little longer.
const MOST_REFRESHES: usize = 64;

/// What a node remembers of what it would have to ask for, and what nodes share of that. Cheap to clone: all clones are
/// one.
#[derive(Clone)]
pub struct Cache(pub(crate) Arc<CacheState>);

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache over what the nodes share; over Redis inside a runtime of tokio.
    pub fn new(settings: &CacheSettings, backend: &Backend, bus: &Bus) -> Self {
        let inner = Arc::new_cyclic(|inner: &Weak<CacheState>| {
            #[cfg(feature = "redis")]
            let shared = backend.manager().cloned().map(RedisValues::new);
            #[cfg(feature = "redis")]
            let keeper = shared.as_ref().map(|shared| tokio::spawn(deliver(inner.clone(), shared)).abort_handle());
            let _ = inner;
            CacheState {
                local: Local::new(settings.memory_bytes),
                generations: Generations::new(),
                flights: Arc::new(Flights::new()),
                sketch: Sketch::new(),
                refreshes: Arc::new(Semaphore::new(MOST_REFRESHES)),
                configs: Mutex::default(),
                bus: backend.is_shared().then(|| bus.clone()),
                #[cfg(feature = "redis")]
                shared,
                #[cfg(feature = "redis")]
                keeper,
            }
        });
        if backend.is_shared() {
            let inner = Arc::downgrade(&inner);
            bus.subscribe(TOPIC, move |heard| {
                if let Some(inner) = inner.upgrade() {
                    inner.hear(heard);
                }
            });
        }
        Self(inner)
    }

    /// A way to values of one kind.
    ///
    /// # Errors
    /// When the config cannot be followed, or there is one of its name.
    pub fn configure<T: Send + Sync + 'static>(&self, config: CacheConfig<T>) -> Result<Cached<T>, CacheConfigError> {
        config.check()?;
        let mut configs = self.0.configs();
        if configs.iter().any(|known| known.name == config.name) {
            return Err(CacheConfigError::Taken);
        }
        if configs.len() == MOST_CONFIGS {
            return Err(CacheConfigError::TooMany);
        }
        let counts = Arc::new(Counts::default());
        let number = u32::try_from(configs.len()).unwrap_or(u32::MAX);
        configs.push(Known {
            name: config.name.clone(),
            #[cfg(feature = "redis")]
            has_tags: config.tags.is_some(),
            counts: counts.clone(),
        });
        Ok(Cached::new(self.0.clone(), config, number, counts))
    }

    /// Says what is about to change, before the change is committed: from now on nothing of it is kept, on any node,
    /// until [`InvalidationGuard::done`]. What can be told to others within `deadline` is; the rest is caught up on.
    ///
    /// A change that is only published once it is committed ([`Cache::forget`]) has a gap: a process that ends between
    /// the two leaves the old value to the others until its time is over.
    pub async fn invalidate(&self, targets: Vec<Target>, deadline: Instant) -> InvalidationGuard {
        let mut invalidation = self.begin(targets, deadline);
        invalidation.publish().await;
        invalidation
    }

    /// The same where nothing can be waited for: [`InvalidationGuard::publish`] notifies other nodes, or the end does.
    pub fn begin(&self, targets: Vec<Target>, deadline: Instant) -> InvalidationGuard {
        InvalidationGuard::begin(self.0.clone(), targets, deadline)
    }

    /// Forgets what has changed, everywhere. When this returns, no `get` on this node returns what was loaded before;
    /// other nodes have been told, or will be.
    pub async fn forget(&self, targets: Vec<Target>, deadline: Instant) {
        InvalidationGuard::over(self.0.clone(), targets, deadline).done().await;
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        let configs = self.0.configs();
        let configs = configs.iter().map(|known| known.counts.read(&known.name)).collect();
        #[cfg(feature = "redis")]
        let pending_invalidations = self.0.shared.as_ref().map_or(0, |shared| shared.pending.count());
        #[cfg(not(feature = "redis"))]
        let pending_invalidations = 0;
        Stats { configs, pending_invalidations }
    }

    /// The keys that are asked for most, 64 at most: one of 16 asks is looked at.
    pub fn hottest(&self, most: usize) -> Vec<Hot> {
        self.0.sketch.hottest(most).into_iter().map(|(key, asks)| Hot { key, asks }).collect()
    }
}
