//! Several nodes on one Redis: what one has loaded the others find, and what one has forgotten nobody finds, whatever
//! happens to Redis meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cache::{Backend, Bus, Cache, CacheConfig, CacheSettings, Cached, ConfigStats, Key, KeySpace, Tag, Target};
use kernel::{Ctx, Random, Secret};
use testkit::{RedisCluster, RedisSentinel, RedisServer};
use tokio::time::Instant;

use crate::values::{Fault, Gate, MINUTE, ask, ask_slowly, ctx, ctx_for, key, until};

pub(crate) struct Node {
    pub(crate) backend: Backend,
    pub(crate) bus: Bus,
    pub(crate) cache: Cache,
    pub(crate) numbers: Cached<u64>,
}

impl Node {
    pub(crate) fn stats(&self) -> ConfigStats {
        self.cache.stats().configs[0].clone()
    }

    async fn forget(&self, target: Target) {
        self.cache.forget(vec![target], soon()).await;
    }

    /// Whether number 1 is in its memory, and served from there.
    fn has(&self, ctx: &Ctx) -> bool {
        self.numbers.peek(ctx, &key()).is_some()
    }

    async fn is_whole(&self) {
        until(|| self.backend.is_there() && self.bus.is_current() && self.cache.stats().pending_invalidations == 0)
            .await;
    }
}

/// Numbers with tags: their tens.
fn tagged() -> CacheConfig<u64> {
    CacheConfig::new("number").tags(|number| vec![Tag::of("tens").id(number / 10)])
}

pub(crate) async fn node_with(url: &str, config: CacheConfig<u64>) -> Node {
    let node = deaf_node(url, config).await;
    node.is_whole().await;
    node
}

/// One that need not hear anything.
async fn deaf_node(url: &str, config: CacheConfig<u64>) -> Node {
    let settings = CacheSettings { url: Secret::new(url.to_owned()), timeout_ms: 250, ..CacheSettings::default() };
    let backend = Backend::open(&settings, &KeySpace::new("test").unwrap(), &Random::os()).await.unwrap();
    let bus = Bus::new(&backend);
    let cache = Cache::new(&settings, &backend, &bus);
    let numbers = cache.configure(config).unwrap();
    Node { backend, bus, cache, numbers }
}

pub(crate) async fn node(url: &str) -> Node {
    node_with(url, tagged()).await
}

pub(crate) fn soon() -> Instant {
    Instant::now() + MINUTE
}

fn ways() -> [Target; 4] {
    [Target::Key(key()), Target::Under(key()), Target::Under(Key::of("number")), Target::Tag(Tag::of("tens").id(0))]
}

/// Number 1 gets into Redis: a value whose tag is new there is taken at the second load.
async fn share(node: &Node, ctx: &Ctx, url: &str, value: u64) {
    let third = self::node(url).await;
    for _ in 0..100 {
        node.forget(Target::Key(key())).await;
        ask(&node.numbers, ctx, &key(), value).await;
        let loads = third.stats().loads;
        if ask(&third.numbers, ctx, &key(), value).await == value && third.stats().loads == loads {
            return;
        }
        third.forget(Target::Key(key())).await;
    }
    panic!("it is not shared");
}

/// Number 1 is kept again once the news of the change's end is there: until then each asking loads, from `value` on.
async fn keeps_again(node: &Node, ctx: &Ctx, value: u64) {
    let mut last = None;
    for value in value..value + 100 {
        let found = ask(&node.numbers, ctx, &key(), value).await;
        if last == Some(found) {
            return;
        }
        assert_eq!(found, value, "it is from before the change's end");
        last = Some(found);
    }
    panic!("it is not kept");
}

