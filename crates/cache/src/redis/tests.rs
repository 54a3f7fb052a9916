use std::time::Duration;

use kernel::Random;
use testkit::{RedisCluster, RedisSentinel, RedisServer, run};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{ConnectionManager, Status, Topology};
use crate::{Asked, KeySpace, Unavailable};

/// Longer than anything that is waited for here.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// What one question may take. Long enough for a machine that has much to do.
const TIMEOUT: Duration = Duration::from_millis(500);

async fn open(url: &str) -> ConnectionManager {
    ConnectionManager::open(Topology::new(url).unwrap(), &KeySpace::new("test").unwrap(), TIMEOUT, &Random::seeded(1))
        .await
}

fn soon() -> Instant {
    Instant::now() + TIME_LIMIT
}

async fn until_up(manager: &ConnectionManager) -> String {
    let mut watch = manager.watch();
    let status = timeout(TIME_LIMIT, watch.wait_for(|status| matches!(status, Status::Up { .. }))).await;
    match &*status.expect("it comes up").unwrap() {
        Status::Up { run_id, .. } => run_id.to_string(),
        Status::Down { .. } => unreachable!("waited for the other"),
    }
}

async fn until_down(manager: &ConnectionManager) {
    let mut watch = manager.watch();
    let status = timeout(TIME_LIMIT, watch.wait_for(|status| matches!(status, Status::Down { .. }))).await;
    status.expect("it goes down").unwrap();
}

async fn get(manager: &ConnectionManager, key: &str) -> Result<Option<String>, Unavailable> {
    manager.ask(redis::cmd("GET").arg(key), soon()).await
}

async fn set(manager: &ConnectionManager, key: &str, value: &str) -> Result<(), Unavailable> {
    manager.ask(redis::cmd("SET").arg(key).arg(value), soon()).await
}

#[test]
fn a_connection_manager_asks_and_runs_scripts() {
    run(async {
        let server = RedisServer::start().unwrap();
        let manager = open(&server.url()).await;
        assert!(manager.is_up());
        set(&manager, "a", "1").await.unwrap();
        assert_eq!(get(&manager, "a").await, Ok(Some("1".to_owned())));
        let script = redis::Script::new("return redis.call('GET', KEYS[1]) .. ARGV[1]");
        for _ in 0..2 {
            assert_eq!(manager.connection().unwrap().run(script.key("a").arg("x"), soon()).await, Ok("1x".to_owned()));
            // Known to Redis or not.
            server.cli(&["SCRIPT", "FLUSH"]).unwrap();
        }
        assert_eq!(manager.asked(), Asked { asked: 4, failed: 0, timeouts: 0 });
        assert_eq!(
            manager.ask::<()>(&redis::cmd("PING"), Instant::now()).await,
            Err(Unavailable::NotAsked),
            "no time is left"
        );
    });
}

#[test]
fn a_redis_that_is_away_at_the_start_is_found_later() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        server.kill().unwrap();
        let manager = open(&server.url()).await;
        assert_eq!(get(&manager, "a").await, Err(Unavailable::NotAsked));
        assert_eq!(manager.asked().asked, 0);
        server.restart().unwrap();
        until_up(&manager).await;
        assert_eq!(get(&manager, "a").await, Ok(None));
    });
}

#[test]
fn another_process_is_another_era_also_when_it_has_what_the_first_had() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        let manager = open(&server.url()).await;
        let first = until_up(&manager).await;
        set(&manager, "a", "old").await.unwrap();
        server.cli(&["SAVE"]).unwrap();
        let connection = manager.connection().unwrap();
        server.kill().unwrap();
        until_down(&manager).await;
        assert_eq!(get(&manager, "a").await, Err(Unavailable::NotAsked));
        server.restart().unwrap();
        let second = until_up(&manager).await;
        assert_ne!(first, second);
        assert_eq!(get(&manager, "a").await, Ok(Some("old".to_owned())), "it came back with the snapshot");
        // Who still holds the old connection does not reach the new process by it.
        let got: Result<String, _> = connection.ask(redis::cmd("GET").arg("a"), soon()).await;
        assert_eq!(got, Err(Unavailable::NotAsked));
        assert_eq!(**connection.run_id(), *first);
        // The same process on a new connection is the same run id.
        let other_number = manager.connection().unwrap().number();
        server.cli(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
        let mut watch = manager.watch();
        let again = |status: &Status| matches!(status, Status::Up { number, .. } if *number > other_number);
        timeout(TIME_LIMIT, watch.wait_for(again)).await.unwrap().unwrap();
        assert_eq!(**manager.connection().unwrap().run_id(), *second);
    });
}

