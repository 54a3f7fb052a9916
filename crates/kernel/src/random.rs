use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where randomness comes from. A value that is handed in, so that a test can repeat itself.
#[derive(Clone)]
pub struct Random(Source);

#[derive(Clone)]
enum Source {
    Os,
    Seeded(Arc<AtomicU64>),
}

impl Random {
    /// The operating system's generator.
    pub const fn os() -> Self {
        Self(Source::Os)
    }

    /// A repeatable sequence, for tests only: it is guessable.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(AtomicU64::new(seed))))
    }

    /// Fills `out` with random bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing secret could be made after that.
    pub fn fill(&self, out: &mut [u8]) {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for randomness")]
            Source::Os => getrandom::fill(out).expect("the operating system gives randomness"),
            Source::Seeded(state) => {
                for chunk in out.chunks_mut(8) {
                    // SplitMix64 (Steele, Lea, Flood 2014).
                    let mut z =
                        state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
                    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    z ^= z >> 31;
                    chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
                }
            }
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Os => "Random::os",
            Source::Seeded(_) => "Random::seeded",
        })
    }
}
