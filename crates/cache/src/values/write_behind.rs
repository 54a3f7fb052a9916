//! What is added up in memory and written down together: counters of views, of uses, of bytes.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Clock, Ctx, Random};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

const SHARDS: usize = 16;
/// How long one writing may take: the deadline of the context it is given.
const WRITE: Duration = Duration::from_secs(30);
/// The pauses after a writing that failed.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
const MOST_PAUSE: Duration = Duration::from_secs(5);
/// At the end it is tried so often.
const LAST_ATTEMPTS: u32 = 3;

/// Adds up values by key, and writes them down together every so often: a counter that is counted a thousand times is
/// written once. Held by the code that counts; cheap to clone. When the last clone is dropped, the rest is written, and
/// its task ends.
///
/// A process that ends without [`WriteBehind::close`] loses what was added since the last writing, one interval at
/// most. Whatever must not be lost does not belong here.
pub struct WriteBehind<K, V>(Arc<Held<K, V>>);

/// Lets the task end when nobody adds any more.
struct Held<K, V> {
    sums: Arc<Sums<K, V>>,
    /// How much was left when the task ended; none while it runs.
    left: watch::Receiver<Option<usize>>,
}

struct Sums<K, V> {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<K, V>>>,
    /// How many keys there are, those included that are being written.
    count: AtomicUsize,
    most_keys: usize,
    merge: fn(&mut V, V),
    is_closed: AtomicBool,
    /// Write now.
    wake: Notify,
    /// There is room again.
    room: Notify,
}

/// Why something was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdded {
    /// Too many keys wait to be written: there was no room for one more in time.
    Full,
    /// It is closed.
    Closed,
}

impl fmt::Display for NotAdded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too much waits to be written",
            Self::Closed => "nothing is added any more",
        })
    }
}

impl std::error::Error for NotAdded {}

impl<K, V> Clone for WriteBehind<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> fmt::Debug for WriteBehind<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehind").field("keys", &self.0.sums.count.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

impl<K, V> WriteBehind<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    /// Starts one, inside a runtime of tokio: `write` is given what was added up, `every` so often, and earlier when
    /// half of `most_keys` (at least 1) are there. `merge` adds one value to another; in which order is not promised.
    ///
    /// What `write` fails to write is given to it again, together with what was added meanwhile. So it must write all
    /// of it or nothing, in one transaction, and end by the deadline of its context: how one ended that is broken off
    /// is not known, and so it is waited for. One that panics has written nothing.
    pub fn start<F, Fut, E>(
        every: Duration,
        most_keys: usize,
        merge: fn(&mut V, V),
        clock: &Clock,
        random: &Random,
        write: F,
    ) -> Self
    where
        F: Fn(Ctx, Vec<(K, V)>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let sums = Arc::new(Sums {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            most_keys: most_keys.max(1),
            merge,
            is_closed: AtomicBool::new(false),
            wake: Notify::new(),
            room: Notify::new(),
        });
        let (ended, left) = watch::channel(None);
        let (clock, random) = (clock.clone(), random.clone());
        let writing = {
            let sums = sums.clone();
            async move {
                let ctx = || Ctx::system("write_behind", WRITE, &clock, &random);
                keep_writing(&sums, every, |all| write(ctx(), all)).await;
                ended.send_replace(Some(sums.count.load(Ordering::Acquire)));
            }
        };
        tokio::spawn(writing);
        Self(Arc::new(Held { sums, left }))
    }

    /// Adds to what there is of this key. Waits only where there is no room for another key, until `deadline`.
    ///
    /// # Errors
    /// Nothing was added then.
    pub async fn add(&self, key: K, value: V, deadline: Instant) -> Result<(), NotAdded> {
        let sums = &self.0.sums;
        let mut waiting = Some((key, value));
        loop {
            // Before the look, or room that comes between the two would not be seen.
            let room = sums.room.notified();
            let Some((key, value)) = waiting.take() else { return Ok(()) };
            match sums.add(key, value) {
                Added::Yes => return Ok(()),
                Added::Closed => return Err(NotAdded::Closed),
                Added::NoRoom(key, value) => waiting = Some((key, value)),
            }
            timeout_at(deadline, room).await.map_err(|_| NotAdded::Full)?;
        }
    }

    /// Writes the rest, and takes nothing more. Returns how many keys were not written until `deadline`: they go on
    /// being tried for a moment, and are lost if the process ends.
    pub async fn close(&self, deadline: Instant) -> usize {
        self.0.sums.close();
        let mut left = self.0.left.clone();
        // The task ends with a word, or with the runtime.
        let ended = timeout_at(deadline, left.wait_for(Option::is_some)).await;
        let left = ended.ok().and_then(Result::ok).and_then(|left| *left);
        left.unwrap_or_else(|| self.0.sums.count.load(Ordering::Acquire))
    }
}

