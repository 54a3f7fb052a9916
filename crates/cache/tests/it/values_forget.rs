//! Forgetting: whatever the order in which things happen, nobody is given what was loaded before.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use cache::{Cache, CacheConfig, Cached, HOLD, Key, Tag, Target};
use tokio::time::Instant;

use crate::values::{Fault, Gate, MINUTE, ask, ask_slowly, ctx, key, memory, stats, until};

/// Numbers with tags: their tens.
fn tagged(cache: &Cache) -> Cached<u64> {
    cache.configure(CacheConfig::new("number").tags(|number| vec![Tag::of("tens").id(number / 10)])).unwrap()
}

fn soon() -> Instant {
    Instant::now() + MINUTE
}

/// All the ways by which number 1 under [`key`] can be forgotten.
fn ways() -> [Target; 4] {
    [Target::Key(key()), Target::Under(key()), Target::Under(Key::of("number")), Target::Tag(Tag::of("tens").id(0))]
}

#[tokio::test]
async fn what_is_forgotten_is_loaded_anew_and_nothing_else_is() {
    for way in ways() {
        let cache = memory(1 << 20);
        let numbers = tagged(&cache);
        let (ctx, other) = (ctx(), Key::of("other").id(1));
        ask(&numbers, &ctx, &key(), 1).await;
        ask(&numbers, &ctx, &other, 11).await;
        cache.forget(vec![way], soon()).await;
        assert_eq!(numbers.peek(&ctx, &key()), None);
        assert_eq!(ask(&numbers, &ctx, &key(), 2).await, 2);
        assert_eq!(ask(&numbers, &ctx, &other, 12).await, 11);
    }
}

#[tokio::test]
async fn a_load_that_was_under_way_is_never_kept() {
    for way in ways() {
        let cache = memory(1 << 20);
        let numbers = tagged(&cache);
        let (ctx, gate) = (ctx(), Gate::default());
        let slow = ask_slowly(&numbers, &ctx, &key(), &gate, Ok(Some(1)));
        gate.entered().await;
        cache.forget(vec![way.clone()], soon()).await;
        gate.release();
        // It asked before, and may be told what was true then.
        assert_eq!(slow.await.unwrap(), Ok(Some(1)));
        assert_eq!(numbers.peek(&ctx, &key()), None, "{way:?}");
        assert_eq!(stats(&cache).refused_fills, 1, "{way:?}");
        assert_eq!(ask(&numbers, &ctx, &key(), 2).await, 2, "{way:?}");
    }
}

#[tokio::test]
async fn whoever_asks_afterwards_does_not_wait_for_a_load_from_before() {
    let cache = memory(1 << 20);
    let numbers = tagged(&cache);
    let (ctx, gate) = (ctx(), Gate::default());
    let slow = ask_slowly(&numbers, &ctx, &key(), &gate, Ok(Some(1)));
    gate.entered().await;
    cache.forget(vec![Target::Key(key())], soon()).await;
    assert_eq!(ask(&numbers, &ctx, &key(), 2).await, 2);
    gate.release();
    assert_eq!(slow.await.unwrap(), Ok(Some(1)));
    // And the old one does not replace the new one.
    assert_eq!(ask(&numbers, &ctx, &key(), 3).await, 2);
}

/// A caller joins a load with a tag after that tag was forgotten: the load does not know its tags yet.
#[tokio::test]
async fn whoever_waits_for_a_load_whose_tag_was_forgotten_loads_itself() {
    let cache = memory(1 << 20);
    let numbers = tagged(&cache);
    let (ctx, gate) = (ctx(), Gate::default());
    let slow = ask_slowly(&numbers, &ctx, &key(), &gate, Ok(Some(1)));
    gate.entered().await;
    cache.forget(vec![Target::Tag(Tag::of("tens").id(0))], soon()).await;
    let own = Gate::default();
    own.release();
    let waiting = ask_slowly(&numbers, &ctx, &key(), &own, Ok(Some(2)));
    until(|| stats(&cache).waits == 1).await;
    gate.release();
    assert_eq!(slow.await.unwrap(), Ok(Some(1)));
    assert_eq!(waiting.await.unwrap(), Ok(Some(2)));
}