#[tokio::test]
async fn what_one_node_has_loaded_another_finds() {
    let server = RedisServer::start().unwrap();
    let config = || CacheConfig::new("number").keep_absent(MINUTE);
    let (one, two) = (node_with(&server.url(), config()).await, node_with(&server.url(), config()).await);
    let ctx = ctx();
    assert_eq!(ask(&one.numbers, &ctx, &key(), 1).await, 1);
    assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 1);
    assert_eq!(ask(&two.numbers, &ctx, &key(), 3).await, 1);
    // Also that there is nothing.
    let nothing = Key::of("number").id("nothing");
    assert_eq!(one.numbers.get(&ctx, &nothing, || async { Ok::<_, Fault>(None) }).await, Ok(None));
    assert_eq!(two.numbers.get(&ctx, &nothing, || async { Ok::<_, Fault>(Some(1)) }).await, Ok(None));
    assert_eq!((one.stats().loads, two.stats().loads, two.stats().hits_shared), (2, 0, 2));
}

#[tokio::test]
async fn what_stays_on_its_node_is_not_shared() {
    let server = RedisServer::start().unwrap();
    let config = || CacheConfig::new("number").local_only();
    let (one, two) = (node_with(&server.url(), config()).await, node_with(&server.url(), config()).await);
    let ctx = ctx();
    assert_eq!(ask(&one.numbers, &ctx, &key(), 1).await, 1);
    assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 2);
    assert_eq!(server.cli(&["DBSIZE"]).unwrap().trim(), "0");
    // It is forgotten there all the same.
    one.forget(Target::Key(key())).await;
    until(|| !two.has(&ctx)).await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 3).await, 3);
}

#[tokio::test]
async fn what_one_node_forgets_all_forget() {
    let server = RedisServer::start().unwrap();
    for (way, value) in ways().into_iter().zip(1..) {
        let (one, two) = (node(&server.url()).await, node(&server.url()).await);
        let ctx = ctx();
        share(&one, &ctx, &server.url(), value).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, value);
        one.forget(way.clone()).await;
        assert_eq!(ask(&one.numbers, &ctx, &key(), value + 5).await, value + 5, "{way:?}");
        until(|| !two.has(&ctx)).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), value + 5).await, value + 5, "{way:?}");
        one.forget(Target::Key(key())).await;
    }
}

#[tokio::test]
async fn a_load_that_was_under_way_is_kept_nowhere() {
    let server = RedisServer::start().unwrap();
    for way in ways() {
        let (one, two, three) = (node(&server.url()).await, node(&server.url()).await, node(&server.url()).await);
        let (ctx, gate) = (ctx(), Gate::default());
        share(&one, &ctx, &server.url(), 1).await;
        one.forget(Target::Key(key())).await;
        // Otherwise the message of that could be what keeps the slow one out.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let slow = ask_slowly(&two.numbers, &ctx, &key(), &gate, Ok(Some(1)));
        gate.entered().await;
        one.forget(way.clone()).await;
        gate.release();
        assert_eq!(slow.await.unwrap(), Ok(Some(1)));
        assert_eq!(ask(&three.numbers, &ctx, &key(), 2).await, 2, "{way:?}");
        until(|| !two.has(&ctx)).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 2, "{way:?}");
        three.forget(Target::Key(key())).await;
    }
}

/// A user who hears nothing until it is allowed to.
fn deaf_url(server: &RedisServer) -> String {
    server.cli(&["ACL", "SETUSER", "two", "on", ">secret", "~*", "resetchannels", "+@all"]).unwrap();
    server.url().replace("redis://", "redis://two:secret@")
}

/// The one that loads slowly does not hear of it: Redis alone keeps its value out.
#[tokio::test]
async fn a_slow_load_does_not_put_back_what_was_forgotten_even_where_it_is_not_told() {
    let server = RedisServer::start().unwrap();
    let deaf_url = deaf_url(&server);
    for way in ways() {
        let (one, three) = (node(&server.url()).await, node(&server.url()).await);
        let two = deaf_node(&deaf_url, tagged()).await;
        let (ctx, gate) = (ctx(), Gate::default());
        share(&one, &ctx, &server.url(), 1).await;
        one.forget(Target::Key(key())).await;
        let slow = ask_slowly(&two.numbers, &ctx, &key(), &gate, Ok(Some(1)));
        gate.entered().await;
        one.forget(way.clone()).await;
        assert_eq!(one.cache.stats().pending_invalidations, 0);
        gate.release();
        assert_eq!(slow.await.unwrap(), Ok(Some(1)));
        assert_eq!(two.stats().refused_fills, 0, "it did not know");
        assert_eq!(ask(&three.numbers, &ctx, &key(), 2).await, 2, "{way:?}");
        one.forget(Target::Under(Key::of("number"))).await;
    }
}