impl<K, V> Drop for Held<K, V> {
    fn drop(&mut self) {
        self.sums.close();
    }
}

enum Added<K, V> {
    Yes,
    NoRoom(K, V),
    Closed,
}

impl<K, V> Sums<K, V> {
    fn close(&self) {
        // Under every lock: what is added is added before, and written, or refused.
        let _all: Vec<_> = self.shards.iter().map(lock).collect();
        self.is_closed.store(true, Ordering::Release);
        self.wake.notify_one();
        self.room.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

impl<K: Eq + Hash, V> Sums<K, V> {
    fn shard(&self, key: &K) -> &Mutex<HashMap<K, V>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    fn add(&self, key: K, value: V) -> Added<K, V> {
        let mut shard = lock(self.shard(&key));
        if self.is_closed() {
            return Added::Closed;
        }
        if let Some(sum) = shard.get_mut(&key) {
            (self.merge)(sum, value);
            return Added::Yes;
        }
        let before = self.count.fetch_add(1, Ordering::AcqRel);
        if before >= self.most_keys {
            self.count.fetch_sub(1, Ordering::AcqRel);
            self.wake.notify_one();
            return Added::NoRoom(key, value);
        }
        shard.insert(key, value);
        if before + 1 >= self.most_keys.div_ceil(2) {
            self.wake.notify_one();
        }
        Added::Yes
    }

    /// All that is there. It counts until it is written.
    fn take(&self) -> Vec<(K, V)> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut *lock(shard))).collect()
    }

    fn written(&self, count: usize) {
        self.count.fetch_sub(count, Ordering::AcqRel);
        self.room.notify_waiters();
    }

    /// What was not written goes back to what came meanwhile.
    fn put_back(&self, all: Vec<(K, V)>) {
        for (key, value) in all {
            let mut shard = lock(self.shard(&key));
            if let Some(sum) = shard.get_mut(&key) {
                (self.merge)(sum, value);
                self.count.fetch_sub(1, Ordering::AcqRel);
            } else {
                shard.insert(key, value);
            }
        }
        self.room.notify_waiters();
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes until it is closed and everything is written, or cannot be.
async fn keep_writing<K, V, Fut, E>(sums: &Sums<K, V>, every: Duration, write: impl Fn(Vec<(K, V)>) -> Fut)
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display + Send + 'static,
{
    let (mut failed, mut pause, mut last) = (0_u64, LEAST_PAUSE, 0);
    loop {
        if failed == 0 && !sums.is_closed() {
            tokio::select! {
                () = sleep(every) => {}
                () = sums.wake.notified() => {}
            }
        }
        let is_last = sums.is_closed();
        let all = sums.take();
        if !all.is_empty() {
            let (count, copy) = (all.len(), all.clone());
            // On a task of its own: a panic in it must not end this one.
            let error = match tokio::spawn(write(all)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked".to_owned()),
            };
            if let Some(error) = error {
                sums.put_back(copy);
                if failed == 0 {
                    tracing::warn!(
                        error,
                        keys = count,
                        "what was added up could not be written, and is kept to be tried again"
                    );
                }
                failed += 1;
                last += u32::from(is_last);
                if last == LAST_ATTEMPTS {
                    let keys = sums.count.load(Ordering::Acquire);
                    tracing::error!(error, keys, "what was added up could not be written, and is lost");
                    return;
                }
                sleep(pause).await;
                pause = (pause * 2).min(MOST_PAUSE);
                continue;
            }
            sums.written(count);
        }
        if failed > 0 {
            tracing::info!(failed, "what was added up is written again");
        }
        (failed, pause) = (0, LEAST_PAUSE);
        if is_last {
            return;
        }
    }
}