#[test]
fn a_frozen_redis_costs_each_question_its_bound_and_then_nothing() {
    run(async {
        let server = RedisServer::start().unwrap();
        let manager = open(&server.url()).await;
        server.freeze().unwrap();
        // Those that were asked together count once: the connection is not given up for one hiccup.
        let mut together = JoinSet::new();
        for _ in 0..50 {
            let manager = manager.clone();
            together.spawn(async move { get(&manager, "a").await });
        }
        let answers = timeout(TIME_LIMIT, together.join_all()).await.expect("each wait ends");
        assert!(answers.iter().all(|answer| *answer == Err(Unavailable::Unanswered)), "{answers:?}");
        while manager.is_up() {
            // Its own looks may have come between: then this one was not asked at all.
            assert!(timeout(TIME_LIMIT, get(&manager, "a")).await.expect("the wait ends").is_err());
        }
        let timeouts = manager.asked().timeouts;
        assert_eq!(get(&manager, "a").await, Err(Unavailable::NotAsked));
        assert_eq!(manager.asked().timeouts, timeouts);
        until_down(&manager).await;
        server.thaw().unwrap();
        until_up(&manager).await;
        assert_eq!(get(&manager, "a").await, Ok(None));
    });
}

#[test]
fn one_hiccup_does_not_end_a_connection() {
    run(async {
        let server = RedisServer::start().unwrap();
        let manager = open(&server.url()).await;
        let before = manager.connection().unwrap().number();
        server.freeze().unwrap();
        assert_eq!(get(&manager, "a").await, Err(Unavailable::Unanswered));
        server.thaw().unwrap();
        assert_eq!(get(&manager, "a").await, Ok(None));
        assert_eq!(manager.connection().unwrap().number(), before);
    });
}

#[test]
fn a_caller_with_little_time_says_nothing_of_redis() {
    run(async {
        let server = RedisServer::start().unwrap();
        let manager = ConnectionManager::open(
            Topology::new(&server.url()).unwrap(),
            &KeySpace::new("test").unwrap(),
            Duration::from_secs(20),
            &Random::seeded(1),
        )
        .await;
        server.freeze().unwrap();
        for _ in 0..5 {
            let until = Instant::now() + Duration::from_millis(5);
            let got: Result<(), _> = manager.ask(redis::cmd("GET").arg("a"), until).await;
            assert_eq!(got, Err(Unavailable::Unanswered));
        }
        assert!(manager.is_up());
        server.thaw().unwrap();
        assert_eq!(get(&manager, "a").await, Ok(None));
    });
}

#[test]
fn a_connection_on_which_nothing_is_asked_is_looked_at() {
    run(async {
        let mut server = RedisServer::start().unwrap();
        let manager = open(&server.url()).await;
        server.freeze().unwrap();
        until_down(&manager).await;
        server.thaw().unwrap();
        until_up(&manager).await;
        server.kill().unwrap();
        until_down(&manager).await;
    });
}

#[test]
fn what_redis_refuses_does_not_end_the_connection() {
    run(async {
        let server = RedisServer::with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).unwrap();
        let manager = open(&server.url()).await;
        let before = manager.connection().unwrap().number();
        assert_eq!(set(&manager, "a", "1").await, Err(Unavailable::Refused), "it is full");
        let got: Result<(), _> = manager.ask(&redis::cmd("NOSUCHCOMMAND"), soon()).await;
        assert_eq!(got, Err(Unavailable::Refused));
        assert_eq!(
            manager.ask::<u64>(redis::cmd("ECHO").arg("text"), soon()).await,
            Err(Unavailable::Unanswered),
            "no number"
        );
        assert_eq!(get(&manager, "a").await, Ok(None));
        assert_eq!(manager.connection().unwrap().number(), before);
        assert_eq!(manager.asked(), Asked { asked: 4, failed: 3, timeouts: 0 });
    });
}

