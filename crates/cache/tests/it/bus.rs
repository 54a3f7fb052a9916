//! Messages between nodes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache::{Backend, Bus, CacheSettings, Heard, KeySpace, Unavailable};
use kernel::Random;
use testkit::{RedisCluster, RedisSentinel, RedisServer, run};
use tokio::time::Instant;

/// Longer than anything that is waited for here.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A node: a way to Redis of its own, and what it was told.
struct Node {
    backend: Backend,
    bus: Bus,
    told: Arc<Mutex<Vec<String>>>,
}

impl Node {
    async fn start(url: &str) -> Self {
        let settings = CacheSettings { timeout_ms: 500, ..CacheSettings::at(url) };
        let backend = Backend::open(&settings, &KeySpace::new("test").unwrap(), &Random::os()).await.unwrap();
        let bus = Bus::new(&backend);
        let told = Arc::new(Mutex::new(Vec::new()));
        let put = told.clone();
        bus.subscribe("news", move |heard| {
            put.lock().unwrap().push(match heard {
                Heard::Message(text) => String::from_utf8_lossy(text).into_owned(),
                Heard::Gap => "gap".to_owned(),
            });
        });
        let node = Self { backend, bus, told };
        node.until("it is current", || node.bus.is_current()).await;
        node
    }

    async fn say(&self, text: &str) -> Result<(), Unavailable> {
        self.bus.publish("news", text.as_bytes(), Instant::now() + TIMEOUT).await
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    fn gaps(&self) -> usize {
        self.told().iter().filter(|one| *one == "gap").count()
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let until = Instant::now() + TIMEOUT;
        while !is_so() {
            assert!(Instant::now() < until, "waited in vain until {what}; told: {:?}", self.told());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Until it was told this.
    async fn hears(&self, text: &str) {
        self.until(text, || self.told().iter().any(|one| one == text)).await;
    }
}

#[test]
fn a_node_alone_hears_nobody_and_misses_nothing() {
    run(async {
        let bus = Bus::new(&Backend::memory());
        bus.subscribe("news", |heard| panic!("{heard:?}"));
        assert!(bus.is_current());
        assert_eq!(bus.nodes(), 1);
        assert_eq!(bus.publish("news", b"1", Instant::now()).await, Ok(()));
    });
}

#[test]
fn what_a_node_says_all_others_hear_and_it_itself_does_not() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (a, b, c) =
            (Node::start(&server.url()).await, Node::start(&server.url()).await, Node::start(&server.url()).await);
        a.say("1").await.unwrap();
        b.say("2").await.unwrap();
        c.bus.publish("other", b"not for this topic", Instant::now() + TIMEOUT).await.unwrap();
        c.say("3").await.unwrap();
        // They begin with a gap: what was said before they listened they have missed.
        for (node, others) in [(&a, ["2", "3"]), (&b, ["1", "3"]), (&c, ["1", "2"])] {
            for other in others {
                node.hears(other).await;
            }
            assert_eq!(node.told().len(), 3, "{:?}", node.told());
            assert_eq!(node.told()[0], "gap");
        }
        a.until("all are counted", || a.bus.nodes() == 3).await;
        let Node { backend, bus, .. } = c;
        drop((bus, backend));
        a.until("one is gone", || a.bus.nodes() == 2).await;
    });
}

#[test]
fn nodes_are_counted_as_soon_as_one_listens() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (_a, _b) = (Node::start(&server.url()).await, Node::start(&server.url()).await);
        let c = Node::start(&server.url()).await;
        assert_eq!(c.bus.nodes(), 3, "it has not waited for the others to say that they are there");
    });
}

#[test]
fn while_redis_is_away_nobody_is_current_and_afterwards_all_are_told_of_the_gap() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        let (a, b) = (Node::start(&server.url()).await, Node::start(&server.url()).await);
        a.until("both are counted", || a.bus.nodes() == 2).await;
        server.kill().unwrap();
        for node in [&a, &b] {
            node.until("it is not current", || !node.bus.is_current()).await;
        }
        a.until("the link is down", || !a.backend.is_there()).await;
        assert_eq!(a.say("lost").await, Err(Unavailable::NotAsked));
        assert_eq!(a.bus.nodes(), 2, "as last known");
        server.restart().unwrap();
        for node in [&a, &b] {
            node.until("it is current again", || node.bus.is_current()).await;
            assert_eq!(node.gaps(), 2, "{:?}", node.told());
        }
        a.say("found").await.unwrap();
        b.hears("found").await;
        assert_eq!(b.told(), ["gap", "gap", "found"]);
        assert_eq!(a.bus.nodes(), 2, "it is not forgotten who was there");
    });
}

#[test]
fn a_node_that_was_cut_off_is_told_of_the_gap_also_when_redis_went_on() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (a, b) = (Node::start(&server.url()).await, Node::start(&server.url()).await);
        // The connections on which they listen.
        server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
        a.say("in between").await.unwrap();
        b.until("it knows of the gap", || b.gaps() == 2).await;
        a.say("afterwards").await.unwrap();
        b.hears("afterwards").await;
        assert!(!b.told().contains(&"in between".to_owned()));
    });
}

