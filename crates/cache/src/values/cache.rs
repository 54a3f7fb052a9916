use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
#[cfg(feature = "redis")]
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cache_config::{CacheConfig, CacheConfigError};
use super::cached::Cached;
use super::frequency_sketch::Sketch;
use super::generations::Generations;
use super::invalidation_guard::InvalidationGuard;
#[cfg(feature = "redis")]
use super::key::Key;
use super::key::Target;
use super::local::Local;
#[cfg(feature = "redis")]
use super::redis_values::RedisValues;
use super::single_flight::Flights;
use super::stats::{Counts, Hot, Stats};
#[cfg(feature = "redis")]
use crate::Unavailable;
use crate::{Backend, Bus, CacheSettings, Heard};

/// The most configs of a cache.
const MOST_CONFIGS: usize = 1000;
/// So many old values are brought anew at a time behind the backs of those who ask; the others stay old a little
/// longer.
const MOST_REFRESHES: usize = 64;

/// What nodes tell each other to forget.
const TOPIC: &str = "forget";
/// So many are told at once of what was put off.
#[cfg(feature = "redis")]
const MOST_AT_ONCE: usize = 500;
/// How long telling them may take.
#[cfg(feature = "redis")]
const TIMEOUT: Duration = Duration::from_secs(2);
/// The pauses between attempts to tell them.
#[cfg(feature = "redis")]
const LEAST_PAUSE: Duration = Duration::from_millis(50);
#[cfg(feature = "redis")]
const MOST_PAUSE: Duration = Duration::from_secs(1);
/// A message is sent off when it is longer than this, in bytes.
#[cfg(feature = "redis")]
const MOST_MESSAGE: usize = Bus::MOST_BYTES - 1024;

/// What a node remembers of what it would have to ask for, and what nodes share of that. Cheap to clone: all clones are
/// one.
#[derive(Clone)]
pub struct Cache(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) local: Local,
    pub(crate) generations: Generations,
    pub(crate) flights: Arc<Flights>,
    pub(crate) sketch: Sketch,
    pub(crate) refreshes: Arc<Semaphore>,
    configs: Mutex<Vec<Known>>,
    /// What other nodes say; none where there are no others.
    bus: Option<Bus>,
    #[cfg(feature = "redis")]
    pub(crate) shared: Option<RedisValues>,
    /// The task that tells what could not be told at once.
    #[cfg(feature = "redis")]
    keeper: Option<tokio::task::AbortHandle>,
}

