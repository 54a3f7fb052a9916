//! Allowances of several nodes, over a Redis to which things happen.

use std::sync::Arc;
use std::time::Duration;

use cache::{Backend, Bus, CacheSettings, KeySpace, Limiter, WhenUnavailable};
use kernel::{Charge, Clock, Ctx, Random, Taken, Taking};
use testkit::{RedisCluster, RedisSentinel, RedisServer, run};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::limit::charge;

/// Longer than anything that is waited for here.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A window in which nothing comes back while a test runs, with the quotas used here.
const LONG: Duration = Duration::from_secs(86_400);

/// A node.
#[derive(Clone)]
struct Node {
    backend: Backend,
    bus: Bus,
    limiter: Limiter,
}

impl Node {
    async fn start(url: &str) -> Self {
        Self::with(url, WhenUnavailable::Share).await
    }

    async fn with(url: &str, when_unavailable: WhenUnavailable) -> Self {
        let settings = CacheSettings { timeout_ms: 500, ..CacheSettings::at(url) };
        let backend = Backend::open(&settings, &KeySpace::new("test").unwrap(), &Random::os()).await.unwrap();
        let bus = Bus::new(&backend);
        let limiter = Limiter::new(&backend, &bus, when_unavailable);
        Self { backend, bus, limiter }
    }

    async fn take(&self, charges: &[Charge]) -> Taken {
        let ctx = Ctx::system("test", TIMEOUT, &Clock::system(), &Random::os());
        match self.limiter.take(&ctx, charges) {
            Taking::Now(taken) => taken,
            Taking::Later(later) => timeout(TIMEOUT, later).await.expect("each answer comes"),
        }
    }

    async fn give_back(&self, charges: &[Charge]) {
        let ctx = Ctx::system("test", TIMEOUT, &Clock::system(), &Random::os());
        if let Some(giving) = self.limiter.give_back(&ctx, charges) {
            timeout(TIMEOUT, giving).await.expect("it ends");
        }
    }

    /// How many of `calls` go through.
    async fn admitted(&self, calls: usize, charges: &[Charge]) -> usize {
        let mut admitted = 0;
        for _ in 0..calls {
            admitted += usize::from(self.take(charges).await.is_admitted());
        }
        admitted
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = Instant::now() + TIMEOUT;
        while !is_so(self) {
            assert!(Instant::now() < until, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_there(&self) {
        self.until("Redis is there", |node| node.backend.is_there()).await;
    }

    async fn until_away(&self) {
        self.until("Redis is away", |node| !node.backend.is_there()).await;
    }
}

async fn nodes(count: usize, url: &str) -> Vec<Node> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Node::start(url).await);
    }
    for node in &all {
        node.until("all are counted", |node| node.bus.nodes() == count).await;
    }
    all
}

/// All nodes at once, each from several tasks.
async fn together(nodes: &[Node], calls_each: usize, charges: &[Charge]) -> usize {
    let gate = Arc::new(Barrier::new(nodes.len() * 4));
    let mut tasks = JoinSet::new();
    for node in nodes.iter().flat_map(|node| [node; 4]) {
        let (node, gate, charges) = (node.clone(), gate.clone(), charges.to_vec());
        tasks.spawn(async move {
            gate.wait().await;
            node.admitted(calls_each, &charges).await
        });
    }
    tasks.join_all().await.into_iter().sum()
}

#[test]
fn exactly_as_many_go_through_as_there_are_over_all_nodes() {
    run(async {
        let server = RedisServer::start().unwrap();
        let all = nodes(3, &server.url()).await;
        assert_eq!(together(&all, 50, &[charge("a", 200, LONG)]).await, 200);
    });
}

#[test]
fn a_call_takes_from_all_of_its_buckets_or_from_none() {
    run(async {
        let server = RedisServer::start().unwrap();
        let all = nodes(3, &server.url()).await;
        let (small, large) = (charge("small", 40, LONG), charge("large", 1000, LONG));
        assert_eq!(together(&all, 20, &[large, small]).await, 40);
        let taken = all[0].take(&[large]).await;
        assert_eq!(taken.states()[0].remaining, 1000 - 40 - 1, "those that were refused took nothing");
        // A bucket twice is taken from twice.
        assert!(all[0].take(&[charge("twice", 3, LONG); 2]).await.is_admitted());
        assert!(!all[1].take(&[charge("twice", 3, LONG); 2]).await.is_admitted());
        assert!(all[2].take(&[charge("twice", 3, LONG)]).await.is_admitted());
        assert!(!all[2].take(&[Charge { cost: 1001, ..large }]).await.is_admitted());
    });
}

