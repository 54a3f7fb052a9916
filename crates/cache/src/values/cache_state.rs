//! What a cache, the ways to its values and its guards share.

#[cfg(feature = "redis")]
use std::sync::Weak;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "redis")]
use std::time::Duration;

use tokio::sync::Semaphore;
#[cfg(feature = "redis")]
use tokio::time::Instant;

use super::frequency_sketch::Sketch;
use super::generations::Generations;
#[cfg(feature = "redis")]
use super::key::Key;
use super::key::Target;
use super::local::Local;
#[cfg(feature = "redis")]
use super::redis_values::RedisValues;
use super::single_flight::Flights;
use super::stats::Counts;
#[cfg(feature = "redis")]
use crate::Unavailable;
use crate::{Bus, Heard};

/// What nodes tell each other to forget.
pub(super) const TOPIC: &str = "forget";
/// The most targets that are sent at once of those put off.
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

pub(crate) struct CacheState {
    pub(crate) local: Local,
    pub(crate) generations: Generations,
    pub(crate) flights: Arc<Flights>,
    pub(crate) sketch: Sketch,
    pub(crate) refreshes: Arc<Semaphore>,
    pub(super) configs: Mutex<Vec<Known>>,
    /// What other nodes say; none where there are no others.
    pub(super) bus: Option<Bus>,
    #[cfg(feature = "redis")]
    pub(crate) shared: Option<RedisValues>,
    /// The task that tells what could not be told at once.
    #[cfg(feature = "redis")]
    pub(super) keeper: Option<tokio::task::AbortHandle>,
}

/// A config that is there.
pub(super) struct Known {
    pub(super) name: String,
    #[cfg(feature = "redis")]
    pub(super) has_tags: bool,
    pub(super) counts: Arc<Counts>,
}

impl CacheState {
    pub(super) fn configs(&self) -> MutexGuard<'_, Vec<Known>> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether other nodes are heard, so that what is in this node's memory may be served.
    pub(crate) fn is_current(&self) -> bool {
        self.bus.as_ref().is_none_or(Bus::is_current)
    }

    /// What another node says.
    pub(super) fn hear(&self, heard: Heard<'_>) {
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
impl CacheState {
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

    /// Tells Redis, and then the other nodes, that a change is over: a node that hears of it must not find the old
    /// value in Redis.
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
impl Drop for CacheState {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

/// Tells what was put off, as soon as Redis is there. Ends with the cache.
#[cfg(feature = "redis")]
pub(super) fn deliver(inner: Weak<CacheState>, shared: &RedisValues) -> impl Future<Output = ()> + Send + 'static {
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
