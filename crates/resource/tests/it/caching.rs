//! What is kept of resources and answers: never to the wrong person, never a moment longer than it is true on the node that
//! changed it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mainstay::cache::ConfigStats;
use mainstay::prelude::*;
use mainstay::resource::{self, touch_all};
use mainstay::store::Migrations;
use serde_json::{Value, json};
use testkit::{App, Backend, Caller, RedisServer, TestDatabase, both};

use crate::people::{self, person, user};

#[derive(Debug)]
pub enum LeafKind {}
impl IdKind for LeafKind {
    const PREFIX: &'static str = "lef";
    const NAME: &'static str = "LeafId";
}

/// A leaf.
#[derive(Debug, Clone, PartialEq, Row, Resource)]
#[resource(plural = "leaves", read = owner_or(open), write = owner, cache = "5m", cache_lists = "1m")]
pub struct Leaf {
    /// Its id.
    pub id: Id<LeafKind>,
    /// Whose it is.
    #[resource(owner)]
    pub owner_id: UserId,
    /// How often it turned.
    #[resource(write, filter)]
    pub turns: i64,
    /// Whether others see it.
    #[resource(write, default = true)]
    pub open: bool,
}

/// How many there are.
#[view]
#[derive(Debug)]
pub struct Count {
    /// So many.
    count: i64,
    /// Who asks.
    by: Option<UserId>,
}

/// Count the leaves.
#[get("/leaf-count", cache = "1m", cache_of = "leaves.list")]
async fn get_leaf_count(caller: mainstay::web::Caller<Anyone>, database: Database) -> Result<Json<Count>, LeafError> {
    let count: Option<(i64,)> = database.read(caller.ctx()).row("SELECT count(*) FROM leaves", &[]).await?;
    Ok(Json(Count { count: count.map_or(0, |(n,)| n), by: caller.ctx().identity().user_id() }))
}

#[derive(Debug, ApiError)]
pub enum LeafError {
    #[api(from)]
    Store(StoreError),
}

/// Blow all leaves away.
#[post("/storm")]
async fn blow(ctx: Ctx, database: Database) -> Result<NoContent, LeafError> {
    let blow = |tx: Tx| async move {
        touch_all::<Leaf>(&tx);
        tx.execute("DELETE FROM leaves", &[]).await
    };
    database.tx::<_, StoreError, _, _>(&ctx, blow).await?;
    Ok(NoContent)
}

fn domain() -> Domain {
    const TABLES: Migrations = Migrations {
        domain: "leaves",
        steps: &[(
            "0001_leaves",
            "CREATE TABLE leaves (id id PRIMARY KEY, owner_id id NOT NULL, turns int NOT NULL, open bool NOT NULL);",
        )],
    };
    Domain::new("leaves").migrations(TABLES).resource(resource::of::<Leaf>()).endpoint(get_leaf_count).endpoint(blow)
}

async fn app(db: TestDatabase) -> App {
    App::with(people::domain).and(domain).start(db).await
}

fn stats(app: &App, plan: &str) -> ConfigStats {
    app.running().cache().stats().configs.into_iter().find(|stats| stats.name == plan).unwrap()
}

async fn make(caller: &Caller, open: bool) -> String {
    let made = caller.post("/api/v1/leaves").json(&json!({ "turns": 0, "open": open })).await.expect(201);
    made.header("location").unwrap().to_owned()
}

async fn ids(caller: &Caller, query: &str) -> Vec<Value> {
    let page = caller.get(&format!("/api/v1/leaves{query}")).await.expect(200).json();
    page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
}

