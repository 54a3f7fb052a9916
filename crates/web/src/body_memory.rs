//! The memory that all requests' bodies may take together. A small body that is there at once, which nearly all are,
//! costs nothing here; one that has to wait for its rest, or is large, keeps its bytes only where there is room for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::RequestError;

/// Up to here a body is small: every operation takes so much, however little its schema asks for.
pub(crate) const SMALL: usize = 16 * 1024;

/// How long a body waits for memory: long enough to see a slow sender's end.
const WAIT: Duration = Duration::from_secs(2);

/// While others wait for memory, who holds some has to bring each step of their body in this time: slow senders cannot
/// keep it from the rest.
pub(crate) const STEP_TIME: Duration = Duration::from_secs(1);
/// See [`STEP_TIME`].
pub(crate) const STEP: usize = 64 * 1024;

/// Two pools of the same size: in one, large bodies cannot take from small ones.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    pub(crate) small: Pool,
    pub(crate) large: Pool,
}

impl BodyMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { small: Pool::new(bytes), large: Pool::new(bytes) }
    }
}

/// Where a large body's memory is noted. The layer holds it until there is an answer, since the body lives on in what was
/// read from it.
pub(crate) type BodyPlace = Arc<OnceLock<OwnedSemaphorePermit>>;

/// What memory is counted in, in bytes.
pub(crate) const UNIT: usize = 1024;

/// Memory, in units.
#[derive(Debug)]
pub(crate) struct Pool {
    units: Arc<Semaphore>,
    all: usize,
    waiting: AtomicUsize,
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let all = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(all)), all, waiting: AtomicUsize::new(0) }
    }

    /// Whether somebody waits for memory.
    pub(crate) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Takes memory for this many bytes. The first to ask is served first.
    ///
    /// # Errors
    /// When there was none in time.
    pub(crate) async fn take(&self, bytes: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, RequestError> {
        // More than all of it is all of it: the settings refuse a pool below the largest body.
        let count = u32::try_from(bytes.div_ceil(UNIT).min(self.all)).unwrap_or(u32::MAX);
        if let Ok(permit) = self.units.clone().try_acquire_many_owned(count) {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.waiting);
        let until = deadline.min(Instant::now() + WAIT);
        // The semaphore is never closed.
        let taken = timeout_at(until, self.units.clone().acquire_many_owned(count)).await;
        taken.map_err(|_| RequestError::Overloaded)?.map_err(|_| RequestError::Overloaded)
    }
}

/// Counts a waiting request, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_waited_for_a_while_and_told_to_be_short() {
        let pool = Pool::new(64 * 1024);
        let far = Instant::now() + Duration::from_secs(60);
        let all = pool.take(1024 * 1024, far).await.unwrap();
        assert!(!pool.is_short(), "nobody waits yet");
        let start = Instant::now();
        let (none, ()) = tokio::join!(pool.take(1, far), async {
            tokio::task::yield_now().await;
            assert!(pool.is_short());
        });
        assert_eq!(none.unwrap_err(), RequestError::Overloaded);
        assert!(start.elapsed() >= WAIT);
        assert!(!pool.is_short());
        let (some, ()) = tokio::join!(pool.take(1, far), async { drop(all) });
        assert!(some.is_ok());
    }
}
