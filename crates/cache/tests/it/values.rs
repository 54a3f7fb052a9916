//! What a cache gives to those who ask, and how often it asks itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use cache::{Backend, Bus, Cache, CacheConfig, CacheConfigError, CacheSettings, Cached, ConfigStats, Key, Unanswered};
use kernel::{Clock, Ctx, Identity, Random, Time};
use tokio::sync::{Barrier, Notify};
use tokio::time::Instant;

/// What a load of these tests can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Broken,
    Unanswered(Unanswered),
}

impl From<Unanswered> for Fault {
    fn from(why: Unanswered) -> Self {
        Self::Unanswered(why)
    }
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn ctx() -> Ctx {
    ctx_for(MINUTE)
}

pub(crate) fn ctx_for(budget: Duration) -> Ctx {
    let clock = Clock::fake(Time::from_micros(1_800_000_000_000_000));
    Ctx::new(Identity::Anonymous, "test".into(), Instant::now() + budget, clock, Random::seeded(7))
}

pub(crate) fn memory(memory_bytes: u64) -> Cache {
    let backend = Backend::memory();
    Cache::new(&CacheSettings { memory_bytes, ..CacheSettings::default() }, &backend, &Bus::new(&backend))
}

pub(crate) fn numbers(cache: &Cache) -> Cached<u64> {
    cache.configure(CacheConfig::new("number")).unwrap()
}

pub(crate) fn key() -> Key {
    Key::of("number").id(1)
}

pub(crate) async fn ask(numbers: &Cached<u64>, ctx: &Ctx, key: &Key, value: u64) -> u64 {
    *numbers.get(ctx, key, || async move { Ok::<_, Fault>(Some(value)) }).await.unwrap().unwrap()
}

pub(crate) fn stats(cache: &Cache) -> ConfigStats {
    cache.stats().configs[0].clone()
}

/// Waits until it is so.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to be");
}

/// A load that waits until it is let go.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    is_inside: Arc<AtomicBool>,
    entered: Arc<Notify>,
    released: Arc<Notify>,
}

impl Gate {
    pub(crate) async fn pass<T>(self, value: T) -> T {
        self.is_inside.store(true, Ordering::SeqCst);
        self.entered.notify_one();
        self.released.notified().await;
        value
    }

