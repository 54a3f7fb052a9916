use std::time::{Duration, Instant};

use store::{EventHandlers, Reads as _, Store, StoreError, StoreSettings, params};
use testkit::{Backend, TestDatabase, everywhere};

use crate::{FOR_EVER, count, ctx, ctx_for, get, open, open_with, set};

const SOON: Duration = Duration::from_millis(200);
/// How long after the deadline an answer may come on a machine that does other things as well.
const GRACE: Duration = Duration::from_secs(5);

everywhere! {
    async fn a_scan_ends_at_the_deadline(db: TestDatabase) {
        let store = open(&db).await;
        for _ in 0..20 {
            let since = Instant::now();
            let read = store.read(&ctx_for(SOON)).rows::<(i64,)>(FOR_EVER, &params![]).await;
            assert!(matches!(read, Err(StoreError::Timeout)), "{read:?}");
            assert!(since.elapsed() < SOON + GRACE);
        }
        let read = store.read(&ctx_for(SOON)).row::<(i64,)>(FOR_EVER, &params![]).await;
        assert!(matches!(read, Err(StoreError::Timeout)), "{read:?}");
        // More of them than there are connections or readers: each has come back.
        assert_eq!(count(&store).await, 0);
        set(&store, "a", 1).await.unwrap();
    }

    async fn a_statement_in_a_transaction_ends_at_the_deadline_and_harms_nobody(db: TestDatabase) {
        let store = open(&db).await;
        let slow = {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .tx(&ctx_for(SOON), |tx| async move {
                        tx.execute("INSERT INTO counters (name, value) VALUES ('slow', 1)", &params![]).await?;
                        tx.row::<(i64,)>(FOR_EVER, &params![]).await
                    })
                    .await
            })
        };
        let neighbours: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
            .into_iter()
            .map(|name| {
                let store = store.clone();
                tokio::spawn(async move { set(&store, name, 1).await })
            })
            .collect();
        for neighbour in neighbours {
            neighbour.await.unwrap().unwrap();
        }
        let slow = slow.await.unwrap();
        assert!(matches!(slow, Err(StoreError::Timeout)), "{slow:?}");
        assert_eq!((get(&store, "slow").await, count(&store).await), (None, 12));
    }

    /// An interrupted write makes SQLite roll back the whole group; its neighbours run again.
    async fn a_write_that_is_interrupted_harms_nobody(db: TestDatabase) {
        let store = open(&db).await;
        let endless = "INSERT INTO counters (name, value)
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000)
            SELECT CAST(i AS text), i FROM n";
        let mut tasks = Vec::new();
        for (i, name) in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"].into_iter().enumerate() {
            let other = store.clone();
            tasks.push(tokio::spawn(async move { set(&other, name, 1).await }));
            if i % 4 == 2 {
                let store = store.clone();
                tokio::spawn(async move {
                    let work = move |tx: store::Tx| async move { tx.execute(endless, &params![]).await };
                    let result: Result<u64, StoreError> = store.tx(&ctx_for(SOON), work).await;
                    assert!(matches!(result, Err(StoreError::Timeout)), "{result:?}");
                });
            }
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(count(&store).await, 12);
    }

    async fn a_dropped_scan_leaves_nothing_behind(db: TestDatabase) {
        // Beside everything else that runs here, a connection may take longer to come back than one usually waits for it.
        let settings = StoreSettings { wait_ms: 10_000, ..db.settings() };
        let store = open_with(&settings, EventHandlers::new()).await;
        for _ in 0..20 {
            let read = store.clone();
            let task = tokio::spawn(async move { read.read(&ctx()).rows::<(i64,)>(FOR_EVER, &params![]).await });
            tokio::time::sleep(Duration::from_millis(20)).await;
            task.abort();
            let _ = task.await;
        }
        let since = Instant::now();
        for _ in 0..20 {
            let rows: Vec<(i64,)> = store.read(&ctx()).rows("SELECT count(*) FROM counters", &params![]).await.unwrap();
            assert_eq!(rows, [(0,)]);
        }
        assert!(since.elapsed() < GRACE * 2);
    }

    /// Everything that may run is taken, and as much as may wait is waiting: one more is refused at once.
    async fn more_than_may_wait_is_refused_in_time(db: TestDatabase) {
        let settings = StoreSettings { readers: 2, pool_size: 2, queue: 2, wait_ms: 300, ..db.settings() };
        let store = open_with(&settings, EventHandlers::new()).await;
        let budget = Duration::from_secs(3);
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let since = Instant::now();
                    let read = store.read(&ctx_for(budget)).rows::<(i64,)>(FOR_EVER, &params![]).await;
                    (read.unwrap_err(), since.elapsed())
                })
            })
            .collect();
        let (mut busy, mut late) = (0, 0);
        for task in tasks {
            match task.await.unwrap() {
                (StoreError::Busy, after) => {
                    busy += 1;
                    assert!(after < budget);
                }
                (StoreError::Timeout, after) => {
                    late += 1;
                    assert!(after < budget + GRACE);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(busy >= 14 && late >= 2, "{busy} busy, {late} late");
        assert_eq!(count(&store).await, 0);
    }

    async fn more_writes_than_may_wait_are_refused(db: TestDatabase) {
        let settings = StoreSettings { pool_size: 1, queue: 2, wait_ms: 300, ..db.settings() };
        let store = open_with(&settings, EventHandlers::new()).await;
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .tx(&ctx_for(Duration::from_secs(2)), |tx| async move {
                            tx.row::<(i64,)>(FOR_EVER, &params![]).await.map(drop)
                        })
                        .await
                        .unwrap_err()
                })
            })
            .collect();
        let mut busy = 0;
        for task in tasks {
            let error = task.await.unwrap();
            assert!(matches!(error, StoreError::Busy | StoreError::Timeout), "{error:?}");
            busy += usize::from(matches!(error, StoreError::Busy));
        }
        assert!(busy >= 16, "{busy} busy");
        // Those that gave up keep their places until the writer has passed them by.
        let since = Instant::now();
        while let Err(error) = set(&store, "a", 1).await {
            assert!(matches!(error, StoreError::Busy) && since.elapsed() < GRACE, "{error:?}");
            tokio::task::yield_now().await;
        }
        assert_eq!(get(&store, "a").await, Some(1));
    }
}

/// A read whose caller is gone before its turn is not begun.
#[test]
fn readers_are_not_held_up_by_those_who_left() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store: Store = open_with(&StoreSettings { readers: 1, ..db.settings() }, EventHandlers::new()).await;
        let slow: Vec<_> = (0..50)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.read(&ctx()).rows::<(i64,)>(FOR_EVER, &params![]).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        for task in slow {
            task.abort();
            let _ = task.await;
        }
        let rows: Vec<(i64,)> =
            store.read(&ctx_for(GRACE)).rows("SELECT count(*) FROM counters", &params![]).await.unwrap();
        assert_eq!(rows, [(0,)]);
    });
}
