//! What Redis refused lately. A flood that is being refused must not reach it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::{Charge, Taken};

use super::gcra::Shape;
use super::table::{Hashing, Map, lock};

const SHARDS: usize = 64;
/// The most buckets in a shard. One more is asked of Redis each time.
const MOST: usize = 1024;
/// How long it is believed, in microseconds: the clocks of two machines do not go equally fast, and a rate may change.
/// So each node asks about a bucket once a second at most while it is refused.
const BELIEVED: u64 = 1_000_000;

/// When buckets are full again at the earliest, by this node's own clock. Redis may have given more of one away since: what
/// is refused by this, Redis would refuse too. Only what another node gives back is known here later, by as long as this is
/// believed.
#[derive(Debug)]
pub(super) struct DeniedCache {
    hashing: Hashing,
    shards: [Mutex<Map<Known>>; SHARDS],
    /// Most of the time there is nothing to look for.
    count: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    full_at: u64,
    until: u64,
}

impl DeniedCache {
    pub(super) fn new() -> Self {
        Self {
            hashing: Hashing::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
            count: AtomicUsize::new(0),
        }
    }

    /// A call was refused that was asked at `sent`, and these were the times until each of its buckets would be full.
    pub(super) fn remember(&self, sent: u64, charges: &[Charge], ahead: &[u64]) {
        for (charge, ahead) in charges.iter().zip(ahead) {
            let key = self.hashing.of(charge.bucket);
            let mut shard = lock(&self.shards[key.shard(SHARDS)]);
            let before = shard.len();
            if before >= MOST && !shard.contains_key(&key) {
                shard.retain(|_, known| known.until > sent);
            }
            if shard.len() < MOST || shard.contains_key(&key) {
                // From when it was sent, not from when the answer came: Redis judged in between.
                let known = Known { full_at: sent.saturating_add(*ahead), until: sent.saturating_add(BELIEVED) };
                shard.insert(key, known);
            }
            // Under the lock: it is changed by the same amount as the shard.
            self.count.fetch_add(shard.len(), Ordering::Relaxed);
            self.count.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// Something is given back to these.
    pub(super) fn forget(&self, charges: &[Charge]) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        for charge in charges {
            let key = self.hashing.of(charge.bucket);
            if lock(&self.shards[key.shard(SHARDS)]).remove(&key).is_some() {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// The answer to a call that is refused for certain; none where Redis has to be asked. Of buckets that are not
    /// known, the most is said that can be in them.
    pub(super) fn judge(&self, now: u64, charges: &[Charge]) -> Option<Taken> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut ahead = [0; kernel::MOST_CHARGES];
        let mut is_refused = false;
        for (charge, ahead) in charges.iter().zip(&mut ahead) {
            let key = self.hashing.of(charge.bucket);
            let mut shard = lock(&self.shards[key.shard(SHARDS)]);
            match shard.get(&key).copied() {
                Some(known) if known.until > now => {
                    let shape = Shape::from(charge.rate);
                    *ahead = shape.ahead(known.full_at, now);
                    is_refused |= !shape.has(*ahead, charge.cost);
                }
                Some(_) => {
                    shard.remove(&key);
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
                None => {}
            }
        }
        let states =
            charges.iter().zip(ahead).map(|(charge, ahead)| Shape::from(charge.rate).state(ahead, charge.cost, false));
        is_refused.then(|| Taken::of(states))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::{Bucket, Rate};

    use super::*;

    fn charge(who: u128, cost: u32) -> Charge {
        let rate = Rate::new(10, Duration::from_secs(10)).unwrap();
        Charge { bucket: Bucket { who, ..Bucket::default() }, rate, cost }
    }

    #[test]
    fn it_is_refused_until_redis_might_admit_it_and_counts_down() {
        let denied_cache = DeniedCache::new();
        let one = charge(1, 1);
        assert_eq!(denied_cache.judge(0, &[one]), None);
        // Empty: the first unit is back after a second, less a hundredth that has passed.
        denied_cache.remember(5_000_000, &[one], &[9_990_000]);
        for (now, left) in [(5_000_000, 990_000), (5_500_000, 490_000), (5_989_999, 1)] {
            let taken = denied_cache.judge(now, &[one]).unwrap();
            assert_eq!(taken.states()[0].reset, Duration::from_micros(left));
            assert_eq!(taken.states()[0].remaining, 0);
        }
        assert_eq!(denied_cache.judge(5_990_000, &[one]), None, "Redis may admit it");
        assert!(denied_cache.judge(5_990_000, &[charge(1, 2)]).is_some(), "but not twice as much");
        assert_eq!(denied_cache.judge(6_000_000, &[charge(1, 9)]), None, "after a second Redis is asked again");
        assert_eq!(denied_cache.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_call_is_refused_when_one_of_its_buckets_is() {
        let denied_cache = DeniedCache::new();
        denied_cache.remember(0, &[charge(1, 1), charge(2, 1)], &[10_000_000, 3_000_000]);
        let taken = denied_cache.judge(0, &[charge(3, 1), charge(2, 1), charge(1, 1)]).unwrap();
        let told: Vec<_> = taken.states().iter().map(|one| (one.is_enough, one.remaining)).collect();
        assert_eq!(told, [(true, 10), (true, 7), (false, 0)]);
        assert_eq!(denied_cache.judge(0, &[charge(3, 1), charge(2, 1)]), None);
    }

    #[test]
    fn what_is_given_back_is_asked_for_again() {
        let denied_cache = DeniedCache::new();
        denied_cache.remember(0, &[charge(1, 1), charge(2, 1)], &[10_000_000; 2]);
        denied_cache.forget(&[charge(1, 1), charge(3, 1)]);
        assert_eq!(denied_cache.judge(0, &[charge(1, 1)]), None);
        assert!(denied_cache.judge(0, &[charge(2, 1)]).is_some());
        assert_eq!(denied_cache.count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn it_remembers_no_more_than_it_has_room_for() {
        let denied_cache = DeniedCache::new();
        for who in 0..200_000 {
            denied_cache.remember(0, &[charge(who, 1)], &[10_000_000]);
        }
        assert_eq!(denied_cache.count.load(Ordering::Relaxed), SHARDS * MOST);
        for who in 0..200_000 {
            denied_cache.remember(2_000_000, &[charge(who, 1)], &[10_000_000]);
        }
        let count: usize = denied_cache.shards.iter().map(|shard| lock(shard).len()).sum();
        assert_eq!(count, SHARDS * MOST);
        assert_eq!(denied_cache.count.load(Ordering::Relaxed), count);
    }
}
