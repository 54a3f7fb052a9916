//! What went through while Redis was away: Redis is charged for it when it is back, or it would give the same again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::{Bucket, Charge, MOST_CHARGES};

use super::gcra::Shape;
use super::table::lock;

/// The most buckets that owe something. Others are refused while Redis is away: what is not noted would be given twice.
const MOST: usize = 200_000;

/// What each bucket owes, in units.
#[derive(Debug, Default)]
pub(super) struct OfflineUsage {
    /// Whether there is anything, for a look without the lock: nearly always there is not.
    is_any: AtomicBool,
    owed: Mutex<HashMap<Bucket, (Shape, u64)>>,
}

/// What was taken out to be told, in the order of the charges.
pub(super) type Reported = [u64; MOST_CHARGES];

impl OfflineUsage {
    /// Notes what went through. False, and nothing is noted, where there is no room.
    pub(super) fn add(&self, charges: &[Charge]) -> bool {
        let mut owed = lock(&self.owed);
        let new = charges.iter().filter(|charge| !owed.contains_key(&charge.bucket)).count();
        if owed.len() + new > MOST {
            return false;
        }
        for charge in charges {
            let (_, units) = owed.entry(charge.bucket).or_insert_with(|| (charge.rate.into(), 0));
            *units = units.saturating_add(charge.cost.into());
        }
        self.is_any.store(true, Ordering::Release);
        true
    }

    /// What these noted last did not count.
    pub(super) fn forgive(&self, charges: &[Charge]) {
        let mut owed = lock(&self.owed);
        for charge in charges {
            if let Entry::Occupied(mut found) = owed.entry(charge.bucket) {
                let units = found.get().1.saturating_sub(charge.cost.into());
                if units == 0 {
                    found.remove();
                } else {
                    found.get_mut().1 = units;
                }
            }
        }
        self.is_any.store(!owed.is_empty(), Ordering::Release);
    }

    /// Takes out what these owe; of a bucket that is there twice at its first place.
    pub(super) fn take(&self, charges: &[Charge]) -> Reported {
        let mut told = [0; MOST_CHARGES];
        if !self.is_any.load(Ordering::Acquire) {
            return told;
        }
        let mut owed = lock(&self.owed);
        for (place, charge) in told.iter_mut().zip(charges) {
            if let Entry::Occupied(found) = owed.entry(charge.bucket) {
                *place = found.remove().1;
            }
        }
        self.is_any.store(!owed.is_empty(), Ordering::Release);
        told
    }

    /// Puts back what could not be told.
    pub(super) fn put_back(&self, charges: &[Charge], told: &Reported) {
        let mut owed = lock(&self.owed);
        for (charge, units) in charges.iter().zip(told).filter(|(_, units)| **units > 0) {
            let (_, before) = owed.entry(charge.bucket).or_insert_with(|| (charge.rate.into(), 0));
            *before = before.saturating_add(*units);
            self.is_any.store(true, Ordering::Release);
        }
    }

    /// Some that owe.
    pub(super) fn some(&self) -> Vec<(Bucket, Shape, u64)> {
        let mut owed = lock(&self.owed);
        let keys: Vec<Bucket> = owed.keys().take(MOST_CHARGES).copied().collect();
        let taken = keys.into_iter().filter_map(|key| owed.remove(&key).map(|(shape, units)| (key, shape, units)));
        let taken = taken.collect();
        self.is_any.store(!owed.is_empty(), Ordering::Release);
        taken
    }

    /// Puts back what was taken by [`OfflineUsage::some`].
    pub(super) fn return_all(&self, all: &[(Bucket, Shape, u64)]) {
        let mut owed = lock(&self.owed);
        for (bucket, shape, units) in all {
            let (_, before) = owed.entry(*bucket).or_insert((*shape, 0));
            *before = before.saturating_add(*units);
            self.is_any.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::Rate;

    use super::*;

    #[test]
    fn what_did_not_count_is_not_owed() {
        let rate = Rate::new(10, Duration::from_secs(10)).unwrap();
        let charge = |who| Charge { bucket: Bucket { who, ..Bucket::default() }, rate, cost: 2 };
        let offline_usage = OfflineUsage::default();
        assert!(offline_usage.add(&[charge(1), charge(2)]) && offline_usage.add(&[charge(1)]));
        offline_usage.forgive(&[charge(1), charge(2), charge(3)]);
        assert_eq!(offline_usage.take(&[charge(1), charge(2), charge(3)])[..3], [2, 0, 0]);
        // More than is owed is not owed to anybody.
        assert!(offline_usage.add(&[charge(1)]));
        offline_usage.forgive(&[charge(1)]);
        offline_usage.forgive(&[charge(1)]);
        assert!(offline_usage.some().is_empty() && !offline_usage.is_any.load(Ordering::Acquire));
    }
}
