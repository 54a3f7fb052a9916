//! What was forgotten, and since when. Everything that is kept holds a stamp for each thing it could be forgotten by:
//! its key, all it is under, its tags. To forget moves the generation on; what holds an older one is no longer served and
//! no longer kept. So nothing has to be searched, however much it is, and a load that is under way is caught like what
//! is there.
//!
//! An index of what is kept was rejected: it has to follow every eviction, under a lock that hits would wait for.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::key::{Key, Tag, Target};

/// How long a change whose outcome nobody knows may still land in the database: so long nothing is kept that it could
/// make untrue.
pub const HOLD: Duration = Duration::from_secs(10);

/// The most tags remembered as just forgotten. A load that began before all of them is not kept.
const MOST_RECENT_TAGS: usize = 4096;

const SHARDS: usize = 64;
/// A shard sweeps out what nobody holds when it has grown to this, or to twice what it was left with.
const LEAST_SWEPT: usize = 64;

/// One thing that can be forgotten.
#[derive(Debug, Default)]
struct Slot {
    /// How many changes of it are open, in the low bits, and how often it was forgotten: one number, so that a hit
    /// compares once.
    state: AtomicU64,
    /// Until then nothing is kept, in microseconds since the generations began.
    held_until_us: AtomicU64,
}

const ONE_OPEN: u64 = 1;
const ONE_FORGOTTEN: u64 = 1 << 24;
const OPEN: u64 = ONE_FORGOTTEN - 1;

impl Slot {
    /// Its stamp, and whether a change of it may be under way.
    fn read(&self, now_us: u64) -> (u64, bool) {
        let state = self.state.load(Ordering::Acquire);
        // After the state: a change that is dropped holds before it moves the state on.
        let held = self.held_until_us.load(Ordering::Acquire);
        (state, state & OPEN != 0 || held > now_us)
    }

    fn is_needed(slot: &Arc<Self>, now_us: u64) -> bool {
        Arc::strong_count(slot) > 1 || slot.held_until_us.load(Ordering::Acquire) > now_us
    }
}

/// What a value or a load could be forgotten by, as it was when the load began.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    each: Vec<(Arc<Slot>, u64)>,
    /// A change was open: what is loaded now may be what was there before it.
    is_closed: bool,
    /// How many tags had been forgotten.
    tag_tick: u64,
    /// One of its tags was forgotten after the load began and before its tags were known.
    has_missed_tag: bool,
}

impl Generation {
    /// Whether nothing of it was forgotten since.
    pub(crate) fn are_current(&self) -> bool {
        self.each.iter().all(|(slot, seen)| slot.state.load(Ordering::Acquire) == *seen)
    }

    /// Whether what was loaded may be kept.
    pub(crate) fn may_be_kept(&self) -> bool {
        !self.is_closed && !self.has_missed_tag && self.are_current()
    }

    /// Whether no tag at all was forgotten since, or had been, when there were `tag_tick` of them.
    pub(crate) const fn are_of(&self, tag_tick: u64) -> bool {
        self.tag_tick == tag_tick
    }

    /// Whether it had a tag that was forgotten before it was known to have it.
    pub(crate) const fn has_missed_tag(&self) -> bool {
        self.has_missed_tag
    }

    /// How many there are: each takes memory.
    pub(crate) fn count(&self) -> usize {
        self.each.len()
    }
}

/// A slot by the hash of what it stands for. 64 keyed bits: two that meet would only be forgotten together.
type Slots = HashMap<u64, Arc<Slot>, BuildHasherDefault<AsItIs>>;

#[derive(Default)]
struct Shard {
    slots: Slots,
    sweep_at: usize,
}

/// All slots of a node. Held by the cache.
pub(crate) struct Generations {
    hasher: RandomState,
    began: Instant,
    shards: Vec<Mutex<Shard>>,
    /// Everything there is.
    all: Arc<Slot>,
    tags: Mutex<VecDeque<u64>>,
    tag_tick: AtomicU64,
}