    pub(crate) async fn entered(&self) {
        tokio::time::timeout(MINUTE, self.entered.notified()).await.unwrap();
    }

    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

/// Asks on a task of its own, with a load that waits at the gate.
pub(crate) fn ask_slowly(
    numbers: &Cached<u64>,
    ctx: &Ctx,
    key: &Key,
    gate: &Gate,
    result: Result<Option<u64>, Fault>,
) -> tokio::task::JoinHandle<Result<Option<u64>, Fault>> {
    let (numbers, ctx, key, gate) = (numbers.clone(), ctx.clone(), key.clone(), gate.clone());
    tokio::spawn(async move { Ok(numbers.get(&ctx, &key, || gate.pass(result)).await?.map(|value| *value)) })
}

#[tokio::test]
async fn a_value_is_loaded_once_and_then_comes_from_memory() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let ctx = ctx();
    assert_eq!(numbers.peek(&ctx, &key()), None);
    assert_eq!(ask(&numbers, &ctx, &key(), 1).await, 1);
    assert_eq!(ask(&numbers, &ctx, &key(), 2).await, 1);
    assert_eq!(numbers.peek(&ctx, &key()), Some(Some(Arc::new(1))));
    let stats = stats(&cache);
    assert_eq!((stats.hits_local, stats.misses, stats.loads, stats.entries), (1, 1, 1, 1));
    assert!(stats.bytes > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_who_ask_at_once_share_one_load() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let (ctx, gate, loads) = (ctx(), Gate::default(), Arc::new(AtomicU32::new(0)));
    let start = Arc::new(Barrier::new(1000));
    let all: Vec<_> = (0..1000)
        .map(|_| {
            let (numbers, ctx, gate, loads) = (numbers.clone(), ctx.clone(), gate.clone(), loads.clone());
            let start = start.clone();
            tokio::spawn(async move {
                start.wait().await;
                let load = || {
                    let value = u64::from(loads.fetch_add(1, Ordering::SeqCst));
                    gate.pass(Ok::<_, Fault>(Some(value)))
                };
                *numbers.get(&ctx, &key(), load).await.unwrap().unwrap()
            })
        })
        .collect();
    until(|| stats(&cache).waits == 999).await;
    gate.release();
    for one in all {
        assert_eq!(one.await.unwrap(), 0);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn where_nothing_is_kept_each_loads_for_itself() {
    let cache = memory(0);
    let numbers = numbers(&cache);
    let ctx = ctx();
    let gates: Vec<_> = (0..3).map(|_| Gate::default()).collect();
    let all: Vec<_> =
        (0..).zip(&gates).map(|(n, gate)| ask_slowly(&numbers, &ctx, &key(), gate, Ok(Some(n)))).collect();
    for gate in &gates {
        gate.entered().await;
    }
    gates.iter().for_each(Gate::release);
    for (n, one) in (0..).zip(all) {
        assert_eq!(one.await.unwrap(), Ok(Some(n)));
    }
    // Only its own caller gets a load's error, and nobody waits for a load that takes too long.
    let broken = numbers.get(&ctx, &key(), || async { Err(Fault::Broken) }).await;
    assert_eq!(broken, Err(Fault::Broken));
    let late = numbers.get(&ctx_for(Duration::ZERO), &key(), std::future::pending::<Result<_, Fault>>).await;
    assert_eq!(late, Err(Fault::Unanswered(Unanswered::Late)));
    let asked = numbers.prefetch(&ctx, &[key()], |_| async { Err(Fault::Broken) }).await;
    assert_eq!(asked, Ok(0), "there is nowhere to put it");
    let stats = stats(&cache);
    assert_eq!((stats.misses, stats.loads, stats.load_errors, stats.waits), (5, 5, 1, 0));
    assert_eq!((stats.entries, stats.bytes), (0, 0));
}

#[tokio::test]
async fn when_the_one_who_loads_goes_away_another_loads() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let (ctx, gate, next) = (ctx(), Gate::default(), Gate::default());
    let first = ask_slowly(&numbers, &ctx, &key(), &gate, Ok(Some(1)));
    gate.entered().await;
    let others: Vec<_> = (0..10).map(|_| ask_slowly(&numbers, &ctx, &key(), &next, Ok(Some(2)))).collect();
    until(|| stats(&cache).waits == 10).await;
    first.abort();
    next.entered().await;
    until(|| stats(&cache).waits == 19).await;
    next.release();
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(Some(2)));
    }
    assert_eq!(stats(&cache).loads, 2);
}

#[tokio::test]
async fn a_panic_in_a_load_is_its_own_callers_alone() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let (ctx, gate) = (ctx(), Gate::default());
    let first = {
        let (numbers, ctx, gate) = (numbers.clone(), ctx.clone(), gate.clone());
        tokio::spawn(async move {
            let load = || async move {
                gate.pass(()).await;
                panic!("a fault in a load");
            };
            let _: Result<_, Fault> = numbers.get(&ctx, &key(), load).await;
        })
    };
    gate.entered().await;
    let waiting = ask_slowly(&numbers, &ctx, &key(), &Gate::default(), Ok(Some(2)));
    until(|| stats(&cache).waits == 1).await;
    gate.release();
    assert!(first.await.unwrap_err().is_panic());
    // Its load is at a gate nobody opens: it runs, which is all that is asked.
    until(|| stats(&cache).loads == 2).await;
    waiting.abort();
    assert!(waiting.await.is_err());
    assert_eq!(ask(&numbers, &ctx, &key(), 3).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broken_database_is_asked_three_times_by_all_who_ask_together() {
    // Again and again: it depends on who wakes up when.
    for _ in 0..20 {
        all_ask_a_broken_database().await;
    }
}

async fn all_ask_a_broken_database() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let (ctx, gate) = (ctx(), Gate::default());
    let first = ask_slowly(&numbers, &ctx, &key(), &gate, Err(Fault::Broken));
    gate.entered().await;
    let others: Vec<_> = (0..500)
        .map(|_| {
            let (numbers, ctx) = (numbers.clone(), ctx.clone());
            tokio::spawn(async move { numbers.get(&ctx, &key(), || async { Err(Fault::Broken) }).await })
        })
        .collect();
    until(|| stats(&cache).waits == 500).await;
    gate.release();
    assert_eq!(first.await.unwrap(), Err(Fault::Broken));
    let mut broken = 0;
    for other in others {
        match other.await.unwrap() {
            Err(Fault::Broken) => broken += 1,
            other => assert_eq!(other, Err(Fault::Unanswered(Unanswered::Failed))),
        }
    }
    assert_eq!((broken, stats(&cache).loads, stats(&cache).load_errors), (2, 3, 3));
    // The next caller asks again.
    assert_eq!(ask(&numbers, &ctx, &key(), 1).await, 1);
}

