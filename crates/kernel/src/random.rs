use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where randomness comes from. A value that is handed in, so that a test can repeat itself.
#[derive(Clone)]
pub struct Random(Source);

#[derive(Clone)]
enum Source {
    Os,
    Seeded(Arc<Seeded>),
}

/// Two streams, so that what waited changes nothing in what is made.
struct Seeded {
    values: SplitMix,
    pauses: SplitMix,
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct SplitMix(AtomicU64);

impl SplitMix {
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

impl Random {
    /// The operating system's generator.
    pub const fn os() -> Self {
        Self(Source::Os)
    }

    /// A repeatable sequence, for tests only: it is guessable.
    pub fn seeded(seed: u64) -> Self {
        let stream = || SplitMix(AtomicU64::new(seed));
        Self(Source::Seeded(Arc::new(Seeded { values: stream(), pauses: stream() })))
    }

    /// Fills `out` with random bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing secret could be made after that.
    pub fn fill(&self, out: &mut [u8]) {
        match &self.0 {
            Source::Os => fill_from_os(out),
            Source::Seeded(streams) => streams.values.fill(out),
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A random part of a time, from none to all of it: for pauses and for how long something is kept, so that what
    /// began together does not go on together.
    ///
    /// Where the sequence is repeatable, these come from one of their own. How often something had to wait is not
    /// repeatable, and what is made after it would otherwise differ.
    ///
    /// # Panics
    /// As [`Random::fill`].
    pub fn part_of(&self, time: Duration) -> Duration {
        let mut out = [0; 2];
        match &self.0 {
            Source::Os => fill_from_os(&mut out),
            Source::Seeded(streams) => streams.pauses.fill(&mut out),
        }
        time.mul_f64(f64::from(u16::from_le_bytes(out)) / f64::from(u16::MAX))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the system for randomness")]
fn fill_from_os(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives randomness");
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Os => "Random::os",
            Source::Seeded(_) => "Random::seeded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_changes_nothing_in_what_is_made() {
        let (one, other) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(one.bytes::<16>(), other.bytes());
        one.part_of(Duration::from_secs(1));
        assert_eq!(one.bytes::<16>(), other.bytes());
    }

    #[test]
    fn a_part_is_from_none_to_all_of_it() {
        let time = Duration::from_secs(8);
        for random in [Random::os(), Random::seeded(1)] {
            let parts: Vec<Duration> = (0..1000).map(|_| random.part_of(time)).collect();
            assert!(parts.iter().all(|part| *part <= time));
            for quarter in 0..4 {
                let among =
                    parts.iter().filter(|part| (quarter * 2..quarter * 2 + 2).contains(&part.as_secs())).count();
                assert!(among > 150, "{among} of 1000 in the quarter {quarter}");
            }
        }
    }
}