#[tokio::test]
async fn what_a_node_did_not_hear_is_not_served_from_its_memory_afterwards() {
    let server = RedisServer::start().unwrap();
    let deaf_url = deaf_url(&server);
    let one = node(&server.url()).await;
    let two = deaf_node(&deaf_url, tagged()).await;
    let ctx = ctx();
    server.cli(&["ACL", "SETUSER", "two", "&*"]).unwrap();
    two.is_whole().await;
    share(&one, &ctx, &server.url(), 1).await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 1);
    until(|| two.has(&ctx)).await;
    // It is thrown out, and does not hear what comes now.
    server.cli(&["ACL", "SETUSER", "two", "resetchannels"]).unwrap();
    until(|| !two.bus.is_current()).await;
    one.forget(Target::Key(key())).await;
    assert_eq!(one.cache.stats().pending_invalidations, 0);
    server.cli(&["ACL", "SETUSER", "two", "&*"]).unwrap();
    two.is_whole().await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 2);
}

/// A change that nobody was told of yet, and whose caller goes away.
#[tokio::test]
async fn a_change_that_is_dropped_before_it_is_published_is_held_everywhere() {
    let server = RedisServer::start().unwrap();
    let (one, two) = (node(&server.url()).await, node(&server.url()).await);
    let ctx = ctx();
    share(&one, &ctx, &server.url(), 1).await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 1);
    drop(one.cache.begin(vec![Target::Key(key())], soon()));
    until(|| !two.has(&ctx)).await;
    for value in 2..5 {
        assert_eq!(ask(&two.numbers, &ctx, &key(), value).await, value);
    }
}

#[tokio::test]
async fn while_a_change_is_open_on_one_node_no_node_keeps_it() {
    let server = RedisServer::start().unwrap();
    for way in ways() {
        let (one, two, three) = (node(&server.url()).await, node(&server.url()).await, node(&server.url()).await);
        let ctx = ctx();
        share(&one, &ctx, &server.url(), 1).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 1);
        let invalidation = one.cache.invalidate(vec![way.clone()], soon()).await;
        until(|| !two.has(&ctx)).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 2, "{way:?}");
        // Not in Redis, whatever is in the second's memory.
        assert_eq!(ask(&three.numbers, &ctx, &key(), 3).await, 3, "{way:?}");
        if !matches!(way, Target::Tag(_)) {
            assert!(!two.has(&ctx), "{way:?}");
        }
        invalidation.done().await;
        until(|| !two.has(&ctx) && !three.has(&ctx)).await;
        share(&one, &ctx, &server.url(), 4).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 4);
        one.forget(Target::Key(key())).await;
    }
}

#[tokio::test]
async fn a_node_that_ends_in_the_middle_of_a_change_leaves_nothing_old_and_nothing_that_lasts() {
    let server = RedisServer::start().unwrap();
    let (one, two) = (node(&server.url()).await, node(&server.url()).await);
    let ctx = ctx();
    share(&one, &ctx, &server.url(), 1).await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 1);
    // What a crash leaves: nothing more is said.
    std::mem::forget(one.cache.invalidate(vec![Target::Key(key())], soon()).await);
    one.backend.close().await;
    until(|| !two.has(&ctx)).await;
    for value in 2..5 {
        assert_eq!(ask(&two.numbers, &ctx, &key(), value).await, value);
    }
    let left = server.cli(&["--scan", "--pattern", "*k:number:1"]).unwrap();
    let left = left.trim();
    assert!(!left.is_empty() && !left.contains('\n'), "{left}");
    let ms: i64 = server.cli(&["PTTL", left]).unwrap().trim().parse().unwrap();
    assert!((1..=10_000).contains(&ms), "{ms}");
    // That time is over.
    server.cli(&["DEL", left]).unwrap();
    assert_eq!(ask(&two.numbers, &ctx, &key(), 5).await, 5);
    assert_eq!(ask(&two.numbers, &ctx, &key(), 6).await, 5);
}