#[test]
fn what_is_given_back_on_one_node_can_be_taken_on_all_and_no_more() {
    run(async {
        let server = RedisServer::start().unwrap();
        let all = nodes(2, &server.url()).await;
        let one = charge("a", 3, LONG);
        for n in 0..20 {
            assert!(all[n % 2].take(&[one]).await.is_admitted());
            all[(n + 1) % 2].give_back(&[one]).await;
        }
        assert_eq!(together(&all, 5, &[one]).await, 3);
        // What was just refused here is asked for again.
        all[0].give_back(&[one]).await;
        assert!(all[0].take(&[one]).await.is_admitted());
        for _ in 0..9 {
            all[0].give_back(&[one]).await;
        }
        assert_eq!(all[0].admitted(10, &[one]).await, 3, "never more than all of it");
    });
}

#[test]
fn it_stands_as_in_memory() {
    run(async {
        let server = RedisServer::start().unwrap();
        let node = Node::start(&server.url()).await;
        let one = charge("a", 10, Duration::from_secs(1000));
        let three = node.take(&[Charge { cost: 3, ..one }]).await;
        assert!(three.is_admitted());
        assert_eq!((three.states()[0].remaining, three.states()[0].reset), (7, Duration::from_secs(300)));
        let eight = node.take(&[Charge { cost: 8, ..one }, charge("b", 5, LONG)]).await;
        assert!(!eight.is_admitted());
        let [refused, other] = eight.states() else { panic!("{eight:?}") };
        assert_eq!((refused.is_enough, refused.remaining), (false, 7));
        // Less what has passed since.
        assert!(refused.reset > Duration::from_secs(60) && refused.reset <= Duration::from_secs(100), "{refused:?}");
        assert_eq!((other.is_enough, other.remaining, other.reset), (true, 5, Duration::ZERO));
        // It is gone from Redis when the bucket is full again.
        let keys = server.cli(&["KEYS", "ms:test:{limits}:*"]).unwrap();
        let key = keys.lines().find(|key| !key.ends_with(":run_id")).unwrap();
        let left: u64 = server.cli(&["PTTL", key]).unwrap().trim().parse().unwrap();
        assert!((200_000..=300_000).contains(&left), "{left}");
    });
}

#[test]
fn what_was_taken_comes_back_by_the_clock_of_redis() {
    run(async {
        let server = RedisServer::start().unwrap();
        let node = Node::start(&server.url()).await;
        let one = [charge("a", 20, Duration::from_secs(1))];
        let began = Instant::now();
        let mut admitted = node.admitted(20, &one).await;
        while admitted < 40 {
            admitted += node.admitted(1, &one).await;
            assert!(began.elapsed() < TIMEOUT);
        }
        assert!(began.elapsed() >= Duration::from_millis(950), "twenty at once, and twenty in a second");
    });
}

#[test]
fn a_flood_that_is_refused_does_not_reach_redis() {
    run(async {
        let server = RedisServer::start().unwrap();
        let node = Node::start(&server.url()).await;
        let one = [charge("a", 5, LONG)];
        assert_eq!(node.admitted(6, &one).await, 5);
        let (asked, began) = (node.backend.asked().asked, Instant::now());
        assert_eq!(node.admitted(1000, &one).await, 0);
        let (asked, seconds) = (node.backend.asked().asked - asked, began.elapsed().as_secs());
        // The bus asks too, twice a second.
        assert!(asked <= 5 + 4 * seconds, "{asked}");
    });
}

#[test]
fn a_redis_that_is_killed_and_comes_back_empty_gives_no_more() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        let all = nodes(2, &server.url()).await;
        let one = [charge("a", 100, LONG)];
        let mut admitted = together(&all, 10, &one).await;
        assert_eq!(admitted, 80);
        server.kill().unwrap();
        for node in &all {
            node.until_away().await;
            admitted += node.admitted(50, &one).await;
        }
        server.restart().unwrap();
        for node in &all {
            node.until_there().await;
        }
        admitted += together(&all, 20, &one).await;
        // A node that begins now finds that something was lost.
        let late = Node::start(&server.url()).await;
        admitted += late.admitted(20, &one).await;
        assert!(admitted <= 100, "{admitted}");
        // And it does not stay so: something comes back.
        let fast = [charge("fast", 100, Duration::from_secs(1))];
        late.until_there().await;
        let until = Instant::now() + TIMEOUT;
        while !late.take(&fast).await.is_admitted() {
            assert!(Instant::now() < until);
        }
    });
}

