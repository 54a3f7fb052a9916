//! The store's integration tests, each on both databases unless it is about one.

#![expect(clippy::unwrap_used, reason = "clippy knows only functions marked `#[test]` as tests")]

mod copy;
mod deadlines;
mod event_handlers;
mod fair;
mod faults;
mod file_identity;
mod migrations;
mod proxy;
mod read_only;
mod reads;
mod replicas;
mod schemas;
mod session_check;
mod shared_connections;
#[cfg(feature = "tls")]
mod tls;
mod transactions;
mod values;
mod violations;
mod writer;

use std::time::Duration;

use kernel::{Clock, Ctx, Random};
use store::{EventHandlers, Migrations, Reads as _, Store, StoreError, StoreSettings, params};
use testkit::TestDatabase;

/// A context with time enough for a machine that does other things as well.
fn ctx() -> Ctx {
    ctx_for(Duration::from_secs(30))
}

fn ctx_for(budget: Duration) -> Ctx {
    Ctx::system("test", budget, &Clock::system(), &Random::os())
}

const TABLES: Migrations = Migrations {
    domain: "things",
    steps: &[(
        "0001_things",
        "CREATE TABLE counters (name text PRIMARY KEY, value int NOT NULL);
        CREATE TABLE parents (id id PRIMARY KEY, code text NOT NULL UNIQUE);
        CREATE TABLE children (
            parent_id id NOT NULL REFERENCES parents (id),
            name text NOT NULL,
            age int NOT NULL CONSTRAINT children_age CHECK (age >= 0),
            nick text,
            PRIMARY KEY (parent_id, name)
        );
        CREATE UNIQUE INDEX children_age_index ON children (name, age);
        CREATE UNIQUE INDEX children_lower ON children (lower(nick));",
    )],
};

async fn open(db: &TestDatabase) -> Store {
    open_with(&db.settings(), EventHandlers::new()).await
}

async fn open_with(settings: &StoreSettings, event_handlers: EventHandlers) -> Store {
    let store = Store::open(settings, event_handlers).await.unwrap();
    store.migrate(&[TABLES], &Clock::system()).await.unwrap();
    store
}

/// Sets a counter, in a transaction of its own.
async fn set(store: &Store, name: &'static str, value: i64) -> Result<(), StoreError> {
    let set = "INSERT INTO counters (name, value) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    store.tx(&ctx(), move |tx| async move { tx.execute(set, &params![name, value]).await.map(drop) }).await
}

/// A counter's value, read outside any transaction.
async fn get(store: &Store, name: &str) -> Option<i64> {
    let row = store.read(&ctx()).row("SELECT value FROM counters WHERE name = $1", &params![name]).await;
    row.unwrap().map(|(value,)| value)
}

async fn count(store: &Store) -> i64 {
    store.read(&ctx()).row::<(i64,)>("SELECT count(*) FROM counters", &params![]).await.unwrap().unwrap().0
}

/// A statement that takes for ever, in a form both databases run.
const FOR_EVER: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000)
    SELECT count(*) FROM n";