#[test]
fn a_server_that_became_a_replica_is_not_asked() {
    run(async {
        let (server, other) = (RedisServer::start().unwrap(), RedisServer::start().unwrap());
        let manager = open(&server.url()).await;
        server.cli(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).unwrap();
        let mut answer = set(&manager, "a", "1").await;
        while manager.is_up() {
            answer = set(&manager, "a", "1").await;
        }
        assert!(answer.is_err(), "{answer:?}");
        assert!(!open(&server.url()).await.is_up());
        server.cli(&["REPLICAOF", "NO", "ONE"]).unwrap();
        until_up(&manager).await;
    });
}

#[test]
fn a_wrong_password_is_redis_away() {
    run(async {
        let server = RedisServer::with(&["--requirepass", "p@ss"]).unwrap();
        let at = |login: &str| server.url().replace("127.0.0.1", &format!("{login}@127.0.0.1"));
        assert!(!open(&server.url()).await.is_up());
        assert!(!open(&at(":wrong")).await.is_up());
        assert!(open(&at(":p%40ss")).await.is_up());
    });
}

#[test]
fn a_connection_manager_that_is_closed_or_dropped_leaves_no_connection() {
    run(async {
        let server = RedisServer::start().unwrap();
        let clients = || server.cli(&["CLIENT", "LIST", "TYPE", "normal"]).unwrap().lines().count();
        // The one that asks is one.
        let alone = clients();
        let manager = open(&server.url()).await;
        assert_eq!(clients(), alone + 1);
        let other = manager.clone();
        manager.close().await;
        assert_eq!(get(&other, "a").await, Err(Unavailable::NotAsked));
        until_are(alone, clients).await;
        let manager = open(&server.url()).await;
        drop(manager);
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
        let server = RedisServer::start().unwrap();
        let manager = open(&server.url()).await;
        server.freeze().unwrap();
        for _ in 0..20_000 {
            let asked = get(&manager, "a");
            // It is polled once, and dropped.
            let _ = timeout(Duration::ZERO, asked).await;
        }
        server.thaw().unwrap();
        while !manager.is_up() {
            tokio::task::yield_now().await;
        }
        assert_eq!(get(&manager, "a").await, Ok(None), "more were asked than may wait, and none of them waits");
    });
}

#[test]
fn sentinels_lead_to_the_master_and_to_the_next() {
    run(async {
        let mut servers = RedisSentinel::start().unwrap();
        let manager = open(&servers.url()).await;
        let first = until_up(&manager).await;
        set(&manager, "a", "1").await.unwrap();
        servers.failover().unwrap();
        let second = until_another(&manager, &first).await;
        set(&manager, "a", "2").await.unwrap();
        assert_eq!(servers.master().unwrap().cli(&["GET", "a"]).unwrap().trim(), "2");
        // Back to the first process: what it holds from before is of another time.
        servers.failover().unwrap();
        let third = until_another(&manager, &second).await;
        assert_ne!(first, third);
        assert_eq!(get(&manager, "a").await, Ok(Some("2".to_owned())));
        servers.kill_master().unwrap();
        until_another(&manager, &third).await;
        set(&manager, "a", "3").await.unwrap();
    });
}

async fn until_another(manager: &ConnectionManager, run_id: &str) -> String {
    let mut watch = manager.watch();
    let another = |status: &Status| matches!(status, Status::Up { run_id: now, .. } if **now != *run_id);
    let until = soon();
    loop {
        // A write tells a server that is no master any more.
        let _ = set(manager, "asked", "").await;
        if let Ok(status) = timeout(Duration::from_millis(20), watch.wait_for(another)).await
            && let Status::Up { run_id, .. } = &*status.unwrap()
        {
            return run_id.to_string();
        }
        assert!(Instant::now() < until, "no other master is asked");
    }
}

#[test]
fn a_cluster_is_asked_as_one() {
    run(async {
        let cluster = RedisCluster::start().unwrap();
        let manager = open(&cluster.url()).await;
        assert!(manager.is_up());
        for key in ["a", "b", "c", "d", "e", "f"] {
            set(&manager, key, key).await.unwrap();
            assert_eq!(get(&manager, key).await, Ok(Some(key.to_owned())));
        }
        let script = redis::Script::new("redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[2])");
        for tag in ["a", "b", "c", "d"] {
            let (one, two) = (format!("{{{tag}}}:1"), format!("{{{tag}}}:2"));
            assert_eq!(manager.connection().unwrap().run(script.key(one).key(two), soon()).await, Ok(1));
        }
    });
}