impl Generations {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            began: Instant::now(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            all: Arc::default(),
            tags: Mutex::default(),
            tag_tick: AtomicU64::new(0),
        }
    }

    /// How many tags were forgotten so far.
    pub(crate) fn tag_tick(&self) -> u64 {
        self.tag_tick.load(Ordering::Acquire)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The generation of a load of `key` that begins now.
    pub(crate) fn generation(&self, key: &Key) -> Generation {
        let now_us = self.now_us();
        let tag_tick = self.tag_tick();
        let mut generation =
            Generation { each: Vec::with_capacity(6), is_closed: false, tag_tick, has_missed_tag: false };
        self.add(&mut generation, self.all.clone(), now_us);
        self.add(&mut generation, self.slot(self.hash(b'k', key.bytes()), now_us), now_us);
        // Not itself: to forget what is under a key forgets the key too. A hit has one stamp less to compare.
        for level in key.levels().filter(|level| level.len() < key.bytes().len()) {
            self.add(&mut generation, self.slot(self.hash(b'u', level), now_us), now_us);
        }
        generation
    }

    /// Adds the tags of what was loaded, which are known only now. One that was forgotten since the load began is
    /// noticed.
    pub(crate) fn add_tags(&self, generation: &mut Generation, tags: &[Tag]) {
        let now_us = self.now_us();
        let hashes: Vec<u64> = tags.iter().map(|tag| self.hash(b't', tag.bytes())).collect();
        for hash in &hashes {
            self.add(generation, self.slot(*hash, now_us), now_us);
        }
        // After the slots are there: a later invalidation finds its slot, and an earlier one is found here.
        if generation.are_of(self.tag_tick()) {
            return;
        }
        let recent = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = self.tag_tick() - generation.tag_tick;
        let missed = usize::try_from(missed).unwrap_or(usize::MAX);
        // More than are remembered: any of them may be its own.
        let may_be_among = missed > recent.len() || recent.iter().rev().take(missed).any(|tag| hashes.contains(tag));
        generation.has_missed_tag = may_be_among && !tags.is_empty();
    }

    fn add(&self, generation: &mut Generation, slot: Arc<Slot>, now_us: u64) {
        let (seen, is_open) = slot.read(now_us);
        generation.is_closed |= is_open;
        generation.each.push((slot, seen));
    }

    fn hash(&self, kind: u8, text: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u8(kind);
        hasher.write(text);
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> std::sync::MutexGuard<'_, Shard> {
        self.shards[hash as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, hash: u64, now_us: u64) -> Arc<Slot> {
        let mut shard = self.shard(hash);
        if let Some(slot) = shard.slots.get(&hash) {
            return slot.clone();
        }
        if shard.slots.len() >= shard.sweep_at.max(LEAST_SWEPT) {
            // A new holder of a slot needs this lock: a slot that only the map holds is held by nobody.
            shard.slots.retain(|_, slot| Slot::is_needed(slot, now_us));
            shard.sweep_at = shard.slots.len() * 2;
        }
        shard.slots.entry(hash).or_default().clone()
    }

    /// What a target stands for: under a key is also the key itself.
    fn hashes_of(&self, target: &Target) -> impl Iterator<Item = u64> + use<> {
        let (first, second) = match target {
            Target::Key(key) => (self.hash(b'k', key.bytes()), None),
            Target::Under(key) => (self.hash(b'u', key.bytes()), Some(self.hash(b'k', key.bytes()))),
            Target::Tag(tag) => (self.hash(b't', tag.bytes()), None),
        };
        [first].into_iter().chain(second)
    }

    /// Forgets once.
    pub(crate) fn forget(&self, target: &Target) {
        for hash in self.hashes_of(target) {
            if matches!(target, Target::Tag(_)) {
                self.note_tag(hash);
            }
            // Nobody holds a slot that is not there, so nothing is kept and nothing loads that it stands for.
            if let Some(slot) = self.shard(hash).slots.get(&hash) {
                slot.state.fetch_add(ONE_FORGOTTEN, Ordering::AcqRel);
            }
        }
    }

    /// Forgets everything, and dooms every load that is under way.
    pub(crate) fn forget_all(&self) {
        self.all.state.fetch_add(ONE_FORGOTTEN, Ordering::AcqRel);
    }

    /// Before the slot moves on: see [`Generations::add_tags`].
    fn note_tag(&self, hash: u64) {
        let mut recent = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == MOST_RECENT_TAGS {
            recent.pop_front();
        }
        recent.push_back(hash);
        self.tag_tick.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets, and keeps nothing of it until it is shut.
    pub(crate) fn open(&self, targets: &[Target]) -> Open {
        let now_us = self.now_us();
        let mut slots = Vec::with_capacity(targets.len());
        for target in targets {
            let is_tag = matches!(target, Target::Tag(_));
            for hash in self.hashes_of(target) {
                if is_tag {
                    self.note_tag(hash);
                }
                let slot = self.slot(hash, now_us);
                slot.state.fetch_add(ONE_FORGOTTEN + ONE_OPEN, Ordering::AcqRel);
                slots.push((slot, is_tag.then_some(hash)));
            }
        }
        Open { slots }
    }

    /// Forgets once more, and lets things be kept again.
    pub(crate) fn shut(&self, open: Open) {
        for (slot, tag) in open.slots {
            if let Some(hash) = tag {
                self.note_tag(hash);
            }
            slot.state.fetch_add(ONE_FORGOTTEN - ONE_OPEN, Ordering::AcqRel);
        }
    }

    /// The same, where the change may still land: nothing is kept for [`HOLD`].
    pub(crate) fn shut_later(&self, open: Open) {
        let until = self.now_us().saturating_add(u64::try_from(HOLD.as_micros()).unwrap_or(u64::MAX));
        for (slot, _) in &open.slots {
            slot.held_until_us.fetch_max(until, Ordering::AcqRel);
        }
        self.shut(open);
    }

    #[cfg(test)]
    fn slots(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().slots.len()).sum()
    }
}

/// Changes under way. Its holder shuts it.
#[derive(Debug, Default)]
pub(crate) struct Open {
    slots: Vec<(Arc<Slot>, Option<u64>)>,
}

/// The number is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::of("post").id(1).field("view")
    }

    #[test]
    fn what_is_forgotten_by_any_of_its_names_is_no_longer_current() {
        for (target, is_hit) in [
            (Target::Key(key()), true),
            (Target::Under(key()), true),
            (Target::Under(Key::of("post").id(1)), true),
            (Target::Under(Key::of("post")), true),
            (Target::Tag(Tag::of("author").id(1)), true),
            (Target::Key(Key::of("post").id(1)), false),
            (Target::Key(Key::of("post")), false),
            (Target::Under(Key::of("post").id(2)), false),
            (Target::Under(Key::of("pos")), false),
            (Target::Tag(Tag::of("author").id(2)), false),
            (Target::Key(Key::of("author").id(1)), false),
        ] {
            let generations = Generations::new();
            let mut generation = generations.generation(&key());
            generations.add_tags(&mut generation, &[Tag::of("author").id(1)]);
            assert!(generation.may_be_kept());
            generations.forget(&target);
            assert_eq!(generation.are_current(), !is_hit, "{target:?}");
        }
        let generations = Generations::new();
        let generation = generations.generation(&key());
        generations.forget_all();
        assert!(!generation.are_current());
    }

    #[test]
    fn a_load_that_begins_while_a_change_is_open_is_never_kept() {
        let generations = Generations::new();
        let targets = [Target::Key(key())];
        let (one, two) = (generations.open(&targets), generations.open(&targets));
        generations.shut(one);
        let during = generations.generation(&key());
        assert!(!during.may_be_kept(), "the second is open");
        assert!(during.are_current(), "those who ask meanwhile share a load");
        generations.shut(two);
        assert!(!during.are_current());
        assert!(generations.generation(&key()).may_be_kept());
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_without_an_outcome_holds_for_a_while() {
        let generations = Generations::new();
        let before = generations.generation(&key());
        generations.shut_later(generations.open(&[Target::Under(Key::of("post"))]));
        assert!(!before.are_current());
        // Even where the shard is swept meanwhile.
        for n in 0..10_000 {
            drop(generations.generation(&Key::of("other").id(n)));
        }
        assert!(!generations.generation(&key()).may_be_kept());
        tokio::time::advance(HOLD).await;
        assert!(generations.generation(&key()).may_be_kept());
    }

    #[test]
    fn a_tag_forgotten_while_its_value_loads_is_found() {
        let generations = Generations::new();
        let tag = Tag::of("author").id(1);
        let mut generation = generations.generation(&key());
        generations.forget(&Target::Tag(tag.clone()));
        generations.add_tags(&mut generation, std::slice::from_ref(&tag));
        assert!(!generation.may_be_kept());

        let mut generation = generations.generation(&key());
        generations.forget(&Target::Tag(Tag::of("author").id(2)));
        generations.add_tags(&mut generation, std::slice::from_ref(&tag));
        assert!(generation.may_be_kept(), "another's does no harm");

        // More than are remembered: it could have been among them.
        let mut generation = generations.generation(&key());
        for n in 0..=MOST_RECENT_TAGS {
            generations.forget(&Target::Tag(Tag::of("author").id(100 + n)));
        }
        generations.add_tags(&mut generation, &[tag]);
        assert!(!generation.may_be_kept());
        let mut generation = generations.generation(&key());
        generations.add_tags(&mut generation, &[]);
        assert!(generation.may_be_kept());
    }

    #[test]
    fn slots_go_with_what_they_stand_for() {
        let generations = Generations::new();
        let held: Vec<_> = (0..100).map(|n| generations.generation(&Key::of("held").id(n))).collect();
        for n in 0..100_000 {
            drop(generations.generation(&Key::of("gone").id(n)));
        }
        assert!(generations.slots() < SHARDS * LEAST_SWEPT * 2, "{}", generations.slots());
        for n in 0..100 {
            generations.forget(&Target::Key(Key::of("held").id(n)));
        }
        assert!(held.iter().all(|generation| !generation.are_current()));
    }
}