#[tokio::test]
async fn of_two_changes_that_overlap_each_keeps_things_out_until_its_own_end() {
    let server = RedisServer::start().unwrap();
    let (one, two, three) = (node(&server.url()).await, node(&server.url()).await, node(&server.url()).await);
    let ctx = ctx();
    let first = one.cache.invalidate(vec![Target::Key(key())], soon()).await;
    let second = two.cache.invalidate(vec![Target::Key(key())], soon()).await;
    first.done().await;
    assert_eq!(ask(&three.numbers, &ctx, &key(), 1).await, 1);
    assert_eq!(ask(&three.numbers, &ctx, &key(), 2).await, 2);
    second.done().await;
    keeps_again(&three, &ctx, 3).await;
}

#[tokio::test]
async fn a_change_without_an_outcome_is_held_everywhere() {
    let server = RedisServer::start().unwrap();
    let (one, two) = (node(&server.url()).await, node(&server.url()).await);
    let ctx = ctx();
    share(&one, &ctx, &server.url(), 1).await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 1);
    let invalidation = one.cache.invalidate(vec![Target::Key(key())], soon()).await;
    until(|| !two.has(&ctx)).await;
    drop(invalidation);
    for value in 2..5 {
        assert_eq!(ask(&one.numbers, &ctx, &key(), value).await, value);
        assert_eq!(ask(&two.numbers, &ctx, &key(), value + 10).await, value + 10);
    }
}

#[tokio::test]
async fn whoever_goes_away_while_it_forgets_has_forgotten() {
    let server = RedisServer::start().unwrap();
    let (one, two) = (node(&server.url()).await, node(&server.url()).await);
    let ctx = ctx();
    share(&one, &ctx, &server.url(), 1).await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 1);
    server.freeze().unwrap();
    let forgetting = {
        let cache = one.cache.clone();
        tokio::spawn(async move { cache.forget(vec![Target::Key(key())], soon()).await })
    };
    until(|| !one.has(&ctx)).await;
    forgetting.abort();
    let _ = forgetting.await;
    assert_eq!(ask(&one.numbers, &ctx, &key(), 2).await, 2);
    server.thaw().unwrap();
    one.is_whole().await;
    two.is_whole().await;
    // It was told, and hears of it within two seconds.
    until(|| !two.has(&ctx)).await;
    for node in [&one, &two] {
        assert_ne!(ask(&node.numbers, &ctx, &key(), 3).await, 1);
    }
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_empty_costs_loads_and_nothing_else() {
    let mut server = RedisServer::start().unwrap();
    let (one, two) = (node(&server.url()).await, node(&server.url()).await);
    let ctx = ctx();
    share(&one, &ctx, &server.url(), 1).await;
    server.kill().unwrap();
    until(|| !one.backend.is_there() && !two.backend.is_there()).await;
    assert_eq!(ask(&one.numbers, &ctx, &Key::of("number").id(2), 2).await, 2);
    one.forget(Target::Key(key())).await;
    assert_eq!(one.cache.stats().pending_invalidations, 1);
    assert_eq!(ask(&one.numbers, &ctx, &key(), 5).await, 5);
    server.restart_empty().unwrap();
    one.is_whole().await;
    two.is_whole().await;
    share(&one, &ctx, &server.url(), 6).await;
    until(|| !two.has(&ctx)).await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 6);
}

#[tokio::test]
async fn an_older_snapshot_brings_nothing_back() {
    let mut server = RedisServer::start().unwrap();
    let ctx = ctx();
    {
        let one = node(&server.url()).await;
        share(&one, &ctx, &server.url(), 1).await;
        server.cli(&["SAVE"]).unwrap();
        one.forget(Target::Key(key())).await;
        share(&one, &ctx, &server.url(), 2).await;
        server.restart().unwrap();
        // The old value is there again.
        assert!(server.cli(&["--scan", "--pattern", "*v:number:1"]).unwrap().contains("v:number:1"));
        one.is_whole().await;
        assert_ne!(ask(&one.numbers, &ctx, &key(), 3).await, 1);
    }
    let two = node(&server.url()).await;
    assert_ne!(ask(&two.numbers, &ctx, &key(), 3).await, 1);
}

