//! A database that takes no writes for a while: an operator's word, a standby, a pooler that the settings do not know of.

use std::time::Duration;

use kernel::Secret;
use store::{EventHandlers, OpenErrorKind, Store, StoreError, StoreSettings};
use testkit::{Backend, TestDatabase};

use crate::{ctx, get, open, set};

/// Waits for a state that comes.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..3000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

async fn is_refused(store: &Store) -> bool {
    matches!(set(store, "x", 9).await, Err(StoreError::ReadOnly))
}

/// A statement of its own that writes a row, which goes another way.
async fn write_row(store: &Store) -> Result<i64, StoreError> {
    let sql = "INSERT INTO counters (name, value) VALUES ('row', 1)
        ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value";
    store.write_row::<(i64,)>(&ctx(), sql.to_owned(), Vec::new(), Vec::new()).await.map(|(value,)| value)
}

#[test]
fn an_operators_word_is_heard_while_the_server_runs_and_when_it_starts() {
    testkit::run(async {
        for backend in [Backend::Postgres, Backend::Pooler] {
            let db = TestDatabase::fresh(backend).await;
            let name = db.url().rsplit('/').next().unwrap().to_owned();
            let store = open(&db).await;
            set(&store, "x", 1).await.unwrap();
            assert_eq!(write_row(&store).await.unwrap(), 1);
            for what in [format!("DATABASE {name}"), format!("ROLE postgres IN DATABASE {name}")] {
                db.change_on_server(&format!("ALTER {what} SET default_transaction_read_only = on")).await;
                until("writes are refused", async || is_refused(&store).await).await;
                assert_eq!(store.trouble(), Some("store_read_only"));
                assert!(matches!(write_row(&store).await, Err(StoreError::ReadOnly)));
                assert!(get(&store, "x").await.is_some(), "reads go on");
                // One that starts now.
                let other = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
                assert!(is_refused(&other).await);
                assert!(get(&other, "x").await.is_some());
                let back = format!("BEGIN READ WRITE; ALTER {what} SET default_transaction_read_only = off; COMMIT");
                db.change_on_server(&back).await;
                for store in [&store, &other] {
                    until("writes go on by themselves", async || set(store, "x", 2).await.is_ok()).await;
                    assert_eq!(store.trouble(), None);
                }
                db.change_on_server(&format!("ALTER {what} RESET default_transaction_read_only")).await;
                assert!(write_row(&store).await.unwrap() > 1);
                other.close().await;
            }
            assert_eq!(get(&store, "x").await, Some(2));
        }
    });
}

/// Connections that were made in between bring the old word with them.
#[test]
fn a_word_that_is_taken_back_is_not_heard_again() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let name = db.url().rsplit('/').next().unwrap().to_owned();
        let store = open(&db).await;
        for value in 1..=2 {
            db.change_on_server(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
            until("writes are refused", async || is_refused(&store).await).await;
            // Connections that were made meanwhile must not be believed afterwards.
            for _ in 0..8 {
                assert_eq!(get(&store, "none").await, None);
            }
            let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
            db.change_on_server(&format!("BEGIN READ WRITE; {reset}; COMMIT")).await;
            until("writes go on", async || set(&store, "x", value).await.is_ok()).await;
            // Some looks later they still do.
            for _ in 0..50 {
                set(&store, "x", value).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the servers are")]
fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run the tests with `cargo xtask test`"))
}

#[test]
fn a_standby_is_read_and_refuses_writes() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let name = db.url().rsplit('/').next().unwrap().to_owned();
        let store = open(&db).await;
        set(&store, "x", 1).await.unwrap();
        let url = format!("{}/{name}", told("MAINSTAY_TEST_STANDBY").trim_end_matches("/postgres"));
        let there = async || {
            let store = Store::open(&StoreSettings::at(url.clone()), EventHandlers::new()).await.ok()?;
            let row = store_get(&store).await?;
            Some((store, row))
        };
        until("the standby has it", async || there().await.is_some()).await;
        let (standby, row) = there().await.unwrap();
        assert_eq!(row, 1);
        assert!(is_refused(&standby).await);
        assert_eq!(standby.trouble(), Some("store_read_only"));
        assert!(matches!(write_row(&standby).await, Err(StoreError::ReadOnly)));
    });
}

async fn store_get(store: &Store) -> Option<i64> {
    use store::Reads as _;
    let row = store.read(&ctx()).row::<(i64,)>("SELECT value FROM counters WHERE name = 'x'", &[]).await;
    row.ok().flatten().map(|(value,)| value)
}

/// What is prepared and set on a connection would be lost, or another's.
#[test]
fn a_pooler_that_gives_each_transaction_another_connection_is_told_at_the_start() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Pooler).await;
        let right = db.settings();
        let wrong = StoreSettings { prepared_statements: true, ..right.clone() };
        let error = Store::open(&wrong, EventHandlers::new()).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Pooler);
        for words in ["prepared_statements = false", "admin_url"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        // Nothing was set on the connections that others are given.
        let store = open(&db).await;
        set(&store, "x", 1).await.unwrap();
        store.close().await;
        let direct = StoreSettings { admin_url: Secret::new(String::new()), ..StoreSettings::at(db.url()) };
        Store::open(&direct, EventHandlers::new()).await.unwrap();
    });
}
