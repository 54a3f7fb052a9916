//! The arithmetic of a bucket (the generic cell rate algorithm, ITU-T I.371), in microseconds. A bucket is one number:
//! the moment at which it would be full again (the theoretical arrival time). It is never later than `tolerance` from
//! now.

use std::time::Duration;

use kernel::{BucketState, Rate};

/// How a bucket fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// The units it holds.
    pub(super) quota: u32,
    /// The time in which one comes back.
    pub(super) interval: u64,
}

impl From<Rate> for Shape {
    fn from(rate: Rate) -> Self {
        Self { quota: rate.quota(), interval: rate.interval_us() }
    }
}

impl Shape {
    /// The part of one of `nodes` that know nothing of each other. All parts together fill no faster than the
    /// whole. Where there are more nodes than units, each holds one unit, which takes as many times longer to come
    /// back: to give nothing would refuse even those who ask once a day.
    #[cfg(any(feature = "redis", test))]
    pub(super) fn share(self, nodes: usize) -> Self {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
        Self { quota: (self.quota / nodes).max(1), interval: self.interval.saturating_mul(nodes.into()) }
    }

    /// The time in which all of them come back.
    pub(super) fn tolerance(self) -> u64 {
        self.interval.saturating_mul(self.quota.into())
    }

    /// When it is full again, if `cost` is taken `ahead` of being full.
    pub(super) fn after(self, ahead: u64, cost: u32) -> u64 {
        ahead.saturating_add(self.interval.saturating_mul(cost.into()))
    }

    /// When it is full again, if `cost` is given back `ahead` of being full.
    pub(super) fn before(self, ahead: u64, cost: u32) -> u64 {
        ahead.saturating_sub(self.interval.saturating_mul(cost.into()))
    }

    /// How long until a bucket that is full at `full_at` is full. One whose moment is past all that can be is empty:
    /// its rate was another when that was written, or a clock was set back.
    pub(super) fn ahead(self, full_at: u64, now: u64) -> u64 {
        full_at.saturating_sub(now).min(self.tolerance())
    }

    /// Whether that much can be taken from a bucket that is full `ahead` from now.
    pub(super) fn has(self, ahead: u64, cost: u32) -> bool {
        cost <= self.quota && self.after(ahead, cost) <= self.tolerance()
    }

    /// How a bucket stands that is full `ahead` from now, of which `cost` was asked; when the call went through, it is
    /// taken.
    pub(super) fn state(self, ahead: u64, cost: u32, is_admitted: bool) -> BucketState {
        let is_enough = self.has(ahead, cost);
        let left = if is_admitted && is_enough { self.after(ahead, cost) } else { ahead };
        let remaining = self.tolerance().saturating_sub(left) / self.interval.max(1);
        let reset = match is_enough {
            true => left,
            // It never will be enough: another attempt is of no use for as long as can be said.
            false if cost > self.quota => self.tolerance(),
            false => self.after(ahead, cost) - self.tolerance(),
        };
        BucketState {
            is_enough,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX).min(self.quota),
            reset: Duration::from_micros(reset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [Shape; 5] = [
        Shape { quota: 1, interval: 1 },
        Shape { quota: 1, interval: 7 },
        Shape { quota: 3, interval: 5 },
        Shape { quota: 7, interval: 1 },
        Shape { quota: 5, interval: 11 },
    ];

    /// The same told slowly: a bucket of units that drip back one after another, which counts in parts of a unit.
    fn drips(shape: Shape, calls: &[(u64, u32)]) -> Vec<bool> {
        let (full, each) = (shape.tolerance(), shape.interval);
        let (mut level, mut last) = (full, 0);
        let admit = |&(now, cost): &(u64, u32)| {
            level = full.min(level + (now - last));
            last = now;
            let is_enough = level >= each * u64::from(cost);
            if is_enough {
                level -= each * u64::from(cost);
            }
            is_enough
        };
        calls.iter().map(admit).collect()
    }

    /// What the bucket says, with everything that must hold of it at each step.
    fn run(shape: Shape, calls: &[(u64, u32)]) -> Vec<bool> {
        let mut full_at = 0;
        let one = |&(now, cost): &(u64, u32)| {
            let ahead = shape.ahead(full_at, now);
            let state = shape.state(ahead, cost, true);
            if state.is_enough {
                full_at = now + shape.after(ahead, cost);
            }
            let ahead = shape.ahead(full_at, now);
            let reset = u64::try_from(state.reset.as_micros()).unwrap();
            // What remains is what can be taken, and no more.
            assert!(shape.has(ahead, state.remaining) && !shape.has(ahead, state.remaining + 1));
            if state.is_enough {
                assert_eq!(shape.ahead(full_at, now + reset), 0);
                assert!(reset == 0 || shape.ahead(full_at, now + reset - 1) > 0);
            } else if cost <= shape.quota {
                // Then and not a microsecond earlier.
                assert!(shape.has(shape.ahead(full_at, now + reset), cost));
                assert!(!shape.has(shape.ahead(full_at, now + reset - 1), cost));
            }
            state.is_enough
        };
        calls.iter().map(one).collect()
    }

    #[test]
    fn it_admits_what_a_dripping_bucket_admits_over_every_short_story() {
        // Every sequence of four calls, with every pause and cost up to a bound.
        for shape in SHAPES {
            let (pauses, costs) = ([0, 1, 2, 5, 11, 40], [1, 2, 5, 8]);
            let steps: Vec<(u64, u32)> = pauses.iter().flat_map(|&p| costs.map(|c| (p, c))).collect();
            for number in 0..steps.len().pow(4) {
                let mut now = 1000;
                let calls = [0, 1, 2, 3].map(|digit| {
                    let (pause, cost) = steps[number / steps.len().pow(digit) % steps.len()];
                    now += pause;
                    (now, cost)
                });
                assert_eq!(run(shape, &calls), drips(shape, &calls), "{shape:?} {calls:?}");
            }
        }
    }

    #[test]
    fn at_most_the_quota_and_what_comes_back_goes_through_in_any_span() {
        for shape in SHAPES {
            for pause in 1..=2 * shape.interval {
                let calls: Vec<_> = (0..400).map(|n| (1000 + n * pause, 1)).collect();
                let moments: Vec<_> = run(shape, &calls).into_iter().zip(calls).filter(|(is, _)| *is).collect();
                for (i, (_, (from, _))) in moments.iter().enumerate() {
                    for (j, (_, (to, _))) in moments.iter().enumerate().skip(i) {
                        let most = u64::from(shape.quota) + (to - from) / shape.interval;
                        assert!((j - i + 1) as u64 <= most, "{shape:?} every {pause}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_parts_of_all_nodes_are_at_most_the_whole() {
        for shape in SHAPES {
            for nodes in 1..20_u32 {
                let share = shape.share(nodes as usize);
                assert!(share.quota >= 1);
                assert!(share.interval >= shape.interval * u64::from(nodes), "so often in all");
                assert!(share.quota * nodes <= shape.quota || share.quota == 1);
            }
        }
    }

    #[test]
    fn the_largest_numbers_do_not_wrap() {
        let rate = Rate::new(1, Duration::from_secs(31 * 86_400)).unwrap();
        let shape = Shape::from(rate).share(usize::MAX);
        let state = shape.state(shape.ahead(u64::MAX, 0), u32::MAX, true);
        assert!(!state.is_enough && state.remaining == 0);
        assert!(!Shape::from(rate).has(0, 2) && Shape::from(rate).has(0, 1));
    }
}
