//! Reads by key on PostgreSQL share a connection, and no answer waits for another's question.

use std::sync::atomic::Ordering;
use std::time::Duration;

use store::{Reactions, Reads, Store, StoreError, StoreSettings, params};
use testkit::{Backend, TestDatabase};

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
            open_with(&StoreSettings { pool_size: 8, ..StoreSettings::at(proxy.url()) }, Reactions::new()).await;
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
        let store = open_with(&settings, Reactions::new()).await;
        // Every lane has a connection before they freeze.
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
        // Without a restart, and before the deadline of anybody who is patient.
        let patient = ctx_for(LONG);
        while echo(&store, 7, Duration::from_millis(500)).await.is_err() {
            assert!(!patient.remaining().is_zero(), "the frozen connection is still in use");
        }
        assert_eq!(store.read(&ctx()).row::<(i64,)>("SELECT 8::bigint", &params![]).await.unwrap(), Some((8,)));
    });
}
