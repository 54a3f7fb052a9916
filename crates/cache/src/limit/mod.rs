//! Allowances: how much of something a caller may do in a while, over all nodes.

#[cfg(feature = "redis")]
mod denied_cache;
mod gcra;
#[cfg(feature = "redis")]
mod offline_usage;
#[cfg(feature = "redis")]
mod redis;
mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Charge, Ctx, Giving, Limit, MOST_CHARGES, Taking};

use crate::{Backend, Bus};
use table::{Table, refused};

/// What is done while Redis, which keeps the buckets, does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnavailable {
    /// Each node lets through its share: what the rate gives, divided by the nodes it last heard of.
    Share,
    /// Nothing goes through.
    Refuse,
}

/// The retry time for a call that cannot be judged.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Keeps buckets: in memory for one node, in Redis for several. Cheap to clone; the clones share them.
///
/// **In memory** a bucket is exact, from every thread. Room is bounded: 917,504 buckets that are not full. While there
/// are more, new ones share one for each rate, a sixty-fourth of them each.
///
/// **In Redis** one script judges all buckets of a call at once, by Redis's own clock, so nodes need not agree on the
/// time. It is exact over all nodes. All keys have `{limits}` in them, so in a cluster those of a deployment lie on one server: a call
/// takes from several buckets at once, which only one can do. Redis must keep what it is given: one that evicts keys
/// gives their quotas again (`maxmemory-policy noeviction` or one of `volatile-ttl` does less harm than
/// `allkeys-random`).
///
/// **When Redis loses its memory** (a restart, also with an older snapshot, a failover, `FLUSHALL`), every bucket
/// counts as empty at that moment and fills from then on: no more goes through than if nothing had been lost. That is
/// known by a record that lies beside the buckets with the run id of the process. Two cases are not told apart from a first
/// start, which gives full quotas: when all nodes restart together with an empty Redis; and, when a node that begins
/// finds the empty one first, until one that knew what was there asks it for something. In a cluster a server that
/// comes back with an older snapshot is not noticed.
///
/// **While Redis is away**, with [`WhenUnavailable::Share`], each node goes on by itself with its part of each rate, from
/// buckets that are empty when it is lost. So when Redis is lost to all, all nodes together let through no more than
/// the rate gives, as long as they heard of each other before. When Redis is back, what went through is taken from the
/// buckets: it would give the same time again. A node that alone is cut off adds at most its part to what the others let
/// through, until it is back; and one that never heard of another takes itself for the only one.
///
/// Not an allowance of money: a call whose answer was lost on the way may have been taken for, and what was taken is
/// given back only when the caller says that it did not count.
#[derive(Clone)]
pub struct Limiter(LimiterKind);

#[derive(Clone)]
enum LimiterKind {
    Memory(Arc<Table>),
    #[cfg(feature = "redis")]
    Redis(Arc<redis::RedisLimits>),
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limiter")
            .field(match &self.0 {
                LimiterKind::Memory(_) => &"memory",
                #[cfg(feature = "redis")]
                LimiterKind::Redis(_) => &"redis",
            })
            .finish()
    }
}

impl Limiter {
    /// Buckets where the backend says. The bus tells how many nodes there are.
    pub fn new(backend: &Backend, bus: &Bus, when_unavailable: WhenUnavailable) -> Self {
        #[cfg(feature = "redis")]
        if let Some(manager) = backend.manager() {
            return Self(LimiterKind::Redis(Arc::new(redis::RedisLimits::new(manager, bus, when_unavailable))));
        }
        let _ = (backend, bus, when_unavailable);
        Self(LimiterKind::Memory(Arc::new(Table::new())))
    }

    /// Takes from all of these buckets, or from none where one has not enough. A bucket that is there twice is taken
    /// from twice. A call that takes from more than [`MOST_CHARGES`] is refused: to leave some out would open a gate.
    ///
    /// What is known without asking another is answered at once: everything in memory; and over Redis what it refused
    /// lately, as long as it would go on refusing it. Whatever is waited for ends by the deadline of the call.
    pub fn take(&self, ctx: &Ctx, charges: &[Charge]) -> Taking {
        if charges.len() > MOST_CHARGES {
            return Taking::Now(refused(charges, REFUSED_FOR));
        }
        match &self.0 {
            LimiterKind::Memory(table) => {
                Taking::Now(table.take(now(ctx), charges, |charge| charge.rate.into(), |_| 0))
            }
            #[cfg(feature = "redis")]
            LimiterKind::Redis(shared) => redis::take(shared, ctx, charges),
        }
    }

    /// Gives back what a call took that went through and turned out not to count: the right password, where wrong ones are
    /// counted. What has come back by itself since is not given twice.
    pub fn give_back(&self, ctx: &Ctx, charges: &[Charge]) -> Giving {
        match &self.0 {
            LimiterKind::Memory(table) => {
                table.give_back(now(ctx), charges, |charge| charge.rate.into());
                None
            }
            #[cfg(feature = "redis")]
            LimiterKind::Redis(shared) => redis::give_back(shared, ctx, charges),
        }
    }
}

/// Microseconds. Years before 1970 are none in which a limit is asked for.
fn now(ctx: &Ctx) -> u64 {
    u64::try_from(ctx.now().as_micros()).unwrap_or(0)
}

impl Limit for Limiter {
    fn take(&self, ctx: &Ctx, charges: &[Charge]) -> Taking {
        Limiter::take(self, ctx, charges)
    }

    fn give_back(&self, ctx: &Ctx, charges: &[Charge]) -> Giving {
        Limiter::give_back(self, ctx, charges)
    }
}
