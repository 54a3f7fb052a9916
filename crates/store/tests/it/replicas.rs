//! Lists from a standby: bounded in how far they are behind, never behind the caller, and never an error.

use std::time::Duration;

use kernel::{Ctx, Identity, Role, Secret, UserId};
use store::{EventHandlers, Reads as _, Store, StoreError, StoreSettings, params};
use testkit::{Backend, TestDatabase};
use tokio_postgres::Client;

use crate::{ctx, ctx_for, get, open_with, set};

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the servers are")]
fn standby() -> String {
    std::env::var("MAINSTAY_TEST_STANDBY").expect("run the tests with `cargo xtask test`, which starts a standby")
}

/// The same database there.
fn there(db: &TestDatabase) -> String {
    format!("{}/{}", standby().trim_end_matches("/postgres"), db.url().rsplit('/').next().unwrap())
}

fn settings(db: &TestDatabase, replica: String) -> StoreSettings {
    StoreSettings { replica_url: Secret::new(replica), replica_max_lag_ms: 400, ..db.settings() }
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A person, with time enough for all that one does here.
fn somebody() -> Ctx {
    let user_id: UserId = ctx().new_id();
    ctx_for(Duration::from_secs(300)).by(Identity::User { user_id, session_id: ctx().new_id(), role: Role::User })
}

async fn add(store: &Store, who: &Ctx, name: &'static str) {
    let add = move |tx: store::Tx| async move {
        tx.execute("INSERT INTO counters (name, value) VALUES ($1, 1)", &params![name]).await
    };
    assert_eq!(store.tx(who, add).await.map_err(|error: StoreError| error).unwrap(), 1);
}

/// What a list shows, and whether a standby made it.
async fn list(store: &Store, who: &Ctx) -> (Vec<String>, bool) {
    let sql = "SELECT name, pg_is_in_recovery() FROM counters ORDER BY name";
    let rows: Vec<(String, bool)> = store.read(who).may_be_behind().rows(sql, &params![]).await.unwrap();
    let is_there = rows.first().is_some_and(|(_, is_there)| *is_there);
    (rows.into_iter().map(|(name, _)| name).collect(), is_there)
}

/// Asks until a standby answers.
async fn list_there(store: &Store, who: &Ctx) -> Vec<String> {
    for _ in 0..600 {
        if let (names, true) = list(store, who).await {
            return names;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no standby answers");
}

// One test: pausing a standby holds all of its databases up.
#[test]
fn lists_are_read_from_a_standby_as_long_as_it_is_fit() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open_with(&settings(&db, there(&db)), EventHandlers::new()).await;
        let (ada, bob) = (somebody(), somebody());
        add(&store, &ada, "a").await;
        assert_eq!(list_there(&store, &bob).await, ["a"]);
        // What decides is asked of the primary, and what is read by key.
        let here = "SELECT pg_is_in_recovery()";
        assert_eq!(store.read(&bob).rows::<(bool,)>(here, &params![]).await.unwrap(), [(false,)]);
        assert_eq!(store.read(&bob).may_be_behind().row::<(bool,)>(here, &params![]).await.unwrap(), Some((false,)));

        // Everybody sees their own writes at once, whichever server answers.
        for n in 0..100 {
            let name: &'static str = Box::leak(format!("b{n:03}").into_boxed_str());
            add(&store, &ada, name).await;
            assert!(list(&store, &ada).await.0.contains(&name.to_owned()), "{name}");
        }
        list_there(&store, &ada).await;

        // A standby that stands still is not asked by those who wrote, and soon by nobody; then again.
        let operator = client(&standby()).await;
        operator.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
        let state = "SELECT pg_get_wal_replay_pause_state() = 'paused'";
        while !operator.query_one(state, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        add(&store, &ada, "c").await;
        for _ in 0..20 {
            let (names, is_there) = list(&store, &ada).await;
            assert!(names.contains(&"c".to_owned()) && !is_there);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (names, is_there) = list(&store, &bob).await;
        assert!(names.contains(&"c".to_owned()) && !is_there, "it is too far behind by now");
        operator.batch_execute("SELECT pg_wal_replay_resume()").await.unwrap();
        assert!(list_there(&store, &ada).await.contains(&"c".to_owned()));
        assert!(list_there(&store, &bob).await.contains(&"c".to_owned()));
        store.close().await;
    });
}

#[test]
fn a_standby_that_is_away_is_no_error() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let name = db.url().rsplit('/').next().unwrap().to_owned();
        // Nobody listens at the first; the second is there.
        let url = there(&db).replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:");
        for replica in [format!("postgres://postgres@127.0.0.1:1/{name}"), url] {
            let store = open_with(&settings(&db, replica.clone()), EventHandlers::new()).await;
            let who = somebody();
            set(&store, "a", 1).await.unwrap();
            for _ in 0..20 {
                assert_eq!(list(&store, &who).await.0, ["a"]);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if replica.contains(',') {
                assert_eq!(list_there(&store, &who).await, ["a"]);
                // Its connections are cut under it.
                let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = $1 AND application_name = 'mainstay'";
                client(&standby()).await.query(cut, &[&name]).await.unwrap();
                for _ in 0..20 {
                    assert_eq!(list(&store, &who).await.0, ["a"]);
                }
                assert_eq!(list_there(&store, &who).await, ["a"]);
            }
            assert_eq!(get(&store, "a").await, Some(1));
            store.close().await;
        }
    });
}
