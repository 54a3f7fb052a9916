//! What a node keeps in its own memory: bounded by weight, and what is asked for again stays (a CLOCK-Pro much like
//! S3-FIFO). Hits take no lock but a shard's own, shared with other readers.

use std::any::Any;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, OptionsBuilder, Weighter};

use super::generations::Generation;
use super::key::Key;
use super::stats::{self, Counts};

/// What it takes to keep an entry beside key and value, in bytes: its places in the maps, counters and pointers.
const ENTRY_BYTES: u64 = 320;
/// The same for each stamp it holds, whose slot it may be the only one to need.
const GENERATION_BYTES: u64 = 112;
/// Shards hold at least so much: one value must fit into one shard.
const LEAST_SHARD_BYTES: u64 = 1 << 20;
const MOST_SHARDS: u64 = 64;

/// A value of any type.
pub(crate) type Anything = Arc<dyn Any + Send + Sync>;

/// A value with all that says how long it is good.
pub(crate) struct Entry {
    /// None: there is nothing under this key.
    pub(crate) value: Option<Anything>,
    pub(crate) generation: Generation,
    /// Good before this moment, in microseconds since the epoch.
    pub(crate) fresh_until_us: i64,
    /// To be served before this moment, while a new one loads.
    pub(crate) stale_until_us: i64,
    /// When the next caller may try to load the new value. The caller that moves it on is the one.
    refresh_at_us: AtomicI64,
    weight: u64,
    counts: Arc<Counts>,
}

impl Entry {
    pub(crate) fn new(
        value: Option<Anything>,
        value_bytes: usize,
        generation: Generation,
        (fresh_until_us, stale_until_us): (i64, i64),
        counts: Arc<Counts>,
    ) -> Self {
        let weight = ENTRY_BYTES + GENERATION_BYTES * generation.count() as u64 + value_bytes as u64;
        stats::add(&counts.entries);
        counts.bytes.fetch_add(weight, Ordering::Relaxed);
        let refresh_at_us = AtomicI64::new(fresh_until_us);
        Self { value, generation, fresh_until_us, stale_until_us, refresh_at_us, weight, counts }
    }

    /// Whether this caller is to bring the new one. Not the next ones, for `timeout_us`: a load that fails must not be
    /// tried by everyone who passes.
    pub(crate) fn claim_refresh(&self, now_us: i64, timeout_us: i64) -> bool {
        let at = self.refresh_at_us.load(Ordering::Relaxed);
        let next = now_us.saturating_add(timeout_us);
        now_us >= at && self.refresh_at_us.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.counts.entries.fetch_sub(1, Ordering::Relaxed);
        self.counts.bytes.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

/// A key of one config: two configs never get each other's values, whatever keys they use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EntryKey {
    pub(crate) config: u32,
    pub(crate) key: Key,
}

/// The same, to look for.
#[derive(Hash)]
struct Sought<'a> {
    config: u32,
    key: &'a Key,
}

impl Equivalent<EntryKey> for Sought<'_> {
    fn equivalent(&self, place: &EntryKey) -> bool {
        self.config == place.config && self.key == &place.key
    }
}

#[derive(Debug, Clone)]
struct ByWeight;

impl Weighter<EntryKey, Arc<Entry>> for ByWeight {
    fn weight(&self, _: &EntryKey, entry: &Arc<Entry>) -> u64 {
        entry.weight
    }
}

/// Counts what is pushed out, and drops it when the shard's lock is free again.
#[derive(Debug, Clone, Default)]
struct Pushing(DefaultLifecycle<EntryKey, Arc<Entry>>);

impl Lifecycle<EntryKey, Arc<Entry>> for Pushing {
    type RequestState = <DefaultLifecycle<EntryKey, Arc<Entry>> as Lifecycle<EntryKey, Arc<Entry>>>::RequestState;

    /// Not called for what is replaced.
    fn before_evict(&self, _: &mut Self::RequestState, _: &EntryKey, entry: &mut Arc<Entry>) {
        stats::add(&entry.counts.evictions);
    }

    fn on_evict(&self, state: &mut Self::RequestState, place: EntryKey, entry: Arc<Entry>) {
        self.0.on_evict(state, place, entry);
    }
}

/// The memory of a node. Held by the cache.
pub(crate) struct Local(Option<Cache<EntryKey, Arc<Entry>, ByWeight, DefaultHashBuilder, Pushing>>);

