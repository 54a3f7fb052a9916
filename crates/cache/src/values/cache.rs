use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cached::Cached;
use super::changing::Changing;
use super::flight::Flights;
use super::key::Target;
use super::ledger::Ledger;
use super::local::Local;
use super::plan::{Plan, PlanError};
use super::popularity::Sketch;
use super::stats::{Counts, Hot, Stats};
use crate::CacheSettings;

/// The most plans of a cache.
const MOST_PLANS: usize = 1000;
/// So many old values are brought anew at a time behind the backs of those who ask; the others stay old a little longer.
const MOST_REFRESHES: usize = 64;

/// What a node remembers of what it would have to ask for. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Cache(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) local: Local,
    pub(crate) ledger: Ledger,
    pub(crate) flights: Arc<Flights>,
    pub(crate) sketch: Sketch,
    pub(crate) refreshes: Arc<Semaphore>,
    plans: Mutex<Vec<(String, Arc<Counts>)>>,
    /// The longest that anything may be kept by any plan, in microseconds.
    longest_us: AtomicU64,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache of this much memory.
    pub fn new(settings: &CacheSettings) -> Self {
        Self(Arc::new(Inner {
            local: Local::new(settings.memory_bytes),
            ledger: Ledger::new(),
            flights: Arc::new(Flights::new()),
            sketch: Sketch::new(),
            refreshes: Arc::new(Semaphore::new(MOST_REFRESHES)),
            plans: Mutex::default(),
            longest_us: AtomicU64::new(0),
        }))
    }

    /// A way to values of one kind.
    ///
    /// # Errors
    /// When the plan cannot be followed, or there is one of its name.
    pub fn plan<T: Send + Sync + 'static>(&self, plan: Plan<T>) -> Result<Cached<T>, PlanError> {
        plan.check()?;
        let mut plans = self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.iter().any(|(name, _)| *name == plan.name) {
            return Err(PlanError::Taken);
        }
        if plans.len() == MOST_PLANS {
            return Err(PlanError::TooMany);
        }
        let longest_us = u64::try_from(plan.longest().as_micros()).unwrap_or(u64::MAX);
        self.0.longest_us.fetch_max(longest_us, Ordering::AcqRel);
        let counts = Arc::new(Counts::default());
        let number = u32::try_from(plans.len()).unwrap_or(u32::MAX);
        plans.push((plan.name.clone(), counts.clone()));
        Ok(Cached::new(self.0.clone(), plan, number, counts))
    }

    /// Says what is about to change, before the change is committed: from now on nothing of it is kept, on any node, until
    /// [`Changing::done`]. What can be told to others within `deadline` is; the rest is caught up on.
    ///
    /// A change that is only announced once it is committed ([`Cache::forget`]) has a gap: a process that ends between the
    /// two leaves the old value to the others until its time is over.
    pub async fn changing(&self, targets: Vec<Target>, deadline: Instant) -> Changing {
        Changing::begin(self.0.clone(), targets, deadline).await
    }

    /// Forgets what has changed, everywhere. When this returns, no `get` on this node returns what was loaded before; other
    /// nodes have been told, or will be.
    pub async fn forget(&self, targets: Vec<Target>, deadline: Instant) {
        self.changing(targets, deadline).await.done().await;
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        let plans = self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        Stats { plans: plans.iter().map(|(name, counts)| counts.read(name)).collect(), undelivered: 0 }
    }

    /// The keys that are asked for most, 64 at most: one of 16 asks is looked at.
    pub fn hottest(&self, most: usize) -> Vec<Hot> {
        self.0.sketch.hottest(most).into_iter().map(|(key, asks)| Hot { key, asks }).collect()
    }
}
