//! Two deployments on one Redis, which never meet; and the nodes of one, which do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache::{
    Backend, Bus, Cache, CacheConfig, CacheSettings, Cached, Heard, Key, KeySpace, Limiter, Tag, Target,
    WhenUnavailable,
};
use kernel::{Clock, Ctx, Random, Taking};
use testkit::{RedisCluster, RedisServer, run};
use tokio::time::Instant;

use crate::limit::charge;
use crate::values::{MINUTE, ask, ctx, key, until};

struct Node {
    backend: Backend,
    bus: Bus,
    cache: Cache,
    numbers: Cached<u64>,
    limiter: Limiter,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Node {
    async fn start(url: &str, deployment: &str) -> Self {
        let settings = CacheSettings { timeout_ms: 5000, ..CacheSettings::at(url) };
        let backend = Backend::open(&settings, &KeySpace::new(deployment).unwrap(), &Random::os()).await.unwrap();
        let bus = Bus::new(&backend);
        let cache = Cache::new(&settings, &backend, &bus);
        let tagged = CacheConfig::new("number").tags(|number| vec![Tag::of("tens").id(number / 10)]);
        let numbers = cache.configure(tagged).unwrap();
        let limiter = Limiter::new(&backend, &bus, WhenUnavailable::Refuse);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let put = heard.clone();
        bus.subscribe("news", move |one| {
            if let Heard::Message(text) = one {
                put.lock().unwrap().push(text.to_vec());
            }
        });
        let node = Self { backend, bus, cache, numbers, limiter, heard };
        until(|| node.backend.is_there() && node.bus.is_current()).await;
        node
    }

    /// How many of ten calls go through that has an allowance of three.
    async fn admitted(&self) -> usize {
        let charges = [charge("a", 3, Duration::from_secs(86_400))];
        let ctx = Ctx::system("test", MINUTE, &Clock::system(), &Random::os());
        let mut admitted = 0;
        for _ in 0..10 {
            let taken = match self.limiter.take(&ctx, &charges) {
                Taking::Now(taken) => taken,
                Taking::Later(later) => later.await,
            };
            admitted += usize::from(taken.is_admitted());
        }
        admitted
    }
}

async fn are_apart(url: &str) {
    let (one, two) = (Node::start(url, "one").await, Node::start(url, "two").await);
    let same = Node::start(url, "one").await;
    let ctx = ctx();

    // Limits: an allowance each, which the nodes of one deployment share.
    assert_eq!((one.admitted().await, same.admitted().await, two.admitted().await), (3, 0, 3));

    // Values: what the one has loaded the other has not, whatever it is asked.
    for _ in 0..3 {
        assert_eq!(ask(&one.numbers, &ctx, &key(), 11).await, 11);
        assert_eq!(ask(&two.numbers, &ctx, &key(), 22).await, 22);
    }

    // Forgetting: by a key, all under one, and a tag.
    let targets = [Target::Key(key()), Target::Under(Key::of("number")), Target::Tag(Tag::of("tens").id(2))];
    for target in targets {
        one.cache.forget(vec![target], Instant::now() + MINUTE).await;
        assert_eq!(ask(&two.numbers, &ctx, &key(), 99).await, 22);
        assert_eq!(ask(&one.numbers, &ctx, &key(), 11).await, 11);
    }

    // Messages: heard by the other node of the same deployment alone. Redis tells each listener everything in one order, so
    // that what has not come before a message of its own does not come at all.
    let soon = Instant::now() + MINUTE;
    one.bus.publish("news", b"of one", soon).await.unwrap();
    let last = Node::start(url, "two").await;
    last.bus.publish("news", b"of two", soon).await.unwrap();
    until(|| !two.heard.lock().unwrap().is_empty() && !same.heard.lock().unwrap().is_empty()).await;
    assert_eq!(*same.heard.lock().unwrap(), [b"of one".to_vec()]);
    assert_eq!(*two.heard.lock().unwrap(), [b"of two".to_vec()]);
    until(|| one.bus.nodes() == 2 && two.bus.nodes() == 2).await;
}

/// Whatever lies in Redis, and every channel, has a deployment's name in it.
fn is_named(server: &RedisServer) -> usize {
    let (keys, channels) = (server.cli(&["--scan"]).unwrap(), server.cli(&["PUBSUB", "CHANNELS"]).unwrap());
    for name in keys.lines().chain(channels.lines()).filter(|name| !name.is_empty()) {
        assert!(name.starts_with("ms:one:") || name.starts_with("ms:two:"), "{name}");
    }
    keys.lines().count()
}

#[test]
fn two_deployments_on_one_redis_do_not_meet() {
    run(async {
        let server = RedisServer::start().unwrap();
        are_apart(&server.url()).await;
        assert!(is_named(&server) > 4);
    });
}

#[test]
fn two_deployments_on_one_cluster_do_not_meet() {
    run(async {
        let mut cluster = RedisCluster::start().unwrap();
        are_apart(&cluster.url()).await;
        assert!(cluster.servers().iter().map(is_named).sum::<usize>() > 4);
    });
}