#[tokio::test]
async fn a_frozen_redis_makes_nobody_wait_for_long_and_no_memory_is_trusted_meanwhile() {
    let server = RedisServer::start().unwrap();
    let (one, two) = (node(&server.url()).await, node(&server.url()).await);
    let ctx = ctx();
    share(&one, &ctx, &server.url(), 1).await;
    assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 1);
    server.freeze().unwrap();
    // Each ends, although the deadline is far: it is the link's bound that ends them.
    tokio::time::timeout(Duration::from_secs(20), async {
        one.forget(Target::Key(key())).await;
        assert_eq!(ask(&one.numbers, &ctx, &key(), 2).await, 2);
        until(|| !two.bus.is_current()).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 2);
    })
    .await
    .unwrap();
    server.thaw().unwrap();
    one.is_whole().await;
    two.is_whole().await;
    for node in [&one, &two] {
        assert_ne!(ask(&node.numbers, &ctx, &key(), 3).await, 1);
    }
}

/// One node may read in Redis and not write: what it has forgotten there is still what was before.
#[tokio::test]
async fn a_node_does_without_what_it_could_not_forget() {
    let server = RedisServer::start().unwrap();
    server.cli(&["ACL", "SETUSER", "one", "on", ">secret", "~*", "&*", "+@all"]).unwrap();
    let url = server.url().replace("redis://", "redis://one:secret@");
    let (one, two) = (node(&url).await, node(&server.url()).await);
    let ctx = ctx();
    for way in ways() {
        share(&one, &ctx, &server.url(), 1).await;
        one.forget(Target::Key(Key::of("number").id("other"))).await;
        server.cli(&["ACL", "SETUSER", "one", "-eval", "-evalsha"]).unwrap();
        one.forget(way.clone()).await;
        assert_eq!(one.cache.stats().pending_invalidations, 1);
        // Two could still find it in Redis.
        for value in [2, 3] {
            assert_eq!(ask(&one.numbers, &ctx, &key(), value).await % 10, 2, "{way:?}");
        }
        one.forget(Target::Key(Key::of("number").id("other"))).await;
        server.cli(&["ACL", "SETUSER", "one", "+eval", "+evalsha"]).unwrap();
        one.is_whole().await;
        until(|| !two.has(&ctx)).await;
        assert_ne!(ask(&two.numbers, &ctx, &key(), 4).await, 1, "{way:?}");
        two.forget(Target::Key(key())).await;
        until(|| !one.has(&ctx)).await;
    }
}

#[tokio::test]
async fn a_redis_that_is_full_forgets_and_is_done_without() {
    let server = RedisServer::with(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]).unwrap();
    let (one, two) = (node(&server.url()).await, node(&server.url()).await);
    let ctx = ctx();
    share(&one, &ctx, &server.url(), 1).await;
    let invalidation = one.cache.invalidate(vec![Target::Key(Key::of("number").id("open"))], soon()).await;
    server.cli(&["EVAL", "return redis.call('SET', KEYS[1], string.rep('x', 6000000))", "1", "fill"]).unwrap();
    assert!(server.cli(&["SET", "more", "x"]).unwrap().contains("OOM"));
    for target in [Target::Key(key()), Target::Tag(Tag::of("tens").id(0)), Target::Under(Key::of("number"))] {
        one.forget(target).await;
    }
    invalidation.done().await;
    drop(one.cache.invalidate(vec![Target::Key(Key::of("number").id(3))], soon()).await);
    assert_eq!(one.cache.stats().pending_invalidations, 0, "a full Redis forgets");
    assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 2);
    assert_eq!(ask(&one.numbers, &ctx, &key(), 3).await, 3);
    server.cli(&["FLUSHALL"]).unwrap();
    share(&one, &ctx, &server.url(), 4).await;
}

