use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel::{Ctx, DeadlinePassed, Time};
use tokio::time::Instant;

use super::cache_config::{CacheConfig, MOST_TAGS};
use super::cache_state::CacheState;
use super::key::{Key, Tag};
use super::local::{Anything, Entry, EntryKey};
#[cfg(feature = "redis")]
use super::redis_values::{Right, Sought};
use super::single_flight::{Attempts, Lead, Part, State};
use super::stats::{self, Counts};

/// The most keys that are fetched at once.
pub const MOST_PREFETCHED: usize = 1000;
/// The loads of others that a waiting caller sees fail, one after another, before it gives up. So a broken database
/// is asked this often by all callers together, not by each; and the caller that loads knows why it failed.
const MOST_FAILED: u32 = 3;
/// How long a load may take that nobody waits for.
const REFRESH: Duration = Duration::from_secs(5);
/// One that failed is tried again after this, in microseconds.
const REFRESH_AGAIN_US: i64 = 1_000_000;
/// One of this many hits is looked at for what is hottest.
const SAMPLE: u8 = 16;
const _: () = assert!(SAMPLE == 16, "`is_sampled` looks at four bits");

/// Why there is no value, where it is not for the caller's own load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The operation's time is up.
    Late,
    /// Others loaded the same, this one waited for them, and they failed three times. Each of them knows why.
    Failed,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Late => "the operation's time is up",
            Self::Failed => "what others asked for at the same time failed again and again",
        })
    }
}

impl std::error::Error for Unanswered {}

/// Values of one kind, as its [`CacheConfig`] says. Cheap to clone: all clones are one.
pub struct Cached<T>(pub(super) Arc<Kept<T>>);

pub(super) struct Kept<T> {
    pub(super) inner: Arc<CacheState>,
    pub(super) config: CacheConfig<T>,
    number: u32,
    pub(super) counts: Arc<Counts>,
}

/// What a load, or another node's, brought.
pub(super) struct Loaded<T> {
    pub(super) value: Option<Arc<T>>,
    /// Written down, where that is needed.
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) tags: Vec<Tag>,
    pub(super) until_us: (i64, i64),
    /// As far as other nodes are concerned.
    pub(super) may_be_kept: bool,
}

impl<T> Clone for Cached<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Cached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cached").field(&self.0.config).finish()
    }
}

/// What this node's memory has.
enum Found<T> {
    Fresh(Option<Arc<T>>),
    /// Past its time, but still to be served.
    Stale(Arc<Entry>),
    Nothing,
}

