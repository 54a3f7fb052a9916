//! Buckets in memory, bounded.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernel::{Bucket, BucketState, Charge, MOST_CHARGES, Taken};

use super::gcra::Shape;

/// How many locks the buckets are spread over.
const SHARDS: usize = 64;
/// The most buckets behind one lock: as many as fit into a map of 16,384 places. In all 917,504, which take 85 MB.
const MOST: usize = 14_336;
/// The most rates for which those share that have no place.
const MOST_RATES: usize = 64;
/// When a shard is full, how long until it is looked through again: that takes 0.1 ms, and a flood would have it done
/// for each call.
const SWEEP_EVERY: u64 = 1_000_000;

/// A bucket and its hash, made once by a key that only this process knows: who chooses the addresses cannot choose
/// where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hashed {
    hash: u64,
    bucket: Bucket,
}

impl Hash for Hashed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Passes the hash on.
#[derive(Debug, Default)]
pub(super) struct Through(u64);

impl Hasher for Through {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only whole numbers come, by the method below.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A map that does not hash again.
pub(super) type Map<V> = HashMap<Hashed, V, BuildHasherDefault<Through>>;

/// Hashes buckets.
#[derive(Debug, Default)]
pub(super) struct Hashing(RandomState);

impl Hashing {
    pub(super) fn of(&self, bucket: Bucket) -> Hashed {
        Hashed { hash: self.0.hash_one(bucket), bucket }
    }
}

impl Hashed {
    /// Which shard of `of`. The map takes the lowest and the highest bits.
    pub(super) const fn shard(&self, of: usize) -> usize {
        (self.hash >> 32) as usize % of
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When each bucket is full again; one that is not here is full. A bucket that is full again is forgotten when room is
/// needed, a shard at a time. While a shard holds as many as it may and none is full again, those that come new to it
/// share one bucket for each rate: a flood of addresses neither takes more memory nor goes through, and earlier callers
/// do not notice it.
#[derive(Debug)]
pub(super) struct Table {
    hashing: Hashing,
    shards: [Mutex<Shard>; SHARDS],
    most: usize,
}

#[derive(Debug, Default)]
struct Shard {
    full_at: Map<u64>,
    /// Of those that share.
    shared: Vec<(Shape, u64)>,
    /// From this count on it is worth looking for those that are full.
    sweep_from: usize,
    swept_at: u64,
}

/// Where a bucket's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BucketPlace {
    Own(Hashed),
    Shared(usize, Shape),
}

/// One charge, while it is judged.
#[derive(Clone, Copy)]
struct Judged {
    place: BucketPlace,
    shape: Shape,
    cost: u32,
    ahead: u64,
}

impl Table {
    pub(super) fn new() -> Self {
        Self::bounded(MOST)
    }

    fn bounded(most: usize) -> Self {
        Self { hashing: Hashing::default(), shards: std::array::from_fn(|_| Mutex::default()), most }
    }

    /// Forgets all.
    #[cfg(feature = "redis")]
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            *lock(shard) = Shard::default();
        }
    }