#[tokio::test]
async fn one_failure_is_not_told_to_others_if_the_next_load_succeeds() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let (ctx, gate) = (ctx(), Gate::default());
    let first = ask_slowly(&numbers, &ctx, &key(), &gate, Err(Fault::Broken));
    gate.entered().await;
    let next = Gate::default();
    let others: Vec<_> = (0..10).map(|_| ask_slowly(&numbers, &ctx, &key(), &next, Ok(Some(1)))).collect();
    until(|| stats(&cache).waits == 10).await;
    gate.release();
    assert_eq!(first.await.unwrap(), Err(Fault::Broken));
    next.release();
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(Some(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_and_whoever_loads_is_told_when_its_own_time_is_up() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let (long, short) = (ctx_for(MINUTE), ctx_for(Duration::from_secs(1)));
    let late = Err(Fault::Unanswered(Unanswered::Late));
    let gate = Gate::default();
    let loading = ask_slowly(&numbers, &long, &key(), &gate, Ok(Some(1)));
    gate.entered().await;
    let waiting = ask_slowly(&numbers, &short, &key(), &Gate::default(), Ok(Some(2)));
    assert_eq!(waiting.await.unwrap(), late);
    assert_eq!(loading.await.unwrap(), late);
    // One that had time left takes over from one that had none.
    let short = ctx_for(Duration::from_secs(1));
    let loading = ask_slowly(&numbers, &short, &key(), &Gate::default(), Ok(Some(1)));
    until(|| stats(&cache).loads == 2).await;
    let next = Gate::default();
    next.release();
    let long = ctx_for(MINUTE);
    let waiting = ask_slowly(&numbers, &long, &key(), &next, Ok(Some(2)));
    assert_eq!(loading.await.unwrap(), late);
    assert_eq!(waiting.await.unwrap(), Ok(Some(2)));
}

#[tokio::test]
async fn values_end_each_in_its_own_time_and_none_too_late() {
    let cache = memory(1 << 20);
    let numbers: Cached<u64> = cache.configure(CacheConfig::new("number").keep(Duration::from_secs(100))).unwrap();
    let ctx = ctx();
    let keys: Vec<_> = (0..200).map(|n| Key::of("number").id(n)).collect();
    for key in &keys {
        ask(&numbers, &ctx, key, 1).await;
    }
    let kept = || keys.iter().filter(|key| numbers.peek(&ctx, key).is_some()).count();
    ctx.clock().advance(Duration::from_millis(89_999));
    assert_eq!(kept(), 200);
    ctx.clock().advance(Duration::from_secs(5));
    assert!((20..180).contains(&kept()), "{}", kept());
    ctx.clock().advance(Duration::from_millis(5001));
    assert_eq!(kept(), 0);
}

#[tokio::test]
async fn time_counts_from_the_beginning_of_the_load() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let (ctx, gate) = (ctx(), Gate::default());
    let slow = ask_slowly(&numbers, &ctx, &key(), &gate, Ok(Some(1)));
    gate.entered().await;
    ctx.clock().advance(MINUTE);
    gate.release();
    assert_eq!(slow.await.unwrap(), Ok(Some(1)));
    assert_eq!(ask(&numbers, &ctx, &key(), 2).await, 2);
}

fn stale_numbers(cache: &Cache) -> Cached<u64> {
    cache.configure(CacheConfig::new("number").keep(MINUTE).stale(MINUTE)).unwrap()
}

#[tokio::test]
async fn an_old_value_is_served_while_the_first_who_finds_it_brings_the_new_one() {
    let cache = memory(1 << 20);
    let numbers = stale_numbers(&cache);
    let (ctx, gate) = (ctx(), Gate::default());
    ask(&numbers, &ctx, &key(), 1).await;
    ctx.clock().advance(MINUTE);
    let bringing = ask_slowly(&numbers, &ctx, &key(), &gate, Ok(Some(2)));
    gate.entered().await;
    for _ in 0..10 {
        assert_eq!(ask(&numbers, &ctx, &key(), 3).await, 1);
    }
    gate.release();
    assert_eq!(bringing.await.unwrap(), Ok(Some(2)));
    assert_eq!(ask(&numbers, &ctx, &key(), 3).await, 2);
    assert_eq!((stats(&cache).loads, stats(&cache).hits_stale), (2, 11));
}