impl<T: Send + Sync + 'static> Cached<T> {
    pub(crate) fn new(inner: Arc<CacheState>, config: CacheConfig<T>, number: u32, counts: Arc<Counts>) -> Self {
        Self(Arc::new(Kept { inner, config, number, counts }))
    }

    /// The value of this key: from memory, or from `load`, which is asked once for all who ask at the same time (by each
    /// for itself where nothing is kept anywhere) and says `None` where there is none. It runs as part of this future and
    /// ends with it; then another waiting caller loads. Where the old value may still be served, the first caller to find
    /// it loads the new one, and gets the old one if that fails.
    ///
    /// # Errors
    /// What `load` says, to the one whose load it is; [`Unanswered`] where the time is up or others' loads failed.
    pub async fn get<F, Fut, E>(&self, ctx: &Ctx, key: &Key, load: F) -> Result<Option<Arc<T>>, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<T>, E>>,
        E: From<Unanswered>,
    {
        match self.find(ctx, key) {
            Found::Fresh(value) => Ok(value),
            Found::Stale(old) => {
                let Some(lead) = self.claim(ctx, key, &old) else { return Ok(value_of(&old)) };
                match self.lead(ctx, lead, load).await {
                    Err(_) if old.generation.are_current() => Ok(value_of(&old)),
                    result => result,
                }
            }
            Found::Nothing => self.miss(ctx, key, load).await,
        }
    }

    /// The same, where nobody waits for the new value of an old one that may still be served: it is loaded on a task of
    /// its own. `load` is given the context for that, which is the caller's with a deadline of its own.
    ///
    /// # Errors
    /// As for [`Cached::get`].
    pub async fn get_ahead<F, Fut, E>(&self, ctx: &Ctx, key: &Key, load: F) -> Result<Option<Arc<T>>, E>
    where
        F: FnOnce(Ctx) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: From<Unanswered> + Send + 'static,
    {
        match self.find(ctx, key) {
            Found::Fresh(value) => Ok(value),
            Found::Stale(old) => {
                self.refresh(ctx, key, &old, load);
                Ok(value_of(&old))
            }
            Found::Nothing => {
                let own = ctx.clone();
                self.miss(ctx, key, || load(own)).await
            }
        }
    }

    /// What this node's memory has now, without waiting: `None` where it would have to be asked for, `Some(None)` where
    /// it is known that there is nothing.
    pub fn peek(&self, ctx: &Ctx, key: &Key) -> Option<Option<Arc<T>>> {
        match self.look(ctx, key) {
            Found::Fresh(value) => Some(value),
            Found::Stale(old) => Some(value_of(&old)),
            Found::Nothing => None,
        }
    }

    /// Sees to it that these are in memory, with one load for all that are not, and that nobody loads already. `load`
    /// gets their keys and returns what there is; what it does not return, there is not. Redis is not asked, and not
    /// told. At most [`MOST_PREFETCHED`]; those after that are not fetched. Returns how many were loaded.
    ///
    /// # Errors
    /// What `load` says, or that the time is up.
    pub async fn prefetch<F, Fut, E>(&self, ctx: &Ctx, keys: &[Key], load: F) -> Result<usize, E>
    where
        F: FnOnce(Vec<Key>) -> Fut,
        Fut: Future<Output = Result<Vec<(Key, Option<T>)>, E>>,
        E: From<Unanswered>,
    {
        if !self.0.inner.local.is_there() {
            return Ok(0);
        }
        let mut leads = Vec::new();
        for key in keys.iter().take(MOST_PREFETCHED) {
            if matches!(self.look(ctx, key), Found::Nothing)
                && let Part::Lead(lead) = self.join(key, None)
            {
                leads.push(lead);
            }
        }
        if leads.is_empty() {
            return Ok(0);
        }
        let (began, started) = (ctx.now(), Instant::now());
        self.0.counts.loads.fetch_add(leads.len() as u64, Ordering::Relaxed);
        let wanted = leads.iter().map(|lead| lead.place.key.clone()).collect();
        let loaded = ctx.within(load(wanted)).await.map_err(|DeadlinePassed| Unanswered::Late)?;
        self.0.counts.loaded(started.elapsed());
        let mut loaded: std::collections::HashMap<_, _> = match loaded {
            Ok(loaded) => loaded.into_iter().collect(),
            Err(error) => {
                self.0.counts.load_errors.fetch_add(leads.len() as u64, Ordering::Relaxed);
                leads.into_iter().for_each(Lead::failed);
                return Err(error);
            }
        };
        let count = leads.len();
        for lead in leads {
            let value = loaded.remove(&lead.place.key).flatten().map(Arc::new);
            self.settle(lead, &self.loaded(ctx, began, value));
        }
        Ok(count)
    }

    fn find(&self, ctx: &Ctx, key: &Key) -> Found<T> {
        let found = self.look(ctx, key);
        let seen = match &found {
            Found::Nothing => {
                let seen = self.0.counts.misses.fetch_add(1, Ordering::Relaxed);
                if self.0.config.worth_after > 1 {
                    // Each one counts here, and none twice.
                    self.0.inner.sketch.count(key, 1);
                    return found;
                }
                seen
            }
            Found::Stale(_) => {
                stats::add(&self.0.counts.hits_stale);
                self.0.counts.hit()
            }
            Found::Fresh(_) => self.0.counts.hit(),
        };
        if is_sampled(seen) {
            self.0.inner.sketch.count_hot(key, SAMPLE);
        }
        found
    }

    /// Uncounted.
    fn look(&self, ctx: &Ctx, key: &Key) -> Found<T> {
        if !self.0.inner.is_current() {
            return Found::Nothing;
        }
        let Some(entry) = self.0.inner.local.find(self.0.number, key) else { return Found::Nothing };
        let now_us = ctx.now().as_micros();
        if !entry.generation.are_current() || now_us >= entry.stale_until_us {
            self.0.inner.local.remove(self.0.number, key, &entry);
            return Found::Nothing;
        }
        if now_us < entry.fresh_until_us {
            return Found::Fresh(value_of(&entry));
        }
        Found::Stale(entry)
    }

    /// `after`: the attempts that this one follows.
    fn join(&self, key: &Key, after: Option<Attempts>) -> Part {
        let place = EntryKey { config: self.0.number, key: key.clone() };
        self.0.inner.flights.join(place, after, &self.0.inner.generations)
    }

    /// The right to bring the new value of an old one, if nobody else is about to.
    fn claim(&self, ctx: &Ctx, key: &Key, old: &Entry) -> Option<Lead> {
        if !old.claim_refresh(ctx.now().as_micros(), REFRESH_AGAIN_US) {
            return None;
        }
        match self.join(key, None) {
            Part::Lead(lead) => Some(lead),
            Part::Wait(_) => None,
        }
    }

    async fn miss<F, Fut, E>(&self, ctx: &Ctx, key: &Key, load: F) -> Result<Option<Arc<T>>, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<T>, E>>,
        E: From<Unanswered>,
    {
        if self.keeps_nothing() {
            let (_, value) = self.call(ctx, load).await??;
            return Ok(value.map(Arc::new));
        }
        let (mut failed, mut attempts) = (0, None);
        loop {
            let waiting = match self.join(key, attempts.take()) {
                // Others failed between the wait and the lead: it is over for all of them.
                Part::Lead(lead) if lead.attempts().failed() >= MOST_FAILED => return Err(Unanswered::Failed.into()),
                Part::Lead(lead) => {
                    // It may have come between the look and the lead.
                    if let Found::Fresh(value) = self.look(ctx, key) {
                        return Ok(value);
                    }
                    return self.lead(ctx, lead, load).await;
                }
                Part::Wait(waiting) => waiting,
            };
            stats::add(&self.0.counts.waits);
            let so_far = waiting.attempts.clone();
            match ctx.within(waiting.ended()).await {
                Err(DeadlinePassed) => return Err(Unanswered::Late.into()),
                Ok(State::Done(entry)) => return Ok(value_of(&entry)),
                Ok(State::Failed) => {
                    failed += 1;
                    if so_far.failed().max(failed) >= MOST_FAILED {
                        return Err(Unanswered::Failed.into());
                    }
                }
                // Its caller went away, or what it brought is too old.
                Ok(State::Loading) => {}
            }
            attempts = Some(so_far);
        }
    }

    async fn lead<F, Fut, E>(&self, ctx: &Ctx, lead: Lead, load: F) -> Result<Option<Arc<T>>, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<T>, E>>,
        E: From<Unanswered>,
    {
        #[cfg(feature = "redis")]
        let right = match self.ask_shared(ctx, &lead.place.key).await {
            Sought::Found(found) => {
                stats::add(&self.0.counts.hits_shared);
                self.settle(lead, &found);
                return Ok(found.value);
            }
            Sought::Load(right) => right,
        };
        match self.call(ctx, load).await? {
            Ok((began, value)) => {
                let loaded = self.loaded(ctx, began, value.map(Arc::new));
                #[cfg(feature = "redis")]
                let loaded = Loaded { may_be_kept: !matches!(right, Right::Nothing), ..loaded };
                let is_kept = self.settle(lead, &loaded);
                #[cfg(feature = "redis")]
                if let Right::Share(ticket) = right {
                    self.fill_shared(ctx, ticket, &loaded, is_kept).await;
                }
                #[cfg(not(feature = "redis"))]
                let _ = is_kept;
                Ok(loaded.value)
            }
            Err(error) => {
                lead.failed();
                #[cfg(feature = "redis")]
                if let Right::Share(ticket) = right {
                    self.release_shared(ctx, ticket).await;
                }
                Err(error)
            }
        }
    }

    /// Asks `load`, and counts it; with when it began. An error of its own is within the other: that the time is up.
    async fn call<F, Fut, E>(&self, ctx: &Ctx, load: F) -> Result<Result<(Time, Option<T>), E>, Unanswered>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<T>, E>>,
    {
        let (began, started) = (ctx.now(), Instant::now());
        stats::add(&self.0.counts.loads);
        let loaded = ctx.within(load()).await.map_err(|DeadlinePassed| Unanswered::Late)?;
        self.0.counts.loaded(started.elapsed());
        if loaded.is_err() {
            stats::add(&self.0.counts.load_errors);
        }
        Ok(loaded.map(|value| (began, value)))
    }

    /// Loads behind the backs of those who ask, if not too many do.
    fn refresh<F, Fut, E>(&self, ctx: &Ctx, key: &Key, old: &Entry, load: F)
    where
        F: FnOnce(Ctx) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: From<Unanswered> + Send + 'static,
    {
        let Ok(permit) = self.0.inner.refreshes.clone().try_acquire_owned() else { return };
        let Some(lead) = self.claim(ctx, key, old) else { return };
        let deadline = Instant::now() + REFRESH;
        let own =
            Ctx::new(*ctx.identity(), ctx.request_id().into(), deadline, ctx.clock().clone(), ctx.random().clone())
                .of(ctx.operation().into());
        let this = self.clone();
        tokio::spawn(async move {
            // Counted where it fails; the old value is served until its time is over.
            let _ = this.lead(&own, lead, || load(own.clone())).await;
            drop(permit);
        });
    }

    /// What was loaded, with all that is to be known to keep it.
    fn loaded(&self, ctx: &Ctx, began: Time, value: Option<Arc<T>>) -> Loaded<T> {
        let config = &self.0.config;
        let tags = value.as_ref().zip(config.tags).map(|(value, tags)| tags(value)).unwrap_or_default();
        // Written down once, to be weighed and to be shared.
        let codec = config
            .codec
            .as_ref()
            .filter(|_| (config.weigh.is_none() && self.0.inner.local.is_there()) || self.is_shared());
        let bytes = value.as_ref().zip(codec).and_then(|(value, codec)| codec.encode(value));
        let until_us = self.until(ctx, began, value.is_none());
        Loaded { value, bytes, tags, until_us, may_be_kept: true }
    }

    /// Keeps what was loaded, if it may be, and tells those who wait. Whether it may be kept.
    pub(super) fn settle(&self, lead: Lead, loaded: &Loaded<T>) -> bool {
        let config = &self.0.config;
        let inner = &self.0.inner;
        let mut generation = lead.generation();
        inner.generations.add_tags(&mut generation, &loaded.tags);
        let is_absent = loaded.value.is_none();
        let is_wanted = self.is_worth(&lead.place.key)
            && loaded.tags.len() <= MOST_TAGS
            && !(is_absent && config.keep_absent.is_zero());
        let may_be_kept = loaded.may_be_kept && generation.may_be_kept();
        if is_wanted && !may_be_kept {
            stats::add(&self.0.counts.refused_fills);
        }
        let anything = loaded.value.as_ref().map(|value| -> Anything { value.clone() });
        let bytes = lead.place.key.bytes().len() + self.weigh(loaded);
        let entry = Arc::new(Entry::new(anything, bytes, generation, loaded.until_us, self.0.counts.clone()));
        if is_wanted && may_be_kept {
            inner.local.put(lead.place.clone(), entry.clone());
        }
        lead.done(entry);
        is_wanted && may_be_kept
    }

    /// Whether the key is asked for often enough to be kept.
    pub(super) fn is_worth(&self, key: &Key) -> bool {
        let worth_after = self.0.config.worth_after;
        worth_after < 2 || self.0.inner.sketch.estimate(key) >= worth_after
    }

    /// Whether values may be put where other nodes find them.
    fn is_shared(&self) -> bool {
        #[cfg(feature = "redis")]
        return self.0.inner.shared.is_some() && !self.0.config.is_local_only;
        #[cfg(not(feature = "redis"))]
        return false;
    }

    /// Whether each caller loads for itself, as there is nowhere to keep a value. Then nobody waits for another's load
    /// either: with the cache switched off, the source is asked each time.
    fn keeps_nothing(&self) -> bool {
        !self.0.inner.local.is_there() && !self.is_shared()
    }

    /// What a value takes in memory, in bytes.
    fn weigh(&self, loaded: &Loaded<T>) -> usize {
        let Some(value) = &loaded.value else { return 0 };
        let written = || loaded.bytes.as_ref().map_or(0, Vec::len);
        size_of::<T>() + self.0.config.weigh.map_or_else(written, |weigh| weigh(value))
    }

    /// Until when a value is fresh, and until when it may be served, in microseconds since the epoch. From when its
    /// load began: what it shows was true then, and need not have been later.
    fn until(&self, ctx: &Ctx, began: Time, is_absent: bool) -> (i64, i64) {
        let config = &self.0.config;
        let (keep, stale) = if is_absent { (config.keep_absent, Duration::ZERO) } else { (config.keep, config.stale) };
        let fresh = began.plus(keep - ctx.random().part_of(keep / 10));
        (fresh.as_micros(), fresh.plus(stale).as_micros())
    }
}

/// The type of an entry follows from the number of its config, which no other has.
fn value_of<T: Send + Sync + 'static>(entry: &Arc<Entry>) -> Option<Arc<T>> {
    entry.value.as_ref()?.clone().downcast().ok()
}

/// One of [`SAMPLE`], without a pattern: every sixteenth would be the same few keys where keys come in turn.
const fn is_sampled(seen: u64) -> bool {
    let mixed = (seen ^ (seen >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 60 == 0
}