#[tokio::test]
async fn everywhere_one_node_loads_and_the_others_wait_for_it() {
    let server = RedisServer::start().unwrap();
    let config = || CacheConfig::new("number").everywhere();
    let (one, two) = (node_with(&server.url(), config()).await, node_with(&server.url(), config()).await);
    let (ctx, gate) = (ctx(), Gate::default());
    let loading = ask_slowly(&one.numbers, &ctx, &key(), &gate, Ok(Some(1)));
    gate.entered().await;
    let waiting = ask_slowly(&two.numbers, &ctx, &key(), &Gate::default(), Ok(Some(2)));
    until(|| two.stats().misses == 1).await;
    gate.release();
    assert_eq!(loading.await.unwrap(), Ok(Some(1)));
    assert_eq!(waiting.await.unwrap(), Ok(Some(1)));
    assert_eq!((one.stats().loads, two.stats().loads), (1, 0));

    // Where that load fails, the next one loads.
    let other = Key::of("number").id(2);
    let gate = Gate::default();
    let loading = ask_slowly(&one.numbers, &ctx, &other, &gate, Err(Fault::Broken));
    gate.entered().await;
    let next = Gate::default();
    next.release();
    let waiting = ask_slowly(&two.numbers, &ctx, &other, &next, Ok(Some(2)));
    until(|| two.stats().misses == 2).await;
    gate.release();
    assert_eq!(loading.await.unwrap(), Err(Fault::Broken));
    assert_eq!(waiting.await.unwrap(), Ok(Some(2)));
}

#[tokio::test]
async fn everywhere_nobody_waits_past_half_of_its_time_for_a_node_that_is_gone() {
    let server = RedisServer::start().unwrap();
    let config = || CacheConfig::new("number").everywhere();
    let (one, two) = (node_with(&server.url(), config()).await, node_with(&server.url(), config()).await);
    let gate = Gate::default();
    let loading = ask_slowly(&one.numbers, &ctx(), &key(), &gate, Ok(Some(1)));
    gate.entered().await;
    loading.abort();
    let short = ctx_for(Duration::from_secs(4));
    // Time is left for its own load.
    let load = || async { Ok::<_, Fault>(Some(u64::from(short.remaining() > Duration::from_secs(1)))) };
    assert_eq!(two.numbers.get(&short, &key(), load).await, Ok(Some(Arc::new(1))));
}

#[tokio::test]
async fn an_old_value_of_another_node_is_not_taken_for_a_fresh_one() {
    let server = RedisServer::start().unwrap();
    let config = || CacheConfig::new("number").keep(MINUTE).stale(MINUTE);
    let (one, two) = (node_with(&server.url(), config()).await, node_with(&server.url(), config()).await);
    let ctx = ctx();
    ask(&one.numbers, &ctx, &key(), 1).await;
    ctx.clock().advance(MINUTE);
    assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 2);
    // And the new one replaced it.
    let three = node_with(&server.url(), config()).await;
    assert_eq!(ask(&three.numbers, &ctx, &key(), 3).await, 2);
}

#[tokio::test]
async fn what_cannot_be_read_is_loaded() {
    let server = RedisServer::start().unwrap();
    let one = node_with(&server.url(), CacheConfig::new("number")).await;
    let two = node(&server.url()).await;
    let texts: Cached<String> = two.cache.configure(CacheConfig::new("text")).unwrap();
    let numbers: Cached<u64> = one.cache.configure(CacheConfig::new("text")).unwrap();
    let (ctx, key) = (ctx(), Key::of("text").id(1));
    assert_eq!(ask(&numbers, &ctx, &key, 1).await, 1);
    let text = texts.get(&ctx, &key, || async { Ok::<_, Fault>(Some("one".to_owned())) }).await;
    assert_eq!(text, Ok(Some(Arc::new("one".to_owned()))));
}