impl Local {
    /// At most `memory_bytes`; none at all where that is 0.
    pub(crate) fn new(memory_bytes: u64) -> Self {
        // A guess, from which only the sizes of tables follow.
        let items = usize::try_from(memory_bytes / 1024).unwrap_or(usize::MAX).clamp(64, 1 << 24);
        let shards = (memory_bytes / LEAST_SHARD_BYTES).clamp(1, MOST_SHARDS);
        // Rounded down to a power of two, or a shard would hold less than it should.
        let shards = 1_usize << shards.ilog2();
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(items)
            .weight_capacity(memory_bytes)
            .build()
            .ok()
            .filter(|_| memory_bytes > 0);
        Self(
            options.map(|options| {
                Cache::with_options(options, ByWeight, DefaultHashBuilder::default(), Pushing::default())
            }),
        )
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn find(&self, config: u32, key: &Key) -> Option<Arc<Entry>> {
        self.0.as_ref()?.get(&Sought { config, key })
    }

    pub(crate) fn put(&self, place: EntryKey, entry: Arc<Entry>) {
        if let Some(cache) = &self.0 {
            cache.insert(place, entry);
        }
    }

    /// Takes this very entry out, not one that came after it.
    pub(crate) fn remove(&self, config: u32, key: &Key, entry: &Arc<Entry>) {
        if let Some(cache) = &self.0 {
            cache.remove_if(&Sought { config, key }, |found| Arc::ptr_eq(found, entry));
        }
    }

    pub(crate) fn clear(&self) {
        if let Some(cache) = &self.0 {
            cache.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::generations::Generations;
    use super::*;

    fn entry(generations: &Generations, key: &Key, bytes: usize, counts: &Arc<Counts>) -> Arc<Entry> {
        Arc::new(Entry::new(None, bytes, generations.generation(key), (1, 1), counts.clone()))
    }

    #[test]
    fn memory_is_bounded_and_what_it_weighs_is_told() {
        let (generations, counts) = (Generations::new(), Arc::new(Counts::default()));
        let local = Local::new(1 << 20);
        for n in 0..2000 {
            let key = Key::of("post").id(n);
            local.put(EntryKey { config: 0, key: key.clone() }, entry(&generations, &key, 4000, &counts));
        }
        let stats = counts.read("post");
        assert!(stats.bytes <= 1 << 20 && stats.bytes > 1 << 19, "{stats:?}");
        assert_eq!(stats.entries + stats.evictions, 2000);
        local.clear();
        assert_eq!((counts.read("post").entries, counts.read("post").bytes), (0, 0));
    }

    #[test]
    fn without_memory_nothing_is_kept() {
        let (generations, counts) = (Generations::new(), Arc::new(Counts::default()));
        let (local, key) = (Local::new(0), Key::of("post"));
        local.put(EntryKey { config: 0, key: key.clone() }, entry(&generations, &key, 1, &counts));
        assert!(!local.is_there() && local.find(0, &key).is_none());
    }

    #[test]
    fn plans_do_not_meet_and_only_the_very_entry_is_removed() {
        let (generations, counts) = (Generations::new(), Arc::new(Counts::default()));
        let (local, key) = (Local::new(1 << 20), Key::of("post"));
        let one = entry(&generations, &key, 1, &counts);
        local.put(EntryKey { config: 0, key: key.clone() }, one.clone());
        assert!(local.find(1, &key).is_none());
        let other = entry(&generations, &key, 1, &counts);
        local.put(EntryKey { config: 0, key: key.clone() }, other.clone());
        local.remove(0, &key, &one);
        assert!(Arc::ptr_eq(&local.find(0, &key).unwrap(), &other));
        local.remove(0, &key, &other);
        assert!(local.find(0, &key).is_none());
    }

    #[test]
    fn one_of_many_brings_the_new_one() {
        let (generations, counts) = (Generations::new(), Arc::new(Counts::default()));
        let entry = entry(&generations, &Key::of("post"), 1, &counts);
        assert!(!entry.claim_refresh(0, 100), "still fresh");
        assert!(entry.claim_refresh(1, 100));
        assert!(!entry.claim_refresh(100, 100));
        assert!(entry.claim_refresh(101, 100));
    }
}
