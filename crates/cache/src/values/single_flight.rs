//! One load for all who ask at once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::generations::{Generation, Generations};
use super::local::{Entry, EntryKey};

const SHARDS: usize = 64;

/// How a load stands.
#[derive(Clone)]
pub(crate) enum State {
    /// It is under way.
    Loading,
    /// This is what it brought, kept or not.
    Done(Arc<Entry>),
    /// It failed. The caller that loads got the error; there is one error, and it cannot be given to all.
    Failed,
}

/// How many loads failed of those that follow one another for the same askers. Counted together: who wakes up late must
/// not begin again what has failed often enough meanwhile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<AtomicU32>);

impl Attempts {
    pub(crate) fn failed(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

struct Flight {
    /// What it can be forgotten by while it loads, apart from the value's tags.
    generation: Generation,
    attempts: Attempts,
    state: watch::Receiver<State>,
}

type Shard = HashMap<EntryKey, Arc<Flight>>;

/// The loads under way. Held by the cache. A caller loads at most once at a time, so there are no more loads than
/// callers.
pub(crate) struct Flights {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
}

/// What a caller has to do.
pub(crate) enum Part {
    /// Load.
    Lead(Lead),
    /// Wait for the caller that does.
    Wait(Waiting),
}

/// A load of another, to wait for.
pub(crate) struct Waiting {
    state: watch::Receiver<State>,
    pub(crate) attempts: Attempts,
    /// A tag was forgotten between its beginning and now. It may turn out to be one of its own.
    is_behind: bool,
}

impl Waiting {
    /// How it ends; [`State::Loading`] if it does not, as its caller went away, or if what it brings is from before the
    /// asker came.
    pub(crate) async fn ended(mut self) -> State {
        match self.state.wait_for(|state| !matches!(state, State::Loading)).await.as_deref() {
            // Its tags may have been forgotten before they were known, or since: both may have been before the asker came.
            Ok(State::Done(entry))
                if self.is_behind && (entry.generation.has_missed_tag() || !entry.generation.are_current()) =>
            {
                State::Loading
            }
            Ok(state) => state.clone(),
            Err(_) => State::Loading,
        }
    }
}

/// The one load of a place. When it is dropped, the waiting callers go on: one of them loads.
///
/// A load belongs to its caller and ends with it. To go on with it on a task of its own was rejected: it would outlive
/// what its caller is held to, its deadline and its place in the queue for the database.
pub(crate) struct Lead {
    flights: Arc<Flights>,
    pub(crate) place: EntryKey,
    flight: Arc<Flight>,
    state: watch::Sender<State>,
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, place: &EntryKey) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(place) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the load of this place, or begins one. `after`: the attempts that it follows. A load that began before
    /// something was forgotten is joined by nobody: it may bring what was there before.
    pub(crate) fn join(self: &Arc<Self>, place: EntryKey, after: Option<Attempts>, generations: &Generations) -> Part {
        let tag_tick = generations.tag_tick();
        let mut shard = self.shard(&place);
        if let Some(flight) = shard.get(&place)
            && flight.generation.are_current()
        {
            let is_behind = !flight.generation.are_of(tag_tick);
            return Part::Wait(Waiting { state: flight.state.clone(), attempts: flight.attempts.clone(), is_behind });
        }
        let (sender, state) = watch::channel(State::Loading);
        let flight = Arc::new(Flight {
            generation: generations.generation(&place.key),
            attempts: after.unwrap_or_default(),
            state,
        });
        shard.insert(place.clone(), flight.clone());
        drop(shard);
        Part::Lead(Lead { flights: self.clone(), place, flight, state: sender })
    }
}

impl Lead {
    /// What the load could be forgotten by, as it was when it began.
    pub(crate) fn generation(&self) -> Generation {
        self.flight.generation.clone()
    }

    /// The attempts that it is one of.
    pub(crate) fn attempts(&self) -> &Attempts {
        &self.flight.attempts
    }

    /// Tells those who wait what there is.
    pub(crate) fn done(self, entry: Arc<Entry>) {
        self.state.send_replace(State::Done(entry));
    }

    /// Tells those who wait that it failed.
    pub(crate) fn failed(self) {
        self.flight.attempts.0.fetch_add(1, Ordering::AcqRel);
        self.state.send_replace(State::Failed);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut shard = self.flights.shard(&self.place);
        // Another may have begun, after something was forgotten.
        if shard.get(&self.place).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            shard.remove(&self.place);
        }
    }
}
