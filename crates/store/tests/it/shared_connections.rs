//! Reads by key on PostgreSQL share a connection, and no answer waits for another's question.

use std::sync::atomic::Ordering;
use std::time::Duration;

use store::{ById, EventHandlers, Reads, Store, StoreError, StoreSettings, params};
use testkit::{Backend, TestDatabase};
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::{ctx, ctx_for, open, open_with};

async fn echo(store: &Store, number: i64, budget: Duration) -> Result<Option<i64>, StoreError> {
    let row = store.read(&ctx_for(budget)).row::<(i64,)>("SELECT $1::bigint", &params![number]).await?;
    Ok(row.map(|(number,)| number))
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn many_reads_share_few_connections() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let proxy = Proxy::before(&db).await;
        let store =
            open_with(&StoreSettings { pool_size: 8, ..StoreSettings::at(proxy.url()) }, EventHandlers::new()).await;
        let before = proxy.made.load(Ordering::SeqCst);
        let tasks: Vec<_> = (0..500)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { assert_eq!(echo(&store, number, LONG).await.unwrap(), Some(number)) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let made = proxy.made.load(Ordering::SeqCst) - before;
        let threads = std::thread::available_parallelism().unwrap().get();
        assert!(made <= threads, "{made} connections for {threads} threads");
    });
}

#[test]
fn callers_who_leave_mix_no_answers_up() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open(&db).await;
        let tasks: Vec<_> = (0..600)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { (number, echo(&store, number, LONG).await) })
            })
            .collect();
        tokio::task::yield_now().await;
        for task in tasks.iter().step_by(3) {
            task.abort();
        }
        let mut answered = 0;
        for task in tasks {
            if let Ok((number, answer)) = task.await {
                assert_eq!(answer.unwrap(), Some(number));
                answered += 1;
            }
        }
        assert!(answered >= 400, "{answered}");
        assert_eq!(echo(&store, -1, LONG).await.unwrap(), Some(-1));
    });
}

#[test]
fn a_read_that_holds_others_up_is_ended() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open(&db).await;
        let slow = ctx_for(LONG);
        let error =
            store.read(&slow).row::<(i64,)>("SELECT 1::bigint FROM pg_sleep(25)", &params![]).await.unwrap_err();
        assert!(matches!(error, StoreError::Timeout), "{error:?}");
        assert!(!slow.remaining().is_zero(), "it was the server that ended it");
        assert_eq!(echo(&store, 1, LONG).await.unwrap(), Some(1));
    });
}

#[test]
fn a_connection_that_says_nothing_any_more_is_replaced_and_holds_a_bounded_number() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let proxy = Proxy::before(&db).await;
        let settings = StoreSettings { pool_size: 2, queue: 2, ..StoreSettings::at(proxy.url()) };
        let store = open_with(&settings, EventHandlers::new()).await;
        // Every worker thread has a connection before they freeze.
        while echo(&store, 0, LONG).await.is_err() {}
        proxy.freeze();
        let tasks: Vec<_> = (0..100)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { echo(&store, number, Duration::from_secs(1)).await })
            })
            .collect();
        let mut refused = 0;
        for task in tasks {
            match task.await.unwrap() {
                Err(StoreError::Busy) => refused += 1,
                Err(StoreError::Timeout) | Ok(Some(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(refused > 0, "more than two reads waited on one connection");
        // Without a restart, and before a long deadline.
        let patient = ctx_for(LONG);
        while echo(&store, 7, Duration::from_millis(500)).await.is_err() {
            assert!(!patient.remaining().is_zero(), "the frozen connection is still in use");
        }
        assert_eq!(store.read(&ctx()).row::<(i64,)>("SELECT 8::bigint", &params![]).await.unwrap(), Some((8,)));
    });
}

/// Parents of which each has its id's number as its code.
async fn parents(store: &Store, count: u128) {
    let add = move |tx: store::Tx| async move {
        for number in 0..count {
            let insert = "INSERT INTO parents (id, code) VALUES ($1, $2)";
            tx.execute(insert, &params![Uuid::from_u128(number), number.to_string()]).await?;
        }
        Ok::<_, StoreError>(())
    };
    store.tx(&ctx(), add).await.unwrap();
}

/// A parent's code, and the statement that found it.
fn with_statement() -> ById {
    ById::new("SELECT id, code, current_query() FROM parents WHERE id", " AND code <> '7'")
}

type Parent = (Uuid, String, String);

#[test]
fn rows_that_are_asked_for_together_are_found_together() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open(&db).await;
        parents(&store, 100).await;
        let by_id = with_statement();
        let tasks: Vec<_> = (0..600)
            .map(|number: u128| {
                let (store, by_id, id) = (store.clone(), by_id.clone(), Uuid::from_u128(number % 150));
                tokio::spawn(async move { (id, store.read(&ctx()).row_by_id::<Parent>(&by_id, id).await.unwrap()) })
            })
            .collect();
        tokio::task::yield_now().await;
        // Some of them are those who ask for the others.
        for task in tasks.iter().step_by(3) {
            task.abort();
        }
        let (mut answered, mut together) = (0, 0);
        for task in tasks {
            let Ok((id, found)) = task.await else { continue };
            answered += 1;
            let number = id.as_u128();
            assert_eq!(found.is_some(), number < 100 && number != 7, "{number}");
            if let Some((found, code, statement)) = found {
                assert_eq!((found, code), (id, number.to_string()));
                together += u32::from(statement.contains("any("));
            }
        }
        assert!(answered >= 400, "{answered}");
        assert!(together > 0, "each was found alone");
    });
}