async fn test(url: &str) {
    let (one, two) = (node(url).await, node(url).await);
    let ctx = ctx();
    for way in ways() {
        share(&one, &ctx, url, 1).await;
        until(|| two.bus.is_current()).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 9).await, 1);
        let invalidation = one.cache.invalidate(vec![way.clone(), Target::Key(Key::of("other").id(1))], soon()).await;
        invalidation.done().await;
        assert_eq!(one.cache.stats().pending_invalidations, 0);
        assert_eq!(ask(&one.numbers, &ctx, &key(), 2).await, 2, "{way:?}");
        until(|| !two.has(&ctx)).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 2).await, 2, "{way:?}");
    }
}

#[tokio::test]
async fn a_cluster_shares_and_forgets_as_one_redis_does() {
    let cluster = RedisCluster::start().unwrap();
    test(&cluster.url()).await;
}

#[tokio::test]
async fn after_a_failover_nothing_old_is_found() {
    let mut sentinel = RedisSentinel::start().unwrap();
    test(&sentinel.url()).await;
    let one = node(&sentinel.url()).await;
    let ctx = ctx();
    share(&one, &ctx, &sentinel.url(), 1).await;
    sentinel.failover().unwrap();
    one.forget(Target::Key(key())).await;
    one.is_whole().await;
    assert_ne!(ask(&one.numbers, &ctx, &key(), 2).await, 1);
    let two = node(&sentinel.url()).await;
    assert_ne!(ask(&two.numbers, &ctx, &key(), 2).await, 1);
}

/// A writer changes a number on one node, while Redis is frozen, killed, emptied and set back. A caller on the same
/// node never gets less than was done before; and in the end the other node agrees.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_happens_to_redis_nobody_reads_on_the_same_node_what_was_forgotten_there() {
    let mut server = RedisServer::start().unwrap();
    let (one, two) = (node(&server.url()).await, node(&server.url()).await);
    let database = Arc::new(AtomicU64::new(0));
    let promised = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let read = |node: &Node, is_held: bool| {
        let (numbers, ctx) = (node.numbers.clone(), ctx_for(10 * MINUTE));
        let (database, promised, is_over) = (database.clone(), promised.clone(), is_over.clone());
        tokio::spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let least = promised.load(Ordering::SeqCst);
                let load = || async {
                    let value = database.load(Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok::<_, Fault>(Some(value))
                };
                let got = *numbers.get(&ctx, &key(), load).await.unwrap().unwrap();
                assert!(!is_held || got >= least, "{got} was read after {least} was done");
                tokio::task::yield_now().await;
            }
        })
    };
    let readers = [read(&one, true), read(&one, true), read(&two, false), read(&two, false)];
    for value in 1..=1000_u64 {
        let target = match value % 3 {
            0 => Target::Key(key()),
            1 => Target::Under(Key::of("number")),
            _ => Target::Tag(Tag::of("tens").id(database.load(Ordering::SeqCst) / 10)),
        };
        if value.is_multiple_of(2) {
            let invalidation = one.cache.invalidate(vec![target], soon()).await;
            database.store(value, Ordering::SeqCst);
            invalidation.done().await;
        } else {
            database.store(value, Ordering::SeqCst);
            one.cache.forget(vec![target], soon()).await;
        }
        promised.store(value, Ordering::SeqCst);
        match value {
            100 => drop(server.cli(&["SAVE"]).unwrap()),
            200 | 600 => server.freeze().unwrap(),
            300 | 700 => server.thaw().unwrap(),
            400 => server.kill().unwrap(),
            500 => server.restart().unwrap(),
            800 => server.restart_empty().unwrap(),
            _ => {}
        }
        // What happens next happens to one that works.
        if [350, 550, 750, 900].contains(&value) {
            one.is_whole().await;
        }
    }
    one.is_whole().await;
    two.is_whole().await;
    is_over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    let ctx = ctx();
    assert_eq!(ask(&one.numbers, &ctx, &key(), 1000).await, 1000);
    let began = Instant::now();
    while ask(&two.numbers, &ctx, &key(), 1000).await != 1000 {
        assert!(began.elapsed() < MINUTE, "the other node never followed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
