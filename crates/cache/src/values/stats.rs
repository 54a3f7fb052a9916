//! What is counted of each config.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::key::Key;

/// Threads that count hits apart from each other.
const SHARDS: usize = 16;

/// A number on a cache line of its own: cores that count hits must not wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicU64);

/// The numbers of one config. Held by the config and by what is kept for it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    hits: [Shard; SHARDS],
    pub(crate) hits_shared: AtomicU64,
    pub(crate) hits_stale: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) load_errors: AtomicU64,
    pub(crate) load_time_us: AtomicU64,
    pub(crate) load_time_us_max: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) entries: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) evictions: AtomicU64,
    pub(crate) refused_fills: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    /// Counts a hit; how many this thread had counted.
    pub(crate) fn hit(&self) -> u64 {
        self.hits[kernel::thread::number() % SHARDS].0.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn loaded(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.load_time_us.fetch_add(us, Ordering::Relaxed);
        self.load_time_us_max.fetch_max(us, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, name: &str) -> ConfigStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConfigStats {
            name: name.to_owned(),
            hits_local: self.hits.iter().map(|shard| read(&shard.0)).sum(),
            hits_shared: read(&self.hits_shared),
            hits_stale: read(&self.hits_stale),
            misses: read(&self.misses),
            loads: read(&self.loads),
            load_errors: read(&self.load_errors),
            load_time_us_sum: read(&self.load_time_us),
            load_time_us_max: read(&self.load_time_us_max),
            waits: read(&self.waits),
            entries: read(&self.entries),
            bytes: read(&self.bytes),
            evictions: read(&self.evictions),
            refused_fills: read(&self.refused_fills),
        }
    }
}

/// What a cache did since it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// Each config, in the order in which they came.
    pub configs: Vec<ConfigStats>,
    /// Forgettings that Redis has not heard yet.
    pub pending_invalidations: usize,
}

/// What one config did since it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigStats {
    /// Its name.
    pub name: String,
    /// Answered from this node's memory, stale ones included.
    pub hits_local: u64,
    /// Answered by Redis.
    pub hits_shared: u64,
    /// Those from this node's memory that were past their time, while a new one was on its way.
    pub hits_stale: u64,
    /// Not in this node's memory.
    pub misses: u64,
    /// Loads that were begun.
    pub loads: u64,
    /// Loads that failed; one whose caller went away is neither.
    pub load_errors: u64,
    /// How long the loads that ended took together, in microseconds.
    pub load_time_us_sum: u64,
    /// How long the longest of them took, in microseconds.
    pub load_time_us_max: u64,
    /// Asks that waited for another's load.
    pub waits: u64,
    /// Values in this node's memory, those included that were forgotten and wait to be pushed out.
    pub entries: u64,
    /// What they weigh, in bytes, with what it takes to keep them.
    pub bytes: u64,
    /// Values that were pushed out to make room.
    pub evictions: u64,
    /// Values that were loaded and not kept, because what they depend on was changed meanwhile.
    pub refused_fills: u64,
}

/// A key that is asked for often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hot {
    /// Which.
    pub key: Key,
    /// About how often lately, 255 at most.
    pub asks: u8,
}
