use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use crate::Ctx;

/// How much a bucket lets through: `quota` at once, and as much again over each `window`, a little at a time (the
/// generic cell rate algorithm, ITU-T I.371).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    quota: u32,
    window: Duration,
}

/// A rate that cannot be kept exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateError {
    /// The quota is zero.
    Nothing,
    /// The window is shorter than a second or longer than 31 days.
    Window,
    /// More than 10,000 a second: the moments between two are no longer told apart.
    TooFast,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "a quota is at least 1",
            Self::Window => "a window is from one second to 31 days",
            Self::TooFast => "a quota is at most 10,000 for each second of its window",
        })
    }
}

impl std::error::Error for RateError {}

impl Rate {
    /// `quota` units in each `window`.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub const fn new(quota: u32, window: Duration) -> Result<Self, RateError> {
        let us = window.as_micros();
        if quota == 0 {
            Err(RateError::Nothing)
        } else if us < 1_000_000 || us > 31 * 86_400 * 1_000_000 {
            Err(RateError::Window)
        } else if us < 100 * quota as u128 {
            Err(RateError::TooFast)
        } else {
            Ok(Self { quota, window })
        }
    }

    /// The units that go through at once, when nothing has for a whole window.
    pub const fn quota(self) -> u32 {
        self.quota
    }

    /// How long the quota takes to come back.
    pub const fn window(self) -> Duration {
        self.window
    }

    /// The time between two units, in microseconds, rounded down by less than a hundredth: at least 100.
    #[expect(clippy::cast_possible_truncation, reason = "a window has at most 31 days")]
    pub const fn interval_us(self) -> u64 {
        self.window.as_micros() as u64 / self.quota as u64
    }
}

/// Whose allowance it is, and of what. Two requests with equal buckets share one; no part of it is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Bucket {
    /// The policy: a number made of its name, the same on every node ([`Bucket::named`]).
    pub policy: u64,
    /// The operation, made of its name likewise; 0: all of them share it.
    pub operation: u64,
    /// The client's address, IPv4 mapped into IPv6; 0: whatever the address.
    pub address: u128,
    /// The user, the API key or another subject; 0: any.
    pub who: u128,
}

impl Bucket {
    /// A name as a number: FNV-1a of its bytes (draft-eastlake-fnv-21), so that every node comes to the same.
    pub const fn named(name: &str) -> u64 {
        let (bytes, mut hash, mut at) = (name.as_bytes(), 0xcbf2_9ce4_8422_2325_u64, 0);
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        hash
    }
}

impl fmt::Display for Bucket {
    /// Its name where nodes share it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:x}:{:x}:{:x}", self.policy, self.operation, self.address, self.who)
    }
}

/// What one call takes from one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// From where.
    pub bucket: Bucket,
    /// How much the bucket lets through.
    pub rate: Rate,
    /// How much it takes, at least 1. More than the quota never goes through.
    pub cost: u32,
}

/// How a bucket stands after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketState {
    /// Whether there was enough in it. A call goes through when all of its buckets say so; otherwise it took from none.
    pub is_enough: bool,
    /// The units that could be taken at once, now.
    pub remaining: u32,
    /// Where there was enough: until the whole quota is there again. Where not: until there is enough.
    pub reset: Duration,
}

/// The most buckets one call takes from.
pub const MOST_CHARGES: usize = 6;

/// How the buckets of one call stand after it, in the order of its charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    states: [BucketState; MOST_CHARGES],
    count: usize,
}

impl Taken {
    /// Of these; what is past [`MOST_CHARGES`] is left out.
    pub fn of(states: impl IntoIterator<Item = BucketState>) -> Self {
        let none = BucketState { is_enough: true, remaining: 0, reset: Duration::ZERO };
        let mut taken = Self { states: [none; MOST_CHARGES], count: 0 };
        for (place, state) in taken.states.iter_mut().zip(states) {
            *place = state;
            taken.count += 1;
        }
        taken
    }

    /// Whether the call goes through: there was enough in each bucket, and it was taken from all of them. Otherwise nothing
    /// was taken from any.
    pub fn is_admitted(&self) -> bool {
        self.states().iter().all(|state| state.is_enough)
    }

    /// Each bucket.
    pub fn states(&self) -> &[BucketState] {
        &self.states[..self.count]
    }
}

/// The verdict on a call.
pub enum Taking {
    /// Known at once.
    Now(Taken),
    /// Others have to be asked.
    Later(Pin<Box<dyn Future<Output = Taken> + Send>>),
}

impl fmt::Debug for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(taken) => write!(f, "Now({taken:?})"),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// What is left to wait for until it is given back; nothing where it was done at once.
pub type Giving = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Keeps the buckets.
pub trait Limit: fmt::Debug + Send + Sync + 'static {
    /// Takes from all of these buckets, or from none where one has not enough. At most [`MOST_CHARGES`], no bucket twice.
    fn take(&self, ctx: &Ctx, charges: &[Charge]) -> Taking;

    /// Gives back what a call took that went through and turned out not to count. Never fails: where it cannot be given
    /// back, it stays taken.
    fn give_back(&self, ctx: &Ctx, charges: &[Charge]) -> Giving;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_one_that_can_be_kept() {
        let second = Duration::from_secs(1);
        assert_eq!(Rate::new(0, second), Err(RateError::Nothing));
        assert_eq!(Rate::new(1, Duration::from_millis(999)), Err(RateError::Window));
        assert_eq!(Rate::new(1, 32 * 86_400 * second), Err(RateError::Window));
        assert_eq!(Rate::new(10_001, second), Err(RateError::TooFast));
        assert_eq!(Rate::new(10_000, second).map(Rate::interval_us), Ok(100));
        assert_eq!(Rate::new(7, 60 * second).map(Rate::interval_us), Ok(8_571_428));
    }

    #[test]
    fn a_name_is_the_same_number_everywhere() {
        // The draft's own test vectors.
        assert_eq!(Bucket::named(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Bucket::named("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Bucket::named("foobar"), 0x8594_4171_f739_67e8);
    }
}