#[test]
fn rows_that_were_asked_for_together_are_asked_for_again_alone() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let proxy = Proxy::before(&db).await;
        let settings = StoreSettings { pool_size: 4, ..StoreSettings::at(proxy.url()) };
        let store = open_with(&settings, EventHandlers::new()).await;
        parents(&store, 100).await;
        // With a row that no statement for many can be read by: what it selects first is no id.
        let by_id = ById::new("SELECT code, id, current_query() FROM parents WHERE id", "");
        let ask = |number: u128| {
            let (store, by_id, id) = (store.clone(), by_id.clone(), Uuid::from_u128(number));
            tokio::spawn(async move { store.read(&ctx()).row_by_id::<(String, Uuid, String)>(&by_id, id).await })
        };
        for (number, task) in (0..100).map(|number| (number, ask(number))).collect::<Vec<_>>() {
            let (code, id, statement) = task.await.unwrap().unwrap().unwrap();
            assert_eq!((code, id), (number.to_string(), Uuid::from_u128(number)));
            assert!(!statement.contains("any("));
        }
        // With a connection that is gone.
        let tasks: Vec<_> = (0..100).map(ask).collect();
        tokio::task::yield_now().await;
        proxy.cut();
        proxy.mend();
        for task in tasks {
            assert!(matches!(task.await.unwrap(), Ok(Some(_)) | Err(StoreError::Unavailable { .. })));
        }
        assert!(ask(1).await.unwrap().unwrap().is_some());
    });
}

/// Alone and in a batch: two rows of one id are a mistake in the statement.
#[test]
fn two_rows_of_one_id_are_an_error() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open(&db).await;
        parents(&store, 100).await;
        let by_id = ById::new("SELECT id, code FROM parents CROSS JOIN (VALUES (1), (2)) AS twice WHERE id", "");
        let ask = |number: u128| {
            let (store, by_id, id) = (store.clone(), by_id.clone(), Uuid::from_u128(number));
            tokio::spawn(async move { store.read(&ctx()).row_by_id::<(Uuid, String)>(&by_id, id).await })
        };
        for task in (0..100).map(ask).collect::<Vec<_>>() {
            let found = task.await.unwrap();
            assert!(matches!(found, Err(StoreError::Internal { .. })), "{found:?}");
        }
    });
}

/// Planning would cost more than finding the rows.
#[test]
fn a_list_of_few_keys_is_not_planned_again_each_time() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open(&db).await;
        parents(&store, 1).await;
        let by_id = ById::new("SELECT id, current_setting('plan_cache_mode') FROM parents WHERE id", "");
        let found: Option<(Uuid, String)> = store.read(&ctx()).row_by_id(&by_id, Uuid::from_u128(0)).await.unwrap();
        assert_eq!(found.unwrap().1, "force_generic_plan");
    });
}
