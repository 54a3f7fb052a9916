use std::time::Duration;

use kernel::Random;
use testkit::{RedisCluster, RedisSentinel, RedisServer, run};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Link, Route, Status};
use crate::{Asked, Away, KeySpace};

/// Longer than anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(30);
/// What one question may take. Long enough for a machine that has much to do.
const TIMEOUT: Duration = Duration::from_millis(500);

async fn open(url: &str) -> Link {
    Link::open(Route::new(url).unwrap(), &KeySpace::new("test").unwrap(), TIMEOUT, &Random::seeded(1)).await
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

async fn until_up(link: &Link) -> String {
    let mut watch = link.watch();
    let status = timeout(PATIENCE, watch.wait_for(|status| matches!(status, Status::Up { .. }))).await;
    match &*status.expect("it comes up").unwrap() {
        Status::Up { era, .. } => era.to_string(),
        Status::Down { .. } => unreachable!("waited for the other"),
    }
}

async fn until_down(link: &Link) {
    let mut watch = link.watch();
    let status = timeout(PATIENCE, watch.wait_for(|status| matches!(status, Status::Down { .. }))).await;
    status.expect("it goes down").unwrap();
}

async fn get(link: &Link, key: &str) -> Result<Option<String>, Away> {
    link.ask(redis::cmd("GET").arg(key), soon()).await
}

async fn set(link: &Link, key: &str, value: &str) -> Result<(), Away> {
    link.ask(redis::cmd("SET").arg(key).arg(value), soon()).await
}

#[test]
fn a_link_asks_and_runs_scripts() {
    run(async {
        let server = RedisServer::start();
        let link = open(&server.url()).await;
        assert!(link.is_up());
        set(&link, "a", "1").await.unwrap();
        assert_eq!(get(&link, "a").await, Ok(Some("1".to_owned())));
        let script = redis::Script::new("return redis.call('GET', KEYS[1]) .. ARGV[1]");
        for _ in 0..2 {
            assert_eq!(link.line().unwrap().run(script.key("a").arg("x"), soon()).await, Ok("1x".to_owned()));
            // Known to Redis or not.
            server.cli(&["SCRIPT", "FLUSH"]);
        }
        assert_eq!(link.asked(), Asked { asked: 4, failed: 0, timeouts: 0 });
        assert_eq!(link.ask::<()>(&redis::cmd("PING"), Instant::now()).await, Err(Away::NotAsked), "no time is left");
    });
}

#[test]
fn a_redis_that_is_away_at_the_start_is_found_later() {
    run(async {
        let mut server = RedisServer::start();
        server.kill();
        let link = open(&server.url()).await;
        assert_eq!(get(&link, "a").await, Err(Away::NotAsked));
        assert_eq!(link.asked().asked, 0);
        server.restart();
        until_up(&link).await;
        assert_eq!(get(&link, "a").await, Ok(None));
    });
}

#[test]
fn another_process_is_another_era_also_when_it_has_what_the_first_had() {
    run(async {
        let mut server = RedisServer::start();
        let link = open(&server.url()).await;
        let first = until_up(&link).await;
        set(&link, "a", "old").await.unwrap();
        server.cli(&["SAVE"]);
        let line = link.line().unwrap();
        server.kill();
        until_down(&link).await;
        assert_eq!(get(&link, "a").await, Err(Away::NotAsked));
        server.restart();
        let second = until_up(&link).await;
        assert_ne!(first, second);
        assert_eq!(get(&link, "a").await, Ok(Some("old".to_owned())), "it came back with the snapshot");
        // Who still holds the old line does not reach the new process by it.
        let got: Result<String, _> = line.ask(redis::cmd("GET").arg("a"), soon()).await;
        assert_eq!(got, Err(Away::NotAsked));
        assert_eq!(**line.era(), *first);
        // The same process on a new connection is the same era.
        let other_number = link.line().unwrap().number();
        server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        let mut watch = link.watch();
        let again = |status: &Status| matches!(status, Status::Up { number, .. } if *number > other_number);
        timeout(PATIENCE, watch.wait_for(again)).await.unwrap().unwrap();
        assert_eq!(**link.line().unwrap().era(), *second);
    });
}

#[test]
fn a_frozen_redis_costs_each_question_its_bound_and_then_nothing() {
    run(async {
        let server = RedisServer::start();
        let link = open(&server.url()).await;
        server.freeze();
        // Those that were asked together count once: the line is not given up for one hiccup.
        let mut together = JoinSet::new();
        for _ in 0..50 {
            let link = link.clone();
            together.spawn(async move { get(&link, "a").await });
        }
        let answers = timeout(PATIENCE, together.join_all()).await.expect("each wait ends");
        assert!(answers.iter().all(|answer| *answer == Err(Away::Unanswered)), "{answers:?}");
        while link.is_up() {
            // Its own looks may have come between: then this one was not asked at all.
            assert!(timeout(PATIENCE, get(&link, "a")).await.expect("the wait ends").is_err());
        }
        let timeouts = link.asked().timeouts;
        assert_eq!(get(&link, "a").await, Err(Away::NotAsked));
        assert_eq!(link.asked().timeouts, timeouts);
        until_down(&link).await;
        server.thaw();
        until_up(&link).await;
        assert_eq!(get(&link, "a").await, Ok(None));
    });
}

#[test]
fn one_hiccup_does_not_end_a_connection() {
    run(async {
        let server = RedisServer::start();
        let link = open(&server.url()).await;
        let before = link.line().unwrap().number();
        server.freeze();
        assert_eq!(get(&link, "a").await, Err(Away::Unanswered));
        server.thaw();
        assert_eq!(get(&link, "a").await, Ok(None));
        assert_eq!(link.line().unwrap().number(), before);
    });
}

#[test]
fn a_caller_with_little_time_says_nothing_of_redis() {
    run(async {
        let server = RedisServer::start();
        let link = Link::open(
            Route::new(&server.url()).unwrap(),
            &KeySpace::new("test").unwrap(),
            Duration::from_secs(20),
            &Random::seeded(1),
        )
        .await;
        server.freeze();
        for _ in 0..5 {
            let until = Instant::now() + Duration::from_millis(5);
            let got: Result<(), _> = link.ask(redis::cmd("GET").arg("a"), until).await;
            assert_eq!(got, Err(Away::Unanswered));
        }
        assert!(link.is_up());
        server.thaw();
        assert_eq!(get(&link, "a").await, Ok(None));
    });
}

#[test]
fn a_connection_on_which_nothing_is_asked_is_looked_at() {
    run(async {
        let mut server = RedisServer::start();
        let link = open(&server.url()).await;
        server.freeze();
        until_down(&link).await;
        server.thaw();
        until_up(&link).await;
        server.kill();
        until_down(&link).await;
    });
}

#[test]
fn what_redis_refuses_does_not_end_the_connection() {
    run(async {
        let server = RedisServer::with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
        let link = open(&server.url()).await;
        let before = link.line().unwrap().number();
        assert_eq!(set(&link, "a", "1").await, Err(Away::Refused), "it is full");
        let got: Result<(), _> = link.ask(&redis::cmd("NOSUCHCOMMAND"), soon()).await;
        assert_eq!(got, Err(Away::Refused));
        assert_eq!(link.ask::<u64>(redis::cmd("ECHO").arg("text"), soon()).await, Err(Away::Unanswered), "no number");
        assert_eq!(get(&link, "a").await, Ok(None));
        assert_eq!(link.line().unwrap().number(), before);
        assert_eq!(link.asked(), Asked { asked: 4, failed: 3, timeouts: 0 });
    });
}

#[test]
fn a_server_that_became_a_replica_is_not_asked() {
    run(async {
        let (server, other) = (RedisServer::start(), RedisServer::start());
        let link = open(&server.url()).await;
        server.cli(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
        let mut answer = set(&link, "a", "1").await;
        while link.is_up() {
            answer = set(&link, "a", "1").await;
        }
        assert!(answer.is_err(), "{answer:?}");
        assert!(!open(&server.url()).await.is_up());
        server.cli(&["REPLICAOF", "NO", "ONE"]);
        until_up(&link).await;
    });
}

#[test]
fn a_wrong_password_is_redis_away() {
    run(async {
        let server = RedisServer::with(&["--requirepass", "p@ss"]);
        let at = |login: &str| server.url().replace("127.0.0.1", &format!("{login}@127.0.0.1"));
        assert!(!open(&server.url()).await.is_up());
        assert!(!open(&at(":wrong")).await.is_up());
        assert!(open(&at(":p%40ss")).await.is_up());
    });
}

#[test]
fn a_link_that_is_closed_or_dropped_leaves_no_connection() {
    run(async {
        let server = RedisServer::start();
        let clients = || server.cli(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count();
        // The one that asks is one.
        let alone = clients();
        let link = open(&server.url()).await;
        assert_eq!(clients(), alone + 1);
        let other = link.clone();
        link.close().await;
        assert_eq!(get(&other, "a").await, Err(Away::NotAsked));
        until_are(alone, clients).await;
        let link = open(&server.url()).await;
        drop(link);
        until_are(alone, clients).await;
    });
}

async fn until_are(count: usize, clients: impl Fn() -> usize) {
    let until = soon();
    while clients() != count {
        assert!(Instant::now() < until, "connections are left");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_question_whose_caller_is_gone_leaves_nothing() {
    run(async {
        let server = RedisServer::start();
        let link = open(&server.url()).await;
        server.freeze();
        for _ in 0..20_000 {
            let asked = get(&link, "a");
            // It is polled once, and dropped.
            let _ = timeout(Duration::ZERO, asked).await;
        }
        server.thaw();
        while !link.is_up() {
            tokio::task::yield_now().await;
        }
        assert_eq!(get(&link, "a").await, Ok(None), "more were asked than may wait, and none of them waits");
    });
}

#[test]
fn sentinels_lead_to_the_master_and_to_the_next() {
    run(async {
        let mut servers = RedisSentinel::start();
        let link = open(&servers.url()).await;
        let first = until_up(&link).await;
        set(&link, "a", "1").await.unwrap();
        servers.failover();
        let second = until_another(&link, &first).await;
        set(&link, "a", "2").await.unwrap();
        assert_eq!(servers.master().cli(&["GET", "a"]).trim(), "2");
        // Back to the first process: what it holds from before is of another time.
        servers.failover();
        let third = until_another(&link, &second).await;
        assert_ne!(first, third);
        assert_eq!(get(&link, "a").await, Ok(Some("2".to_owned())));
        servers.kill_master();
        until_another(&link, &third).await;
        set(&link, "a", "3").await.unwrap();
    });
}

async fn until_another(link: &Link, era: &str) -> String {
    let mut watch = link.watch();
    let another = |status: &Status| matches!(status, Status::Up { era: now, .. } if **now != *era);
    let until = soon();
    loop {
        // A write tells a server that is no master any more.
        let _ = set(link, "asked", "").await;
        if let Ok(status) = timeout(Duration::from_millis(20), watch.wait_for(another)).await
            && let Status::Up { era, .. } = &*status.unwrap()
        {
            return era.to_string();
        }
        assert!(Instant::now() < until, "no other master is asked");
    }
}

#[test]
fn a_cluster_is_asked_as_one() {
    run(async {
        let cluster = RedisCluster::start();
        let link = open(&cluster.url()).await;
        assert!(link.is_up());
        for key in ["a", "b", "c", "d", "e", "f"] {
            set(&link, key, key).await.unwrap();
            assert_eq!(get(&link, key).await, Ok(Some(key.to_owned())));
        }
        let script = redis::Script::new("redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])");
        for tag in ["a", "b", "c", "d"] {
            let (one, two) = (format!("{{{tag}}}:1"), format!("{{{tag}}}:2"));
            assert_eq!(link.line().unwrap().run(script.key(one).key(two), soon()).await, Ok(1));
        }
    });
}