#[test]
fn a_redis_that_comes_back_with_an_older_snapshot_gives_no_more() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        let all = nodes(2, &server.url()).await;
        let one = [charge("a", 100, LONG)];
        let mut admitted = together(&all, 2, &one).await;
        server.cli(&["SAVE"]).unwrap();
        admitted += together(&all, 10, &one).await;
        assert_eq!(admitted, 96);
        server.restart().unwrap();
        for node in &all {
            node.until_there().await;
        }
        admitted += together(&all, 20, &one).await;
        assert!(admitted <= 100, "{admitted}");
        // Also for nodes that knew nothing of before: the snapshot has the record of another process.
        drop(all);
        server.restart().unwrap();
        let new = nodes(2, &server.url()).await;
        admitted += together(&new, 20, &one).await;
        assert!(admitted <= 100, "{admitted}");
    });
}

#[test]
fn a_redis_that_is_emptied_while_it_runs_gives_no_more() {
    run(async {
        let server = RedisServer::start().unwrap();
        let all = nodes(2, &server.url()).await;
        let one = [charge("a", 100, LONG)];
        let mut admitted = together(&all, 10, &one).await;
        server.cli(&["FLUSHALL"]).unwrap();
        admitted += together(&all, 20, &one).await;
        assert!(admitted <= 100, "{admitted}");
    });
}

#[test]
fn a_node_that_begins_with_an_emptied_redis_is_corrected_by_one_that_knew_it() {
    run(async {
        let server = RedisServer::start().unwrap();
        let (old, one) = (Node::start(&server.url()).await, [charge("a", 100, LONG)]);
        assert_eq!(old.admitted(50, &one).await, 50);
        server.cli(&["FLUSHALL"]).unwrap();
        let new = Node::start(&server.url()).await;
        assert!(new.take(&one).await.is_admitted(), "it cannot know");
        assert!(!old.take(&one).await.is_admitted());
        assert_eq!(new.admitted(50, &one).await, 0);
    });
}

#[test]
fn a_first_start_gives_the_full_quota_and_so_does_a_node_that_begins_beside_others() {
    run(async {
        let server = RedisServer::start().unwrap();
        let first = Node::start(&server.url()).await;
        assert_eq!(first.admitted(5, &[charge("a", 10, LONG)]).await, 5);
        let second = Node::start(&server.url()).await;
        assert_eq!(second.admitted(20, &[charge("a", 10, LONG)]).await, 5);
        // A connection that was lost and found again loses nothing.
        server.cli(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
        second.until_away().await;
        second.until_there().await;
        assert_eq!(second.admitted(20, &[charge("b", 10, LONG)]).await, 10);
    });
}

#[test]
fn a_frozen_redis_is_answered_for_within_bounds_and_gives_no_more() {
    run(async {
        let server = RedisServer::start().unwrap();
        let all = nodes(2, &server.url()).await;
        let one = [charge("a", 100, LONG)];
        let mut admitted = together(&all, 10, &one).await;
        server.freeze().unwrap();
        // Each wait is bounded, by `take`.
        admitted += together(&all, 5, &one).await;
        for node in &all {
            node.until_away().await;
        }
        admitted += together(&all, 5, &one).await;
        server.thaw().unwrap();
        for node in &all {
            node.until_there().await;
        }
        admitted += together(&all, 20, &one).await;
        assert!(admitted <= 100, "{admitted}");
    });
}

#[test]
fn while_redis_is_away_all_nodes_together_let_through_what_the_rate_gives_and_no_more() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        let all = nodes(3, &server.url()).await;
        let one = [charge("a", 300, Duration::from_secs(1))];
        // Empty at the moment it is lost.
        let began = Instant::now();
        server.kill().unwrap();
        for node in &all {
            node.until_away().await;
        }
        let until = Instant::now() + TIMEOUT;
        let mut admitted = [0; 3];
        while admitted.iter().any(|count| *count < 50) {
            for (node, count) in all.iter().zip(&mut admitted) {
                *count += node.admitted(10, &one).await;
            }
            assert!(Instant::now() < until, "each lets through its share: {admitted:?}");
        }
        let most = began.elapsed().as_secs_f64() * 300.0;
        let sum = u32::try_from(admitted.iter().sum::<usize>()).unwrap();
        assert!(f64::from(sum) <= most, "{admitted:?} of {most}");
    });
}