    /// Takes from all or from none. `shape` says how a bucket fills, and `floor` the earliest moment at which one of a
    /// shape may be full.
    pub(super) fn take(
        &self,
        now: u64,
        charges: &[Charge],
        shape: impl Fn(&Charge) -> Shape,
        floor: impl Fn(Shape) -> u64,
    ) -> Taken {
        if let [charge] = charges {
            let shape = shape(charge);
            return self.take_one(now, charge, shape, floor(shape));
        }
        let charges = &charges[..charges.len().min(MOST_CHARGES)];
        let mut hashed = [None; MOST_CHARGES];
        let mut wanted = [usize::MAX; MOST_CHARGES];
        for (n, charge) in charges.iter().enumerate() {
            let key = self.hashing.of(charge.bucket);
            (hashed[n], wanted[n]) = (Some(key), key.shard(SHARDS));
        }
        // In the order of their index, each once: two calls never wait for each other.
        let wanted = &mut wanted[..charges.len()];
        wanted.sort_unstable();
        let mut shards: [Option<(usize, MutexGuard<'_, Shard>)>; MOST_CHARGES] = [const { None }; MOST_CHARGES];
        for n in 0..wanted.len() {
            if n == 0 || wanted[n] != wanted[n - 1] {
                shards[n] = Some((wanted[n], lock(&self.shards[wanted[n]])));
            }
        }
        let mut judged: [Option<Judged>; MOST_CHARGES] = [None; MOST_CHARGES];
        let mut is_admitted = true;
        for (n, (charge, key)) in charges.iter().zip(hashed.into_iter().flatten()).enumerate() {
            let at = key.shard(SHARDS);
            let Some((_, shard)) = shards.iter_mut().flatten().find(|(index, _)| *index == at) else { continue };
            let shape = shape(charge);
            // Of the charges before, those that need a place there.
            let coming = judged[..n].iter().flatten().filter(|before| match before.place {
                BucketPlace::Own(other) => other.shard(SHARDS) == at && !shard.full_at.contains_key(&other),
                BucketPlace::Shared(..) => false,
            });
            let coming = coming.count();
            let known = shard.full_at.get(&key).copied();
            let (place, full_at) = match known {
                Some(full_at) => (BucketPlace::Own(key), full_at),
                None if shard.has_room(coming, now, self.most) => (BucketPlace::Own(key), 0),
                None => (BucketPlace::Shared(at, shape), shard.shared_full_at(shape, now)),
            };
            // A bucket twice is taken from twice.
            let before = judged[..n].iter().flatten().rfind(|before| before.place == place);
            let full_at = match before {
                Some(before) => now.saturating_add(before.shape.after(before.ahead, before.cost)),
                None => full_at.max(floor(shape)),
            };
            let ahead = shape.ahead(full_at, now);
            is_admitted &= shape.has(ahead, charge.cost);
            judged[n] = Some(Judged { place, shape, cost: charge.cost, ahead });
        }
        let judged = judged.iter().flatten();
        if is_admitted {
            for one in judged.clone() {
                let full_at = now.saturating_add(one.shape.after(one.ahead, one.cost));
                let at = match one.place {
                    BucketPlace::Own(key) => key.shard(SHARDS),
                    BucketPlace::Shared(at, _) => at,
                };
                let Some((_, shard)) = shards.iter_mut().flatten().find(|(index, _)| *index == at) else { continue };
                match one.place {
                    BucketPlace::Own(key) => drop(shard.full_at.insert(key, full_at)),
                    BucketPlace::Shared(_, shape) => shard.set_shared(shape, full_at, now),
                }
            }
        }
        Taken::of(judged.map(|one| one.shape.state(one.ahead, one.cost, is_admitted)))
    }

    /// Gives back what these took. Where a bucket has got a place of its own since, what was taken from the shared one
    /// stays taken.
    pub(super) fn give_back(&self, now: u64, charges: &[Charge], shape: impl Fn(&Charge) -> Shape) {
        for charge in charges {
            let (key, shape) = (self.hashing.of(charge.bucket), shape(charge));
            let before = |full_at: u64| now.saturating_add(shape.before(shape.ahead(full_at, now), charge.cost));
            let mut shard = lock(&self.shards[key.shard(SHARDS)]);
            if let Some(full_at) = shard.full_at.get_mut(&key) {
                *full_at = before(*full_at);
            } else if let Some((_, full_at)) = shard.shared.iter_mut().find(|(other, _)| *other == shape) {
                *full_at = before(*full_at);
            }
        }
    }

    /// The same for a single charge, which most calls are: a third of the time, since nothing has to be held together.
    fn take_one(&self, now: u64, charge: &Charge, shape: Shape, floor: u64) -> Taken {
        let key = self.hashing.of(charge.bucket);
        let mut shard = lock(&self.shards[key.shard(SHARDS)]);
        let mut is_admitted = false;
        let mut judge = |full_at: u64| {
            let ahead = shape.ahead(full_at.max(floor), now);
            is_admitted = shape.has(ahead, charge.cost);
            (ahead, now.saturating_add(shape.after(ahead, charge.cost)))
        };
        let ahead = if let Some(full_at) = shard.full_at.get_mut(&key) {
            let (ahead, after) = judge(*full_at);
            if is_admitted {
                *full_at = after;
            }
            ahead
        } else if shard.has_room(0, now, self.most) {
            let (ahead, after) = judge(0);
            if is_admitted {
                shard.full_at.insert(key, after);
            }
            ahead
        } else {
            let (ahead, after) = judge(shard.shared_full_at(shape, now));
            if is_admitted {
                shard.set_shared(shape, after, now);
            }
            ahead
        };
        drop(shard);
        Taken::of([shape.state(ahead, charge.cost, is_admitted)])
    }
}

impl Shard {
    /// Whether there is room for one more after `coming` others.
    fn has_room(&mut self, coming: usize, now: u64, most: usize) -> bool {
        let count = self.full_at.len() + coming;
        let is_full = count >= most;
        if count >= self.sweep_from.max(256) || is_full {
            let is_time = !is_full || now.saturating_sub(self.swept_at) >= SWEEP_EVERY || self.swept_at > now;
            if is_time {
                self.full_at.retain(|_, full_at| *full_at > now);
                (self.swept_at, self.sweep_from) = (now, self.full_at.len() * 2);
            }
        }
        self.full_at.len() + coming < most
    }

    /// Of those of this shape that have no place. Where there are too many shapes, nothing is left.
    fn shared_full_at(&self, shape: Shape, now: u64) -> u64 {
        match self.shared.iter().find(|(other, _)| *other == shape) {
            Some((_, full_at)) => *full_at,
            None if self.shared.len() < MOST_RATES || self.shared.iter().any(|(_, full_at)| *full_at <= now) => 0,
            None => u64::MAX,
        }
    }

    fn set_shared(&mut self, shape: Shape, full_at: u64, now: u64) {
        match self.shared.iter_mut().find(|(other, _)| *other == shape) {
            Some((_, before)) => *before = full_at,
            None => {
                self.shared.retain(|(_, full_at)| *full_at > now);
                self.shared.push((shape, full_at));
            }
        }
    }
}

/// All refused, as when there is nothing to judge by.
pub(super) fn refused(charges: &[Charge], reset: std::time::Duration) -> Taken {
    Taken::of(charges.iter().map(|_| BucketState { is_enough: false, remaining: 0, reset }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::Rate;

    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    fn charge(address: u128, quota: u32) -> Charge {
        let rate = Rate::new(quota, Duration::from_secs(60)).unwrap();
        Charge { bucket: Bucket { policy: 1, address, ..Bucket::default() }, rate, cost: 1 }
    }

    fn take(table: &Table, now: u64, charges: &[Charge]) -> Taken {
        table.take(now, charges, |charge| charge.rate.into(), |_| 0)
    }

    fn count(table: &Table) -> usize {
        table.shards.iter().map(|shard| lock(shard).full_at.len()).sum()
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_memory_and_does_not_go_through() {
        let table = Table::bounded(8);
        let regular = charge(0, 10);
        assert!(take(&table, NOW, &[regular]).is_admitted());
        let admitted = (1..100_000).filter(|&n| take(&table, NOW, &[charge(n, 10)]).is_admitted()).count();
        assert_eq!(count(&table), 8 * SHARDS);
        // Each that has a place, and ten for each shard.
        assert_eq!(admitted, 8 * SHARDS - 1 + 10 * SHARDS);
        // The earlier caller keeps its quota.
        let left = (0..20).filter(|_| take(&table, NOW, &[regular]).is_admitted()).count();
        assert_eq!(left, 9);
        // When they are full again, their places are free.
        let later = NOW + 61_000_000;
        let mut new = (200_000..).map(|n| charge(n, 10));
        let new = new.find(|charge| table.hashing.of(charge.bucket).shard(SHARDS) == 0).unwrap();
        assert!(take(&table, later, &[new]).is_admitted());
        assert_eq!(lock(&table.shards[0]).full_at.len(), 1);
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten_long_before_there_is_no_room() {
        let table = Table::new();
        for n in 0..200_u64 {
            for address in 0..1000 {
                take(&table, NOW + n * 61_000_000, &[charge(u128::from(n) * 1000 + address, 10)]);
            }
        }
        assert!(count(&table) <= SHARDS * 256, "{}", count(&table));
    }

    #[test]
    fn in_a_full_shard_one_call_takes_from_what_is_shared_as_often_as_it_asks() {
        let table = Table::bounded(0);
        let same_shard: Vec<_> = (0..)
            .map(|address| charge(address, 3))
            .filter(|charge| table.hashing.of(charge.bucket).shard(SHARDS) == 0)
            .take(4)
            .collect();
        let taken = take(&table, NOW, &same_shard);
        assert_eq!(taken.states().iter().map(|one| one.is_enough).collect::<Vec<_>>(), [true, true, true, false]);
        assert!(take(&table, NOW, &same_shard[..3]).is_admitted());
        assert!(!take(&table, NOW, &same_shard[3..]).is_admitted());
    }

    #[test]
    fn too_many_rates_without_a_place_are_refused_rather_than_kept() {
        let table = Table::bounded(0);
        let of_rate = |quota| Charge { rate: Rate::new(quota, Duration::from_secs(60)).unwrap(), ..charge(7, 1) };
        let admitted = (1..=200).filter(|&quota| take(&table, NOW, &[of_rate(quota)]).is_admitted()).count();
        assert_eq!(admitted, MOST_RATES);
    }

    #[test]
    fn a_bucket_twice_is_taken_from_twice_or_not_at_all() {
        let table = Table::new();
        let one = charge(1, 3);
        assert!(take(&table, NOW, &[one, one]).is_admitted());
        assert!(!take(&table, NOW, &[one, one]).is_admitted());
        let last = take(&table, NOW, &[one]);
        assert!(last.is_admitted() && last.states()[0].remaining == 0);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        // With a place of their own, and sharing one.
        for table in [Table::new(), Table::bounded(0)] {
            let one = charge(1, 3);
            let give_back = |now, charges: &[Charge]| table.give_back(now, charges, |charge| charge.rate.into());
            for _ in 0..100 {
                assert!(take(&table, NOW, &[one]).is_admitted());
                give_back(NOW, &[one]);
            }
            let left = |now| (0..10).filter(|_| take(&table, now, &[one]).is_admitted()).count();
            assert_eq!(left(NOW), 3);
            give_back(NOW, &[one, one]);
            assert_eq!(left(NOW), 2);
            // What has come back by itself in the meantime is not given twice.
            for _ in 0..5 {
                give_back(NOW + 61_000_000, &[one]);
            }
            assert_eq!(left(NOW + 61_000_000), 3);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_empties_a_bucket_and_does_not_lock_it() {
        let table = Table::new();
        let one = charge(1, 10);
        assert!(take(&table, NOW, &[one]).is_admitted());
        let earlier = NOW - 3_600_000_000;
        let taken = take(&table, earlier, &[one]);
        assert!(!taken.is_admitted() && taken.states()[0].reset == Duration::from_secs(6), "{taken:?}");
    }
}