#[tokio::test]
async fn ahead_nobody_waits_for_the_new_value_and_it_has_a_deadline_of_its_own() {
    let cache = memory(1 << 20);
    let numbers = stale_numbers(&cache);
    let (ctx, gate) = (ctx(), Gate::default());
    ask(&numbers, &ctx, &key(), 1).await;
    ctx.clock().advance(MINUTE);
    let (inside, deadline) = (gate.clone(), ctx.deadline());
    let load = move |own: Ctx| async move {
        assert!(own.deadline() < deadline && own.identity() == &Identity::Anonymous);
        inside.pass(Ok::<_, Fault>(Some(2))).await
    };
    assert_eq!(numbers.get_ahead(&ctx, &key(), load).await, Ok(Some(Arc::new(1))));
    gate.entered().await;
    let never = |_| async { panic!("one is enough") };
    assert_eq!(numbers.get_ahead::<_, _, Fault>(&ctx, &key(), never).await, Ok(Some(Arc::new(1))));
    gate.release();
    until(|| numbers.peek(&ctx, &key()) == Some(Some(Arc::new(2)))).await;
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_old_value_and_is_tried_again_a_second_later() {
    let cache = memory(1 << 20);
    let numbers = stale_numbers(&cache);
    let ctx = ctx();
    ask(&numbers, &ctx, &key(), 1).await;
    ctx.clock().advance(MINUTE);
    let loads = AtomicU32::new(0);
    let fail = || async {
        loads.fetch_add(1, Ordering::SeqCst);
        Err(Fault::Broken)
    };
    for _ in 0..10 {
        assert_eq!(numbers.get(&ctx, &key(), fail).await, Ok(Some(Arc::new(1))));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    ctx.clock().advance(Duration::from_secs(1));
    assert_eq!(numbers.get(&ctx, &key(), fail).await, Ok(Some(Arc::new(1))));
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    // Past its time altogether.
    ctx.clock().advance(MINUTE);
    assert_eq!(numbers.get(&ctx, &key(), fail).await, Err(Fault::Broken));
}

#[tokio::test]
async fn that_there_is_nothing_is_remembered_where_the_plan_says_so() {
    for (keep_absent, loads) in [(Duration::ZERO, 2), (MINUTE, 1)] {
        let cache = memory(1 << 20);
        let numbers: Cached<u64> = cache.configure(CacheConfig::new("number").keep_absent(keep_absent)).unwrap();
        let ctx = ctx();
        for _ in 0..2 {
            assert_eq!(numbers.get(&ctx, &key(), || async { Ok::<_, Fault>(None) }).await, Ok(None));
        }
        assert_eq!(stats(&cache).loads, loads);
        ctx.clock().advance(MINUTE);
        assert_eq!(ask(&numbers, &ctx, &key(), 1).await, 1);
    }
}

#[tokio::test]
async fn what_is_asked_for_too_seldom_is_not_kept() {
    let cache = memory(1 << 20);
    let numbers: Cached<u64> = cache.configure(CacheConfig::new("number").worth_after(3)).unwrap();
    let ctx = ctx();
    for (ask_number, is_kept) in [(1, false), (2, false), (3, true)] {
        assert_eq!(ask(&numbers, &ctx, &key(), ask_number).await, ask_number);
        assert_eq!(numbers.peek(&ctx, &key()).is_some(), is_kept, "{ask_number}");
    }
    assert_eq!(ask(&numbers, &ctx, &Key::of("number").id(2), 9).await, 9);
    assert_eq!(numbers.peek(&ctx, &Key::of("number").id(2)), None);
    assert_eq!(stats(&cache).entries, 1);
}

#[tokio::test]
async fn memory_has_a_bound_and_what_is_asked_for_again_stays() {
    let cache = memory(1 << 20);
    let texts: Cached<String> = cache.configure(CacheConfig::new("text")).unwrap();
    let ctx = ctx();
    let load = || async { Ok::<_, Fault>(Some("x".repeat(2000))) };
    let hot: Vec<_> = (0..20).map(|n| Key::of("text").id(format_args!("hot-{n}"))).collect();
    for n in 0..5000 {
        texts.get(&ctx, &Key::of("text").id(n), load).await.unwrap();
        texts.get(&ctx, &hot[n % hot.len()], load).await.unwrap();
    }
    let stats = stats(&cache);
    assert!(stats.bytes <= 1 << 20 && stats.evictions > 4000, "{stats:?}");
    assert!(stats.hits_local > 4900, "{stats:?}");
    let hottest = cache.hottest(10);
    assert!(hottest.len() == 10 && hottest.iter().all(|key| hot.contains(&key.key)), "{hottest:?}");
}

#[tokio::test]
async fn many_are_fetched_with_one_load_and_none_twice() {
    let cache = memory(1 << 20);
    let numbers: Cached<u64> = cache.configure(CacheConfig::new("number").keep_absent(MINUTE)).unwrap();
    let (ctx, gate) = (ctx(), Gate::default());
    let keys: Vec<_> = (0..5).map(|n| Key::of("number").id(n)).collect();
    ask(&numbers, &ctx, &keys[0], 100).await;
    let slow = ask_slowly(&numbers, &ctx, &keys[1], &gate, Ok(Some(101)));
    gate.entered().await;
    let load = |wanted: Vec<Key>| async move {
        assert_eq!(wanted, (2..5).map(|n| Key::of("number").id(n)).collect::<Vec<_>>());
        Ok::<_, Fault>(vec![(wanted[0].clone(), Some(102)), (wanted[1].clone(), None)])
    };
    let twice: Vec<_> = keys.iter().chain(&keys).cloned().collect();
    assert_eq!(numbers.prefetch(&ctx, &twice, load).await, Ok(3));
    gate.release();
    assert_eq!(slow.await.unwrap(), Ok(Some(101)));
    for (key, value) in keys.iter().zip([Some(100), Some(101), Some(102), None, None]) {
        assert_eq!(numbers.peek(&ctx, key), Some(value.map(Arc::new)));
    }
    let never = |_| async { panic!("all are there") };
    assert_eq!(numbers.prefetch::<_, _, Fault>(&ctx, &keys, never).await, Ok(0));
}

#[tokio::test]
async fn plans_are_apart_and_those_that_cannot_be_followed_are_refused() {
    let cache = memory(1 << 20);
    let numbers = numbers(&cache);
    let texts: Cached<String> = cache.configure(CacheConfig::new("text")).unwrap();
    let ctx = ctx();
    ask(&numbers, &ctx, &key(), 1).await;
    let text = texts.get(&ctx, &key(), || async { Ok::<_, Fault>(Some("one".to_owned())) }).await.unwrap().unwrap();
    assert_eq!(*text, "one");
    let refused = |config: CacheConfig<u64>| cache.configure(config).unwrap_err();
    assert_eq!(refused(CacheConfig::new("number")), CacheConfigError::Taken);
    assert_eq!(refused(CacheConfig::new("a b")), CacheConfigError::Name);
    assert_eq!(refused(CacheConfig::new("")), CacheConfigError::Name);
    assert_eq!(refused(CacheConfig::new(&"a".repeat(33))), CacheConfigError::Name);
    assert_eq!(refused(CacheConfig::new("a").keep(Duration::ZERO)), CacheConfigError::Keep);
    assert_eq!(refused(CacheConfig::new("a").stale(cache::MOST_KEPT)), CacheConfigError::Keep);
    assert_eq!(refused(CacheConfig::new("a").keep_absent(Duration::MAX)), CacheConfigError::Keep);
    assert_eq!(refused(CacheConfig::new("a").worth_after(16)), CacheConfigError::Worth);
}

#[tokio::test]
async fn what_serde_does_not_know_is_kept_too() {
    struct Compiled(Box<dyn Fn(u64) -> u64 + Send + Sync>);
    let cache = memory(1 << 20);
    let compiled: Cached<Compiled> = cache.configure(CacheConfig::local("compiled", |_| 50)).unwrap();
    let bytes: Cached<Vec<u8>> = cache.configure(CacheConfig::raw("page")).unwrap();
    let ctx = ctx();
    for _ in 0..2 {
        let load = || async { Ok::<_, Fault>(Some(Compiled(Box::new(|n| n + 1)))) };
        assert_eq!((compiled.get(&ctx, &key(), load).await.unwrap().unwrap().0)(1), 2);
        let load = || async { Ok::<_, Fault>(Some(vec![0; 3000])) };
        assert_eq!(bytes.get(&ctx, &key(), load).await.unwrap().unwrap().len(), 3000);
    }
    let all = cache.stats().configs;
    assert_eq!((all[0].loads, all[1].loads), (1, 1));
    assert!(all[1].bytes > 3000 && all[0].bytes < 2000, "{all:?}");
}
