use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::cache_state::CacheState;
#[cfg(feature = "redis")]
use super::generations::HOLD;
use super::generations::Open;
use super::key::Target;

/// Something is being changed: nothing of it is kept until this is done. Dropped without [`InvalidationGuard::done`], as when
/// the caller goes away or does not know whether its commit landed, it forgets at once and keeps nothing for
/// [`HOLD`](super::HOLD), because the commit may still land.
#[must_use = "dropped, nothing of it is kept for ten seconds"]
pub struct InvalidationGuard {
    inner: Arc<CacheState>,
    targets: Arc<[Target]>,
    /// None once it is over.
    open: Option<Open>,
    /// What is known by this nonce where nodes share.
    #[cfg(feature = "redis")]
    nonce: String,
    /// Those who share have yet to be told that it is over.
    #[cfg(feature = "redis")]
    is_untold: bool,
    /// It is known how it ended.
    #[cfg(feature = "redis")]
    is_over: bool,
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "nobody is told without Redis"))]
    deadline: Instant,
}

impl fmt::Debug for InvalidationGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changing").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl InvalidationGuard {
    /// It has begun on this node; [`InvalidationGuard::publish`] notifies those who share, or the end does.
    pub(crate) fn begin(inner: Arc<CacheState>, targets: Vec<Target>, deadline: Instant) -> Self {
        Self::new(inner, targets, deadline, false)
    }

    /// Tells those who share that it is under way. A future that is dropped leaves a change behind that may have begun.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_async, reason = "with Redis it waits"))]
    pub async fn publish(&mut self) {
        #[cfg(feature = "redis")]
        self.inner.tell_open(&self.targets, &self.nonce, self.deadline).await;
    }

    /// A change that those who share learn of only when it is over.
    pub(crate) fn over(inner: Arc<CacheState>, targets: Vec<Target>, deadline: Instant) -> Self {
        Self::new(inner, targets, deadline, true)
    }

    fn new(inner: Arc<CacheState>, targets: Vec<Target>, deadline: Instant, is_over: bool) -> Self {
        #[cfg(not(feature = "redis"))]
        let _ = is_over;
        Self {
            open: Some(inner.generations.open(&targets)),
            #[cfg(feature = "redis")]
            nonce: inner.shared.as_ref().map(super::redis_values::RedisValues::nonce).unwrap_or_default(),
            #[cfg(feature = "redis")]
            is_untold: inner.shared.is_some(),
            #[cfg(feature = "redis")]
            is_over,
            targets: targets.into(),
            inner,
            deadline,
        }
    }

    /// It is committed, or rolled back for certain. When this returns, it is forgotten on this node, and the others
    /// have been told, or will be.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_async, reason = "with Redis it waits"))]
    pub async fn done(mut self) {
        #[cfg(feature = "redis")]
        if self.is_untold {
            self.is_over = true;
            self.inner.tell_shut(&self.targets, &self.nonce, self.deadline).await;
            self.is_untold = false;
        }
        // Last: what is loaded before Redis has forgotten may have come from there.
        if let Some(open) = self.open.take() {
            self.inner.generations.shut(open);
        }
    }
}

impl Drop for InvalidationGuard {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        #[cfg(feature = "redis")]
        if self.is_untold {
            if self.is_over {
                // The caller is gone, and it is known how it ended: the others are notified when that can be done.
                self.inner.put_off(&self.targets);
                self.inner.generations.shut(open);
                return;
            }
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => {
                    let (inner, targets, nonce) =
                        (self.inner.clone(), self.targets.clone(), std::mem::take(&mut self.nonce));
                    drop(runtime.spawn(hold(inner, targets, nonce)));
                }
                Err(_) => self.inner.put_off(&self.targets),
            }
        }
        self.inner.generations.shut_later(open);
    }
}

/// Keeps a change open where nodes share, as long as its commit may still land. A cache that is dropped meanwhile
/// leaves it open there, until it ends by itself.
#[cfg(feature = "redis")]
async fn hold(inner: Arc<CacheState>, targets: Arc<[Target]>, nonce: String) {
    inner.tell_open(&targets, &nonce, Instant::now() + HOLD).await;
    let inner = {
        let weak = Arc::downgrade(&inner);
        drop(inner);
        tokio::time::sleep(HOLD).await;
        weak.upgrade()
    };
    if let Some(inner) = inner {
        inner.tell_shut(&targets, &nonce, Instant::now() + HOLD).await;
    }
}
