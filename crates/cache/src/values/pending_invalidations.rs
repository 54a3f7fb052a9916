//! What was forgotten here, and Redis or other nodes have not been told.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::key::{Key, Tag, Target};

/// The most targets that are remembered one by one. More become whole entities: too much is forgotten then, never too
/// little.
const MOST_TARGETS: usize = 10_000;

/// Targets that Redis has yet to learn. Until it does, this node does without what Redis has of them. Held by the
/// shared layer.
#[derive(Default)]
pub(crate) struct PendingInvalidations {
    waiting: Mutex<Waiting>,
    /// How many there are: nearly always none, which costs one look.
    count: AtomicUsize,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Which, and when they were added last.
    targets: HashMap<Target, u64>,
    added: u64,
}

impl PendingInvalidations {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds some. `tagged`: the entities whose values have tags.
    pub(crate) fn add(&self, targets: &[Target], tagged: impl FnOnce() -> Vec<Key>) {
        let mut waiting = self.waiting();
        waiting.added += 1;
        let added = waiting.added;
        waiting.targets.extend(targets.iter().map(|target| (target.clone(), added)));
        if waiting.targets.len() > MOST_TARGETS {
            let mut entities = HashSet::new();
            let mut has_tags = false;
            for target in waiting.targets.keys() {
                match target {
                    Target::Key(key) | Target::Under(key) => drop(entities.insert(key.above_all())),
                    Target::Tag(_) => has_tags = true,
                }
            }
            if has_tags {
                entities.extend(tagged());
            }
            waiting.targets = entities.into_iter().map(|entity| (Target::Under(entity), added)).collect();
        }
        self.count.store(waiting.targets.len(), Ordering::Release);
        drop(waiting);
        self.news.notify_one();
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether what Redis has under this key may be what was forgotten.
    pub(crate) fn has_key(&self, key: &Key) -> bool {
        if self.count() == 0 {
            return false;
        }
        let targets = &self.waiting().targets;
        let has = |target| targets.contains_key(&target);
        has(Target::Key(key.clone())) || key.keys_above().any(|above| has(Target::Under(above)))
    }

    /// The same for what has one of these tags.
    pub(crate) fn has_tag(&self, tags: &[Tag]) -> bool {
        if self.count() == 0 || tags.is_empty() {
            return false;
        }
        let targets = &self.waiting().targets;
        tags.iter().any(|tag| targets.contains_key(&Target::Tag(tag.clone())))
    }

    /// Some of them, to be told, each with when it was added.
    pub(crate) fn some(&self, most: usize) -> Vec<(Target, u64)> {
        self.waiting().targets.iter().take(most).map(|(target, added)| (target.clone(), *added)).collect()
    }

    /// These were told. One that was added again meanwhile stays.
    pub(crate) fn told(&self, some: &[(Target, u64)]) {
        let mut waiting = self.waiting();
        for (target, added) in some {
            if waiting.targets.get(target) == Some(added) {
                waiting.targets.remove(target);
            }
        }
        self.count.store(waiting.targets.len(), Ordering::Release);
    }

    /// Ends when some are added.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_known_by_all_its_names() {
        let pending = PendingInvalidations::default();
        let post = Key::of("post").id(1);
        assert!(!pending.has_key(&post));
        let tag = Tag::of("author").id(1);
        let targets = [Target::Key(Key::of("user").id(1)), Target::Under(post.clone()), Target::Tag(tag.clone())];
        pending.add(&targets, Vec::new);
        assert!(pending.has_key(&post) && pending.has_key(&post.field("view")));
        assert!(pending.has_key(&Key::of("user").id(1)) && !pending.has_key(&Key::of("user").id(1).field("x")));
        assert!(!pending.has_key(&Key::of("post").id(2)) && !pending.has_key(&Key::of("post")));
        assert!(pending.has_tag(&[tag]) && !pending.has_tag(&[Tag::of("author").id(2)]));
    }

    #[test]
    fn one_that_is_forgotten_again_while_it_is_told_is_told_again() {
        let pending = PendingInvalidations::default();
        let target = [Target::Key(Key::of("post"))];
        pending.add(&target, Vec::new);
        let some = pending.some(10);
        pending.add(&target, Vec::new);
        pending.told(&some);
        assert_eq!(pending.count(), 1);
        pending.told(&pending.some(10));
        assert_eq!(pending.count(), 0);
    }

    #[test]
    fn too_many_become_whole_entities() {
        let pending = PendingInvalidations::default();
        let targets: Vec<_> = (0..=MOST_TARGETS)
            .map(|n| match n % 3 {
                0 => Target::Key(Key::of("post").id(n)),
                1 => Target::Under(Key::of("user").id(n).field("x")),
                _ => Target::Tag(Tag::of("author").id(n)),
            })
            .collect();
        pending.add(&targets, || vec![Key::of("page")]);
        assert_eq!(pending.count(), 3);
        for key in [Key::of("post").id(5), Key::of("user").id(7), Key::of("page").id(1)] {
            assert!(pending.has_key(&key), "{key}");
        }
        assert!(!pending.has_key(&Key::of("other")));
    }
}