/// A number whose weighing waits, which comes after its tags are looked at and before waiting callers are notified.
struct Weighed(u64, Option<Arc<(Barrier, Barrier)>>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_load_whose_tag_was_forgotten_at_its_very_end_loads_itself() {
    let cache = memory(1 << 20);
    let weigh = |number: &Weighed| {
        if let Some(barriers) = &number.1 {
            barriers.0.wait();
            barriers.1.wait();
        }
        8
    };
    let config = CacheConfig::local("number", weigh).tags(|number: &Weighed| vec![Tag::of("tens").id(number.0 / 10)]);
    let numbers = cache.configure(config).unwrap();
    let barriers = Arc::new((Barrier::new(2), Barrier::new(2)));
    let asking = |value, barriers| {
        let (numbers, ctx) = (numbers.clone(), ctx());
        tokio::spawn(async move {
            let load = || async { Ok::<_, Fault>(Some(Weighed(value, barriers))) };
            numbers.get(&ctx, &key(), load).await.unwrap().unwrap().0
        })
    };
    let first = asking(1, Some(barriers.clone()));
    tokio::task::block_in_place(|| barriers.0.wait());
    cache.forget(vec![Target::Tag(Tag::of("tens").id(0))], soon()).await;
    let second = asking(2, None);
    until(|| stats(&cache).waits == 1).await;
    tokio::task::block_in_place(|| barriers.1.wait());
    assert_eq!(first.await.unwrap(), 1);
    assert_eq!(second.await.unwrap(), 2);
}

#[tokio::test]
async fn while_a_change_is_open_loads_are_shared_and_not_kept() {
    for way in ways() {
        let cache = memory(1 << 20);
        let numbers = tagged(&cache);
        let (ctx, gate) = (ctx(), Gate::default());
        ask(&numbers, &ctx, &key(), 1).await;
        let invalidation = cache.invalidate(vec![way.clone()], soon()).await;
        let slow = ask_slowly(&numbers, &ctx, &key(), &gate, Ok(Some(1)));
        gate.entered().await;
        let waiting = ask_slowly(&numbers, &ctx, &key(), &Gate::default(), Ok(Some(7)));
        until(|| stats(&cache).waits == 1).await;
        gate.release();
        assert_eq!(slow.await.unwrap(), Ok(Some(1)));
        assert_eq!(waiting.await.unwrap(), Ok(Some(1)), "{way:?}");
        assert_eq!(numbers.peek(&ctx, &key()), None, "{way:?}");

        // One that began meanwhile and ends afterwards.
        let (late, gate) = (Gate::default(), gate);
        drop(gate);
        let slow = ask_slowly(&numbers, &ctx, &key(), &late, Ok(Some(1)));
        late.entered().await;
        invalidation.done().await;
        late.release();
        assert_eq!(slow.await.unwrap(), Ok(Some(1)));
        assert_eq!(numbers.peek(&ctx, &key()), None, "{way:?}");
        assert_eq!(ask(&numbers, &ctx, &key(), 2).await, 2);
        assert_eq!(ask(&numbers, &ctx, &key(), 3).await, 2, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_outcome_nobody_knows_keeps_things_out_for_a_while() {
    for way in ways() {
        let cache = memory(1 << 20);
        let numbers = tagged(&cache);
        let ctx = ctx();
        ask(&numbers, &ctx, &key(), 1).await;
        drop(cache.invalidate(vec![way.clone()], soon()).await);
        assert_eq!(ask(&numbers, &ctx, &key(), 2).await, 2, "{way:?}");
        assert_eq!(numbers.peek(&ctx, &key()), None, "{way:?}");
        tokio::time::advance(HOLD - Duration::from_millis(1)).await;
        ask(&numbers, &ctx, &key(), 3).await;
        assert_eq!(numbers.peek(&ctx, &key()), None, "{way:?}");
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(ask(&numbers, &ctx, &key(), 4).await, 4);
        assert_eq!(ask(&numbers, &ctx, &key(), 5).await, 4, "{way:?}");
    }
}

#[tokio::test]
async fn an_old_value_that_was_forgotten_is_not_served_while_its_refresh_fails() {
    let cache = memory(1 << 20);
    let numbers: Cached<u64> = cache.configure(CacheConfig::new("number").stale(MINUTE)).unwrap();
    let (ctx, gate) = (ctx(), Gate::default());
    ask(&numbers, &ctx, &key(), 1).await;
    ctx.clock().advance(MINUTE);
    let bringing = ask_slowly(&numbers, &ctx, &key(), &gate, Err(Fault::Broken));
    gate.entered().await;
    cache.forget(vec![Target::Key(key())], soon()).await;
    gate.release();
    assert_eq!(bringing.await.unwrap(), Err(Fault::Broken));
}

/// Writers change numbers and forget them; readers hold that none is older than what was done before they asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn among_many_threads_nobody_reads_what_was_forgotten_before_they_asked() {
    const KEYS: u64 = 4;
    let cache = memory(1 << 20);
    let numbers = tagged(&cache);
    let database: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let promised: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let is_over = Arc::new(AtomicBool::new(false));
    let keys: Arc<Vec<Key>> = Arc::new((0..KEYS).map(|n| Key::of("number").id(n)).collect());

    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (numbers, database, promised) = (numbers.clone(), database.clone(), promised.clone());
            let (keys, is_over, ctx) = (keys.clone(), is_over.clone(), ctx());
            tokio::spawn(async move {
                let mut reads = 0_u64;
                while !is_over.load(Ordering::SeqCst) {
                    let at = ((reads + reader) % KEYS) as usize;
                    let least = promised[at].load(Ordering::SeqCst);
                    let load = || async {
                        let value = database[at].load(Ordering::SeqCst);
                        if value.is_multiple_of(3) {
                            tokio::task::yield_now().await;
                        }
                        Ok::<_, Fault>(Some(value))
                    };
                    let got = *numbers.get(&ctx, &keys[at], load).await.unwrap().unwrap();
                    assert!(got >= least, "{got} was read after {least} was promised");
                    reads += 1;
                    if reads.is_multiple_of(64) {
                        tokio::task::yield_now().await;
                    }
                }
                reads
            })
        })
        .collect();
    let writer = {
        let (cache, is_over) = (cache.clone(), is_over.clone());
        tokio::spawn(async move {
            for value in 1..20_000_u64 {
                let at = (value % KEYS) as usize;
                let target = match value % 5 {
                    0 => Target::Under(Key::of("number")),
                    1 => Target::Tag(Tag::of("tens").id(database[at].load(Ordering::SeqCst) / 10)),
                    _ => Target::Key(keys[at].clone()),
                };
                let invalidation = cache.invalidate(vec![target], soon()).await;
                database[at].store(value, Ordering::SeqCst);
                invalidation.done().await;
                promised[at].store(value, Ordering::SeqCst);
                if value.is_multiple_of(16) {
                    tokio::task::yield_now().await;
                }
            }
            is_over.store(true, Ordering::SeqCst);
        })
    };
    writer.await.unwrap();
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert!(stats(&cache).hits_local > 0);
}