#[test]
fn a_frozen_redis_is_noticed_and_nothing_of_before_is_lost() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (a, b) = (Node::start(&server.url()).await, Node::start(&server.url()).await);
        server.freeze().unwrap();
        for node in [&a, &b] {
            node.until("it is not current", || !node.bus.is_current()).await;
        }
        server.thaw().unwrap();
        for node in [&a, &b] {
            node.until("it is current again", || node.bus.is_current()).await;
            assert!(node.gaps() >= 2, "{:?}", node.told());
        }
        a.say("1").await.unwrap();
        b.hears("1").await;
    });
}

#[test]
fn one_who_panics_and_one_who_is_slow_do_not_keep_the_others_from_hearing() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (a, b) = (Node::start(&server.url()).await, Node::start(&server.url()).await);
        b.bus.subscribe("news", |_| panic!("as the test wants it"));
        let (gate, open) = std::sync::mpsc::channel::<()>();
        let open = Mutex::new(open);
        b.bus.subscribe("slow", move |_| {
            // Once; afterwards the other end is gone.
            let _ = open.lock().unwrap().recv();
        });
        a.say("1").await.unwrap();
        b.hears("1").await;
        a.bus.publish("slow", b"", Instant::now() + TIMEOUT).await.unwrap();
        // More than are kept, while it hears nothing; then it knows that it has missed some.
        for n in 0..3000 {
            a.say(&format!("many {n}")).await.unwrap();
        }
        b.until("it is not current", || !b.bus.is_current()).await;
        drop(gate);
        b.until("it knows of the gap", || b.gaps() >= 2).await;
        b.until("it is current again", || b.bus.is_current()).await;
        a.say("last").await.unwrap();
        b.hears("last").await;
        assert!(b.told().len() < 3000);
    });
}

#[test]
fn a_message_has_a_bound() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (a, b) = (Node::start(&server.url()).await, Node::start(&server.url()).await);
        let long = "x".repeat(Bus::MOST_BYTES);
        a.say(&long).await.unwrap();
        b.hears(&long).await;
        assert_eq!(a.say(&(long + "x")).await, Err(Unavailable::Refused));
    });
}

#[test]
fn what_strangers_publish_is_passed_over() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (a, b) = (Node::start(&server.url()).await, Node::start(&server.url()).await);
        let channel = server.cli(&["PUBSUB", "CHANNELS"]).unwrap();
        for message in ["", "short", "just sixteen byte", "0123456789abcdef\u{7f}topic", "0123456789abcdef"] {
            assert_eq!(server.cli(&["PUBLISH", channel.trim(), message]).unwrap().trim(), "2");
        }
        a.say("1").await.unwrap();
        b.hears("1").await;
        assert_eq!(b.told(), ["gap", "1"]);
    });
}

#[test]
fn products_on_different_databases_of_one_redis_do_not_hear_each_other() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (a, b) = (Node::start(&server.url()).await, Node::start(&server.url()).await);
        let other = Node::start(&server.url().replace("/0", "/1")).await;
        other.say("not for you").await.unwrap();
        a.say("1").await.unwrap();
        b.hears("1").await;
        assert_eq!(b.told(), ["gap", "1"]);
        assert_eq!(other.told(), ["gap"]);
        assert_eq!(other.bus.nodes(), 1);
    });
}

#[test]
fn after_a_failover_all_listen_to_the_new_master() {
    run(async {
        let mut servers = RedisSentinel::start().unwrap();
        let (a, b) = (Node::start(&servers.url()).await, Node::start(&servers.url()).await);
        servers.failover().unwrap();
        for node in [&a, &b] {
            node.until("it is told of the gap", || node.gaps() >= 2).await;
            node.until("it is current", || node.bus.is_current()).await;
        }
        a.until("it is heard", || a.backend.is_there()).await;
        a.say("1").await.unwrap();
        b.hears("1").await;
        servers.kill_master().unwrap();
        for node in [&a, &b] {
            node.until("it is told of the gap", || node.gaps() >= 3).await;
            node.until("it is current", || node.bus.is_current() && node.backend.is_there()).await;
        }
        b.say("2").await.unwrap();
        a.hears("2").await;
    });
}

#[test]
fn nodes_hear_each_other_over_a_cluster() {
    run(async {
        let cluster = RedisCluster::start().unwrap();
        let (a, b) = (Node::start(&cluster.url()).await, Node::start(&cluster.url()).await);
        for n in 0..20 {
            a.say(&format!("a{n}")).await.unwrap();
            b.say(&format!("b{n}")).await.unwrap();
        }
        for n in 0..20 {
            a.hears(&format!("b{n}")).await;
            b.hears(&format!("a{n}")).await;
        }
    });
}