/// A config that is there.
struct Known {
    name: String,
    #[cfg(feature = "redis")]
    has_tags: bool,
    counts: Arc<Counts>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache over what the nodes share; over Redis inside a runtime of tokio.
    pub fn new(settings: &CacheSettings, backend: &Backend, bus: &Bus) -> Self {
        let inner = Arc::new_cyclic(|inner: &Weak<Inner>| {
            #[cfg(feature = "redis")]
            let shared = backend.manager().cloned().map(RedisValues::new);
            #[cfg(feature = "redis")]
            let keeper = shared.as_ref().map(|shared| tokio::spawn(deliver(inner.clone(), shared)).abort_handle());
            let _ = inner;
            Inner {
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
    /// A change that is only announced once it is committed ([`Cache::forget`]) has a gap: a process that ends between
    /// the two leaves the old value to the others until its time is over.
    pub async fn invalidate(&self, targets: Vec<Target>, deadline: Instant) -> InvalidationGuard {
        let mut invalidation = self.begin(targets, deadline);
        invalidation.announce().await;
        invalidation
    }

    /// The same where nothing can be waited for: other nodes are told by [`InvalidationGuard::announce`], or at the end.
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

impl Inner {
    fn configs(&self) -> MutexGuard<'_, Vec<Known>> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether other nodes are heard, so that what is in this node's memory may be served.
    pub(crate) fn is_current(&self) -> bool {
        self.bus.as_ref().is_none_or(Bus::is_current)
    }

    /// What another node says.
    fn hear(&self, heard: Heard<'_>) {
        match heard {
            Heard::Message(lines) => {
                for line in lines.split(|byte| *byte == b'\n') {
                    match Target::read(line) {
                        Some(target) => self.generations.forget(&target),
                        // A newer program's word: it cannot mean more than everything.
                        None => self.generations.forget_all(),
                    }
                }
            }
            Heard::Gap => {
                self.generations.forget_all();
                self.local.clear();
            }
        }
    }
}

#[cfg(feature = "redis")]
impl Inner {
    /// Tells Redis and the other nodes that a change is under way. Those forget it at once, and keep nothing while it
    /// is: if this process ends in the middle, nobody has the old value for long.
    pub(crate) async fn tell_open(&self, targets: &[Target], nonce: &str, deadline: Instant) {
        let Some(shared) = &self.shared else { return };
        let told = async {
            shared.open(targets, nonce, deadline).await?;
            self.publish(targets, deadline).await
        };
        if told.await.is_err() {
            self.put_off(targets);
        }
    }

    /// Tells Redis, and then the other nodes, that a change is over: whoever hears of it must not find there what is to
    /// be forgotten.
    pub(crate) async fn tell_shut(&self, targets: &[Target], nonce: &str, deadline: Instant) {
        if self.try_shut(targets, nonce, deadline).await.is_err() {
            self.put_off(targets);
        }
    }

    async fn try_shut(&self, targets: &[Target], nonce: &str, deadline: Instant) -> Result<(), Unavailable> {
        let Some(shared) = &self.shared else { return Ok(()) };
        shared.shut(targets, nonce, deadline).await?;
        self.publish(targets, deadline).await
    }

    async fn publish(&self, targets: &[Target], deadline: Instant) -> Result<(), Unavailable> {
        let Some(bus) = &self.bus else { return Ok(()) };
        let mut message = Vec::new();
        for target in targets {
            if message.len() > MOST_MESSAGE {
                bus.publish(TOPIC, &message, deadline).await?;
                message.clear();
            }
            if !message.is_empty() {
                message.push(b'\n');
            }
            target.write(&mut message);
        }
        if message.is_empty() { Ok(()) } else { bus.publish(TOPIC, &message, deadline).await }
    }

    /// To be told later. Until then this node does without what Redis has of it.
    pub(crate) fn put_off(&self, targets: &[Target]) {
        let Some(shared) = &self.shared else { return };
        let tagged =
            || self.configs().iter().filter(|known| known.has_tags).map(|known| Key::of(&known.name)).collect();
        shared.pending.add(targets, tagged);
    }

    /// Tells some of what was put off. Whether that was done.
    async fn catch_up(&self) -> bool {
        let Some(shared) = &self.shared else { return true };
        let some = shared.pending.some(MOST_AT_ONCE);
        let targets: Vec<Target> = some.iter().map(|(target, _)| target.clone()).collect();
        let told = self.try_shut(&targets, &shared.nonce(), Instant::now() + TIMEOUT).await;
        if told.is_ok() {
            shared.pending.told(&some);
        }
        told.is_ok()
    }
}

#[cfg(feature = "redis")]
impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

/// Tells what was put off, as soon as Redis is there. Ends with the cache.
#[cfg(feature = "redis")]
fn deliver(inner: Weak<Inner>, shared: &RedisValues) -> impl Future<Output = ()> + Send + 'static {
    let (pending, mut status) = (shared.pending.clone(), shared.manager().watch());
    async move {
        loop {
            pending.news().await;
            let mut pause = LEAST_PAUSE;
            while pending.count() > 0 {
                let Some(inner) = inner.upgrade() else { return };
                let is_done = inner.catch_up().await;
                drop(inner);
                if is_done {
                    continue;
                }
                tokio::select! {
                    changed = status.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(MOST_PAUSE);
            }
        }
    }
}