both! {
    async fn a_row_is_loaded_once_and_answered_alike(db: TestDatabase) {
        let app = app(db).await;
        let ada = person(&app, 1);
        let path = make(&ada, true).await;
        let first = ada.get(&path).await.expect(200);
        let again = app.anonymous().get(&path).await.expect(200);
        assert_eq!((first.text(), first.header("etag")), (again.text(), again.header("etag")));
        let tag = first.header("etag").unwrap();
        app.anonymous().get(&path).header("if-none-match", tag).await.expect(304);
        let leaves = stats(&app, "leaves");
        assert_eq!((leaves.loads, leaves.hits_local), (1, 2));
        // A selection of its fields is loaded again.
        assert_eq!(ada.get(&format!("{path}?fields=turns")).await.expect(200).json(), json!({ "turns": 0 }));
    }

    async fn what_was_changed_is_never_answered_again(db: TestDatabase) {
        let app = app(db).await;
        let ada = person(&app, 1);
        let path = make(&ada, true).await;
        for turns in 1..=20 {
            ada.get(&path).await.expect(200);
            ada.patch(&path).json(&json!({ "turns": turns })).await.expect(200);
            assert_eq!(ada.get(&path).await.expect(200).json()["turns"], turns);
        }
        ada.delete(&path).await.expect(204);
        ada.get(&path).await.expect_problem(404, "leaf_not_found");
        // By SQL of the domain's own, too.
        let other = make(&ada, true).await;
        ada.get(&other).await.expect(200);
        app.post("/api/v1/storm").await.expect(204);
        ada.get(&other).await.expect_problem(404, "leaf_not_found");
    }

    async fn what_may_not_be_seen_is_not_seen_in_the_cache_either(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (person(&app, 1), person(&app, 2));
        let path = make(&ada, false).await;
        ada.get(&path).await.expect(200);
        for stranger in [bob.clone(), app.anonymous()] {
            stranger.get(&path).await.expect_problem(404, "leaf_not_found");
        }
        ada.patch(&path).json(&json!({ "open": true })).await.expect(200);
        bob.get(&path).await.expect(200);
        ada.patch(&path).json(&json!({ "open": false })).await.expect(200);
        bob.get(&path).await.expect_problem(404, "leaf_not_found");
        ada.get(&path).await.expect(200);
    }

    async fn lists_are_each_persons_own_and_forgotten_with_any_change(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (person(&app, 1), person(&app, 2));
        let (secret, open) = (make(&ada, false).await, make(&ada, true).await);
        for _ in 0..4 {
            assert_eq!(ids(&ada, "").await.len(), 2);
            assert_eq!(ids(&bob, "").await.len(), 1);
            assert_eq!(ids(&app.anonymous(), "").await.len(), 1);
        }
        let lists = stats(&app, "leaves.list");
        assert_eq!((lists.loads, lists.hits_local), (6, 6), "each at the second time it is asked for");
        ada.patch(&secret).json(&json!({ "open": true })).await.expect(200);
        assert_eq!(ids(&bob, "").await.len(), 2);
        make(&bob, true).await;
        assert_eq!(ids(&ada, "").await.len(), 3);
        ada.delete(&open).await.expect(204);
        assert_eq!((ids(&ada, "").await.len(), ids(&bob, "").await.len()), (2, 2));
        // Each query is another list.
        ids(&ada, "?turns=0").await;
        assert_eq!(ids(&ada, "?turns=1").await.len(), 0);
    }

    async fn an_answer_is_kept_for_each_caller_until_what_it_tells_of_changes(db: TestDatabase) {
        let app = app(db).await;
        let (ada, bob) = (person(&app, 1), person(&app, 2));
        let count = async |caller: &Caller| caller.get("/api/v1/leaf-count").await.expect(200).json();
        for _ in 0..3 {
            assert_eq!(count(&ada).await, json!({ "count": 0, "by": user(1) }));
            assert_eq!(count(&bob).await, json!({ "count": 0, "by": user(2) }));
            assert_eq!(count(&app.anonymous()).await, json!({ "count": 0, "by": null }));
        }
        let kept = stats(&app, "get_leaf_count");
        assert_eq!((kept.loads, kept.hits_local), (6, 3));
        make(&ada, true).await;
        assert_eq!(count(&bob).await["count"], 1);
        ada.get("/api/v1/leaf-count?x=1").await;
    }

    async fn after_its_time_it_is_loaded_anew(db: TestDatabase) {
        let app = app(db).await;
        let ada = person(&app, 1);
        let path = make(&ada, true).await;
        ada.get(&path).await.expect(200);
        // Past the store's back: nobody said so.
        let sneak = |tx: Tx| async move { tx.execute("UPDATE leaves SET turns = 9", &[]).await };
        app.store().tx::<_, StoreError, _, _>(&app.ctx(), sneak).await.unwrap();
        assert_eq!(ada.get(&path).await.expect(200).json()["turns"], 0);
        app.clock().advance(Duration::from_secs(5 * 60));
        assert_eq!(app.anonymous().get(&path).await.expect(200).json()["turns"], 9);
    }

    async fn under_load_no_read_after_an_acknowledged_write_is_older_than_it(db: TestDatabase) {
        let redis = RedisServer::start().unwrap();
        let memory = app(db).await;
        race(&memory, 150).await;
        let shared = memory.another_node(|setup| setup.set("cache.url", redis.url())).await.unwrap();
        race(&shared, 150).await;
    }
}

/// One turns a leaf, others look at it all the time: each look must show at least what was acknowledged before it.
async fn race(app: &App, turns: i64) {
    let ada = person(app, 1);
    let path = make(&ada, true).await;
    let (acknowledged, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut looking = Vec::new();
    for _ in 0..4 {
        let (app, path, acknowledged, is_over) = (app.clone(), path.clone(), acknowledged.clone(), is_over.clone());
        looking.push(tokio::spawn(async move {
            let mut looks = 0;
            while !is_over.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let seen = app.anonymous().get(&path).await.expect(200).json()["turns"].as_u64().unwrap();
                assert!(seen >= least, "{seen} after {least} was acknowledged");
                looks += 1;
                tokio::task::yield_now().await;
            }
            looks
        }));
    }
    for turns in 1..=turns {
        ada.patch(&path).json(&json!({ "turns": turns })).await.expect(200);
        acknowledged.store(u64::try_from(turns).unwrap(), Ordering::SeqCst);
    }
    is_over.store(true, Ordering::SeqCst);
    for looking in looking {
        assert!(looking.await.unwrap() > 0);
    }
}

/// What one node changed, others show at the latest after the bus's silence: here at once, as the message comes.
#[test]
fn other_nodes_hear_of_a_change() {
    testkit::run(async {
        let redis = RedisServer::start().unwrap();
        let setup = App::with(people::domain).and(domain).set("cache.url", redis.url());
        let here = setup.start(TestDatabase::fresh(Backend::Sqlite).await).await;
        let there = here.second_node().await;
        let ada = person(&here, 1);
        let path = make(&ada, true).await;
        for turns in 1..=10 {
            ada.on(&there).get(&path).await.expect(200);
            ids(&ada.on(&there), "").await;
            ids(&ada.on(&there), "").await;
            ada.patch(&path).json(&json!({ "turns": turns })).await.expect(200);
            let seen = async || ada.on(&there).get(&path).await.expect(200).json()["turns"].clone();
            let heard = async {
                while seen().await != turns {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(5), heard).await.expect("the other node hears of it");
        }
        // One loads for the other, too.
        let loads = stats(&here, "leaves").loads + stats(&there, "leaves").loads;
        here.get(&path).await.expect(200);
        there.get(&path).await.expect(200);
        assert!(stats(&here, "leaves").loads + stats(&there, "leaves").loads <= loads + 1);
        assert!(stats(&here, "leaves").hits_shared + stats(&there, "leaves").hits_shared > 0);
    });
}
