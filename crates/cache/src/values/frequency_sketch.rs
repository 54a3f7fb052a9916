//! What is asked for often, as far as that can be told from a little memory that never grows.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::key::Key;

/// Rows of the sketch: each key has a counter in every one of them.
const ROWS: usize = 4;
/// Counters in a row, a power of two: 256 KiB in all.
const COLUMNS: usize = 1 << 16;
/// After this many asks all counters are halved: recent asks count more.
const AGE: u64 = 10 * COLUMNS as u64;
/// The number of candidates for the hottest.
const MOST_HOT: usize = 64;

/// How often keys were asked for lately: a count-min sketch whose counters age, as in TinyLFU (Einziger, Friedman,
/// Manes 2017). It may say more than is true, where keys meet in all rows, and loses a count where two threads count at
/// once. Held by the cache.
pub(crate) struct Sketch {
    hasher: RandomState,
    counters: Box<[AtomicU8]>,
    asks: AtomicU64,
    hot: Mutex<Vec<(Key, u8)>>,
}

impl Sketch {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            counters: (0..ROWS * COLUMNS).map(|_| AtomicU8::new(0)).collect(),
            asks: AtomicU64::new(0),
            hot: Mutex::default(),
        }
    }

    /// Counts an ask that stands for `weight` of them, and says how many there were lately, this one included.
    pub(crate) fn count(&self, key: &Key, weight: u8) -> u8 {
        let mut least = u8::MAX;
        for counter in self.counters_of(key) {
            let now = counter.load(Ordering::Relaxed).saturating_add(weight);
            // A lost count is cheaper than cores that wait for each other.
            counter.store(now, Ordering::Relaxed);
            least = least.min(now);
        }
        if self.asks.fetch_add(u64::from(weight), Ordering::Relaxed) % AGE >= AGE - u64::from(weight) {
            self.age();
        }
        least
    }

    /// How often it was asked for lately.
    pub(crate) fn estimate(&self, key: &Key) -> u8 {
        self.counters_of(key).map(|counter| counter.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    fn counters_of(&self, key: &Key) -> impl Iterator<Item = &AtomicU8> {
        let hash = self.hasher.hash_one(key);
        // Two numbers out of 64 bits are as good as four hashes (Kirsch, Mitzenmacher 2006).
        let (first, step) = (hash as u32, (hash >> 32) as u32 | 1);
        (0..ROWS).map(move |row| {
            let at = first.wrapping_add((row as u32).wrapping_mul(step)) as usize % COLUMNS;
            &self.counters[row * COLUMNS + at]
        })
    }

    /// Counts the same way, and remembers the key as one of the hottest where it is one. Never waits.
    pub(crate) fn count_hot(&self, key: &Key, weight: u8) {
        let count = self.count(key, weight);
        let Ok(mut hot) = self.hot.try_lock() else { return };
        if let Some(known) = hot.iter_mut().find(|(known, _)| known == key) {
            known.1 = count;
        } else if hot.len() < MOST_HOT {
            hot.push((key.clone(), count));
        } else if let Some(coldest) = hot.iter_mut().min_by_key(|(_, count)| *count)
            && coldest.1 < count
        {
            *coldest = (key.clone(), count);
        }
    }

    fn age(&self) {
        for counter in &self.counters {
            counter.store(counter.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
        let mut hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        hot.retain_mut(|(_, count)| {
            *count /= 2;
            *count > 0
        });
    }

    /// The keys asked for most, the hottest first, and about how often lately, 255 at most.
    pub(crate) fn hottest(&self, most: usize) -> Vec<(Key, u8)> {
        let mut hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hot.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        hot.truncate(most);
        hot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_counts_and_forgets_with_time() {
        let sketch = Sketch::new();
        let key = Key::of("post").id(1);
        assert_eq!((1..=5).map(|_| sketch.count(&key, 1)).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(sketch.count(&Key::of("post").id(2), 1), 1);
        for _ in 0..60 {
            sketch.count(&key, 16);
        }
        assert_eq!(sketch.count(&key, 1), u8::MAX);
        for _ in 0..3 {
            sketch.age();
        }
        assert_eq!(sketch.count(&key, 1), 32);
    }

    #[test]
    fn aging_comes_with_the_asks() {
        let sketch = Sketch::new();
        let key = Key::of("post").id(1);
        for _ in 0..AGE / 250 {
            sketch.count(&key, 250);
        }
        assert!(sketch.count(&key, 250) > 0);
        for _ in 0..10 * AGE / 250 {
            sketch.count(&Key::of("other").id(1), 250);
        }
        assert_eq!(sketch.count(&key, 1), 1);
    }

    #[test]
    fn the_hottest_are_those_asked_for_most() {
        let sketch = Sketch::new();
        for n in 0..200_u32 {
            for _ in 0..=(n / 10) {
                sketch.count_hot(&Key::of("post").id(n), 1);
            }
        }
        for _ in 0..100 {
            sketch.count_hot(&Key::of("post").id("hot"), 1);
        }
        let hottest = sketch.hottest(3);
        assert_eq!(hottest.len(), 3);
        assert_eq!(hottest[0].0, Key::of("post").id("hot"));
        assert!(hottest[0].1 >= 100 && hottest[1].1 >= hottest[2].1);
    }
}