/// A Redis that stands still and has lost nothing would give again what nodes let through in the meantime.
#[test]
fn what_went_through_while_redis_stood_still_is_not_given_again() {
    run(async {
        let server = RedisServer::start().unwrap();
        let all = nodes(2, &server.url()).await;
        let one = [charge("a", 200, Duration::from_secs(4))];
        let began = Instant::now();
        let mut admitted = together(&all, 200, &one).await;
        server.freeze().unwrap();
        for node in &all {
            node.until_away().await;
        }
        let until = Instant::now() + TIMEOUT;
        // One of them has a second's share of calls, the other none.
        let mut alone = 0;
        while alone < 60 {
            alone += all[1].admitted(5, &one).await;
            assert!(Instant::now() < until, "it lets through its share: {alone}");
        }
        admitted += alone;
        server.thaw().unwrap();
        all[0].until_there().await;
        // The first that is back is given what the other owes, which that one tells with its first question.
        let given = all[0].admitted(200, &one).await;
        assert!(given >= 50, "{given}");
        admitted += given;
        all[1].until_there().await;
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            admitted += together(&all, 20, &one).await;
        }
        let most = 200.0 + began.elapsed().as_secs_f64() * 50.0;
        let admitted = f64::from(u32::try_from(admitted).unwrap());
        assert!(admitted <= most, "{admitted} of {most}");
    });
}

#[test]
fn a_node_that_is_cut_off_adds_at_most_its_share() {
    run(async {
        let server = RedisServer::start().unwrap();
        let all = nodes(2, &server.url()).await;
        let one = [charge("a", 60, Duration::from_secs(1))];
        let began = Instant::now();
        all[1].backend.close().await;
        let until = Instant::now() + TIMEOUT;
        let mut admitted = 0;
        while admitted < 30 {
            admitted += all[1].admitted(1, &one).await;
            assert!(Instant::now() < until);
        }
        assert!(began.elapsed() >= Duration::from_millis(900), "half of sixty a second");
        assert_eq!(all[0].admitted(60, &[charge("b", 60, LONG)]).await, 60, "the other has all of it");
    });
}

#[test]
fn where_it_is_so_set_nothing_goes_through_while_redis_is_away() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        let node = Node::with(&server.url(), WhenUnavailable::Refuse).await;
        let one = [charge("a", 1000, Duration::from_secs(1)), charge("b", 1000, Duration::from_secs(1))];
        assert!(node.take(&one).await.is_admitted());
        server.kill().unwrap();
        node.until_away().await;
        let refused = node.take(&one).await;
        assert!(refused.states().iter().all(|one| !one.is_enough && one.reset == Duration::from_secs(1)));
        assert_eq!(refused.states().len(), 2);
        server.restart().unwrap();
        let until = Instant::now() + TIMEOUT;
        while !node.take(&one).await.is_admitted() {
            assert!(Instant::now() < until);
        }
    });
}

#[test]
fn a_redis_that_is_full_is_done_without_and_gives_no_more() {
    run(async {
        let server = RedisServer::start().unwrap();
        let all = nodes(2, &server.url()).await;
        let one = [charge("a", 100, LONG)];
        let mut admitted = together(&all, 5, &one).await;
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        admitted += together(&all, 20, &one).await;
        assert!(all[0].backend.is_there());
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
        admitted += together(&all, 30, &one).await;
        assert_eq!(admitted, 100, "nothing was lost either");
    });
}

#[test]
fn the_limit_holds_over_a_failover() {
    run(async {
        let mut servers = RedisSentinel::start().unwrap();
        let all = nodes(2, &servers.url()).await;
        let one = [charge("a", 100, LONG)];
        let mut admitted = together(&all, 10, &one).await;
        servers.kill_master().unwrap();
        for node in &all {
            node.until_there().await;
        }
        admitted += together(&all, 20, &one).await;
        assert!((80..=100).contains(&admitted), "{admitted}");
    });
}

#[test]
fn the_limit_holds_over_a_cluster() {
    run(async {
        let cluster = RedisCluster::start().unwrap();
        let (a, b) = (Node::start(&cluster.url()).await, Node::start(&cluster.url()).await);
        let charges = [charge("a", 100, LONG), charge("b", 1000, LONG), charge("c", 1000, LONG)];
        assert_eq!(together(&[a, b], 20, &charges).await, 100);
    });
}
