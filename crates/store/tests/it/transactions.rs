use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use store::{Reads as _, StoreError, Tx, Value, ViolationKind, params};
use testkit::{Backend, TestDatabase, everywhere};

use crate::{count, ctx, ctx_for, get, open, set};

const INSERT: &str = "INSERT INTO counters (name, value) VALUES ($1, $2)";

/// A domain's error, as one would write it.
#[derive(Debug)]
enum Failure {
    Taken,
    NoMoney,
    #[expect(dead_code, reason = "shown when a test fails")]
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.violates("counters.name") { Failure::Taken } else { Failure::Store(error) }
    }
}

async fn increment(tx: Tx) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = tx.row("SELECT value FROM counters WHERE name = $1", &params!["n"]).await?;
    let value = row.map_or(0, |(value,)| value) + 1;
    tx.execute("UPDATE counters SET value = $1 WHERE name = $2", &params![value, "n"]).await?;
    Ok(value)
}

everywhere! {
    async fn a_transaction_is_kept_or_not(db: TestDatabase) {
        let store = open(&db).await;
        let kept: Result<i64, Failure> = store
            .tx(&ctx(), |tx| async move {
                tx.execute(INSERT, &params!["a", 1]).await?;
                tx.execute(INSERT, &params!["b", 2]).await?;
                // It sees what it wrote itself.
                let (sum,): (i64,) = tx.row("SELECT sum(value) FROM counters", &params![]).await?.unwrap();
                Ok(sum)
            })
            .await;
        assert!(matches!(kept, Ok(3)), "{kept:?}");
        let undone: Result<(), Failure> = store
            .tx(&ctx(), |tx| async move {
                tx.execute("UPDATE counters SET value = 7", &params![]).await?;
                tx.execute(INSERT, &params!["c", 3]).await?;
                Err(Failure::NoMoney)
            })
            .await;
        assert!(matches!(undone, Err(Failure::NoMoney)), "{undone:?}");
        let taken: Result<u64, Failure> = store
            .tx(&ctx(), |tx| async move {
                tx.execute(INSERT, &params!["d", 1]).await?;
                Ok(tx.execute(INSERT, &params!["a", 1]).await?)
            })
            .await;
        assert!(matches!(taken, Err(Failure::Taken)), "{taken:?}");
        assert_eq!((get(&store, "a").await, get(&store, "b").await, count(&store).await), (Some(1), Some(2), 2));
    }

    async fn statements_say_how_many_rows_they_changed(db: TestDatabase) {
        let store = open(&db).await;
        let counts: Result<_, StoreError> = store
            .tx(&ctx(), |tx| async move {
                Ok([
                    tx.execute("INSERT INTO counters (name, value) VALUES ('a', 1), ('b', 2)", &params![]).await?,
                    tx.execute("INSERT INTO counters (name, value) VALUES ('a', 9) ON CONFLICT DO NOTHING", &params![]).await?,
                    tx.execute("UPDATE counters SET value = 5", &params![]).await?,
                    tx.execute("DELETE FROM counters WHERE name = $1", &params!["x"]).await?,
                    tx.execute("DELETE FROM counters", &params![]).await?,
                ])
            })
            .await;
        assert_eq!(counts.unwrap(), [2, 0, 2, 0, 2]);
    }

    async fn returning_gives_rows(db: TestDatabase) {
        let store = open(&db).await;
        let given: Result<_, StoreError> = store
            .tx(&ctx(), |tx| async move {
                let insert = "INSERT INTO counters (name, value) VALUES ($1, $2) RETURNING value";
                let one: Option<(i64,)> = tx.row(insert, &params!["a", 1]).await?;
                let two: Option<(i64,)> = tx.row(insert, &params!["b", 2]).await?;
                let all = "UPDATE counters SET value = value * 10 RETURNING name, value";
                let mut rows: Vec<(String, i64)> = tx.rows(all, &params![]).await?;
                rows.sort();
                Ok((one, two, rows))
            })
            .await;
        assert_eq!(given.unwrap(), (Some((1,)), Some((2,)), vec![("a".into(), 10), ("b".into(), 20)]));
        assert_eq!(get(&store, "b").await, Some(20));
        let wrong: Result<u64, StoreError> =
            store.tx(&ctx(), |tx| async move { tx.execute("DELETE FROM counters RETURNING name", &params![]).await }).await;
        assert!(matches!(wrong, Err(StoreError::Internal { .. })), "{wrong:?}");
        assert_eq!(count(&store).await, 2);
    }

    async fn one_statement_writes_one_row(db: TestDatabase) {
        const RETURNING: &str = "INSERT INTO counters (name, value) VALUES ($1, $2) RETURNING value";
        const MORE: &str = "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value";
        let store = open(&db).await;
        let write = |sql: &'static str, params: Vec<Value>| {
            let store = store.clone();
            async move { store.write_row::<(i64,)>(&ctx(), sql.to_owned(), params, Vec::new()).await }
        };
        assert_eq!(write(RETURNING, params!["a", 1].to_vec()).await.unwrap(), (1,));
        let taken = write(RETURNING, params!["a", 2].to_vec()).await.unwrap_err();
        assert_eq!(taken.violation().map(|violation| violation.kind), Some(ViolationKind::Unique));
        assert_eq!(get(&store, "a").await, Some(1));
        // Those who are in each other's way all get their turn.
        let all: Vec<_> = (0..32).map(|_| tokio::spawn(write(MORE, params!["a"].to_vec()))).collect();
        let mut values = Vec::new();
        for one in all {
            values.push(one.await.unwrap().unwrap().0);
        }
        values.sort_unstable();
        assert_eq!(values, (2..=33).collect::<Vec<_>>());
        for sql in [MORE, "COMMIT", "DELETE FROM counters WHERE name = $1"] {
            let none = write(sql, params!["nobody"].to_vec()).await;
            assert!(matches!(none, Err(StoreError::Internal { .. })), "{sql}: {none:?}");
        }
        let no_time = ctx_for(Duration::ZERO);
        let late = store.write_row::<(i64,)>(&no_time, MORE.to_owned(), params!["a"].to_vec(), Vec::new()).await;
        assert!(matches!(late, Err(StoreError::Timeout)), "{late:?}");
        let inner = store.clone();
        let inside: Result<(i64,), StoreError> = store
            .tx(&ctx(), move |_| {
                let store = inner.clone();
                async move { store.write_row(&ctx(), MORE.to_owned(), params!["a"].to_vec(), Vec::new()).await }
            })
            .await;
        assert!(matches!(inside, Err(StoreError::Nested)), "{inside:?}");
        assert_eq!(get(&store, "a").await, Some(33));
    }

    async fn transaction_control_is_refused(db: TestDatabase) {
        let store = open(&db).await;
        for sql in ["COMMIT", "/* x */ commit", "ROLLBACK", "SAVEPOINT x", "RELEASE member", "BEGIN", "END",
            "PRAGMA foreign_keys = off", "VACUUM", "DELETE FROM counters; COMMIT", "ATTACH 'x' AS y", "DROP TABLE counters"] {
            let result: Result<u64, StoreError> = store
                .tx(&ctx(), move |tx| async move {
                    tx.execute(INSERT, &params!["a", 1]).await?;
                    tx.execute(sql, &params![]).await
                })
                .await;
            assert!(matches!(result, Err(StoreError::Internal { .. })), "{sql}: {result:?}");
        }
        assert_eq!(count(&store).await, 0);
    }

    /// A failed statement is the end of a transaction on PostgreSQL, so it is on SQLite.
    async fn a_failed_statement_fails_the_transaction(db: TestDatabase) {
        let store = open(&db).await;
        set(&store, "a", 1).await.unwrap();
        let swallowed: Result<(), StoreError> = store
            .tx(&ctx(), |tx| async move {
                tx.execute(INSERT, &params!["b", 1]).await?;
                assert!(tx.execute(INSERT, &params!["a", 1]).await.unwrap_err().violates("counters_pkey"));
                Ok(())
            })
            .await;
        assert!(matches!(swallowed, Err(StoreError::Internal { .. })), "{swallowed:?}");
        let later: Result<Option<(i64,)>, StoreError> = store
            .tx(&ctx(), |tx| async move {
                let _ = tx.execute(INSERT, &params!["a", 1]).await;
                tx.row("SELECT value FROM counters", &params![]).await
            })
            .await;
        assert!(matches!(later, Err(StoreError::Internal { .. })), "{later:?}");
        assert_eq!(count(&store).await, 1);
    }

    async fn the_store_inside_a_transaction_is_refused(db: TestDatabase) {
        let store = open(&db).await;
        let inner = store.clone();
        let nested: Result<(), StoreError> = store
            .tx(&ctx(), move |tx| {
                let inner = inner.clone();
                async move {
                    tx.execute(INSERT, &params!["a", 1]).await?;
                    inner.tx(&ctx(), |tx| async move { tx.execute(INSERT, &params!["b", 1]).await.map(drop) }).await
                }
            })
            .await;
        assert!(matches!(nested, Err(StoreError::Nested)), "{nested:?}");
        let inner = store.clone();
        let read: Result<Option<(i64,)>, StoreError> = store
            .tx(&ctx(), move |_| {
                let inner = inner.clone();
                async move { inner.read(&ctx()).row("SELECT count(*) FROM counters", &params![]).await }
            })
            .await;
        assert!(matches!(read, Err(StoreError::Nested)), "{read:?}");
        let inner = store.clone();
        let rows: Result<Vec<(i64,)>, StoreError> = store
            .tx(&ctx(), move |_| {
                let inner = inner.clone();
                async move { inner.read(&ctx()).rows("SELECT value FROM counters", &params![]).await }
            })
            .await;
        assert!(matches!(rows, Err(StoreError::Nested)), "{rows:?}");
        assert_eq!(count(&store).await, 0);
        // The next one is in order.
        set(&store, "a", 1).await.unwrap();
    }

    async fn a_tx_kept_longer_is_of_no_use(db: TestDatabase) {
        let store = open(&db).await;
        let kept: Result<Tx, StoreError> = store.tx(&ctx(), |tx| async move { Ok(tx) }).await;
        let kept = kept.unwrap();
        assert!(kept.execute(INSERT, &params!["a", 1]).await.is_err());
        let inside: Result<u64, StoreError> = store
            .tx(&ctx(), move |_| {
                let kept = kept.clone();
                async move { kept.execute(INSERT, &params!["a", 1]).await }
            })
            .await;
        assert!(matches!(inside, Err(StoreError::Internal { .. })), "{inside:?}");
        let sent: Result<u64, StoreError> = store
            .tx(&ctx(), |tx| async move {
                let sent = tokio::spawn(async move { tx.execute(INSERT, &params!["a", 1]).await });
                sent.await.unwrap()
            })
            .await;
        assert!(matches!(sent, Err(StoreError::Internal { .. })), "{sent:?}");
        assert_eq!(count(&store).await, 0);
    }

    async fn transactions_run_as_if_one_after_another(db: TestDatabase) {
        let store = open(&db).await;
        set(&store, "n", 0).await.unwrap();
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.tx(&ctx(), increment).await })
            })
            .collect();
        let mut seen = Vec::new();
        for task in tasks {
            seen.push(task.await.unwrap().unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=64).collect::<Vec<_>>());
        assert_eq!(get(&store, "n").await, Some(64));
    }

    /// Write skew: each looks at the other's row and changes its own.
    async fn two_that_rest_on_each_other_do_not_both_pass(db: TestDatabase) {
        let store = open(&db).await;
        for round in 0..10 {
            set(&store, "a", 1).await.unwrap();
            set(&store, "b", 1).await.unwrap();
            let leave = |name: &'static str| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .tx(&ctx(), move |tx| async move {
                            let (on_call,): (i64,) = tx.row("SELECT sum(value) FROM counters", &params![]).await?.unwrap();
                            if on_call > 1 {
                                tx.execute("UPDATE counters SET value = 0 WHERE name = $1", &params![name]).await?;
                            }
                            Ok::<_, StoreError>(())
                        })
                        .await
                })
            };
            let (a, b) = (leave("a"), leave("b"));
            a.await.unwrap().unwrap();
            b.await.unwrap().unwrap();
            assert_eq!(get(&store, "a").await.unwrap() + get(&store, "b").await.unwrap(), 1, "round {round}");
        }
    }

    async fn what_64_callers_were_acknowledged_is_there(db: TestDatabase) {
        let store = open(&db).await;
        let tasks: Vec<_> = (0..64)
            .map(|task| {
                let store = store.clone();
                tokio::spawn(async move {
                    for i in 0..20 {
                        let name = format!("{task}-{i}");
                        let done: Result<u64, StoreError> = store
                            .tx(&ctx(), move |tx| {
                                let name = name.clone();
                                async move { tx.execute(INSERT, &params![name, i]).await }
                            })
                            .await;
                        assert_eq!(done.unwrap(), 1);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(count(&store).await, 64 * 20);
        store.close().await;
        assert_eq!(count(&open(&db).await).await, 64 * 20);
    }

    async fn a_panic_fails_its_own_transaction_only(db: TestDatabase) {
        let store = open(&db).await;
        let tasks: Vec<_> = (0..64i64)
            .map(|i| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .tx(&ctx(), move |tx| async move {
                            tx.execute(INSERT, &params![format!("{i}"), i]).await?;
                            assert!(i % 4 != 0, "a fault of the domain's");
                            if i % 4 == 1 { Err(StoreError::Busy) } else { Ok(()) }
                        })
                        .await
                })
            })
            .collect();
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        for (i, outcome) in outcomes.iter().enumerate() {
            match i % 4 {
                0 => assert!(matches!(outcome, Err(StoreError::Internal { .. })), "{i}: {outcome:?}"),
                1 => assert!(matches!(outcome, Err(StoreError::Busy)), "{i}: {outcome:?}"),
                _ => assert!(outcome.is_ok(), "{i}: {outcome:?}"),
            }
        }
        assert_eq!(count(&store).await, 32);
    }

    /// Also when the panic is in making the future, or in reading a row.
    async fn a_panic_anywhere_is_an_error(db: TestDatabase) {
        struct Never;
        impl store::FromRow for Never {
            fn from_row(_: &store::Row<'_>) -> Result<Self, StoreError> {
                panic!("a fault of the row's")
            }
        }
        let store = open(&db).await;
        set(&store, "a", 1).await.unwrap();
        let making: Result<(), StoreError> = store
            .tx(&ctx(), |tx| {
                assert!(tx.ctx().request_id().is_empty(), "a fault before the first await");
                async move { Ok(()) }
            })
            .await;
        assert!(matches!(making, Err(StoreError::Internal { .. })), "{making:?}");
        let reading: Result<Option<Never>, StoreError> =
            store.tx(&ctx(), |tx| async move { tx.row("SELECT value FROM counters", &params![]).await }).await;
        assert!(matches!(reading, Err(StoreError::Internal { .. })));
        set(&store, "a", 2).await.unwrap();
        assert_eq!(get(&store, "a").await, Some(2));
    }

    async fn a_stalled_transaction_is_rolled_back_alone(db: TestDatabase) {
        let store = open(&db).await;
        let stalled = {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .tx(&ctx(), |tx| async move {
                        tx.execute(INSERT, &params!["stalled", 1]).await?;
                        std::future::pending::<Result<(), StoreError>>().await
                    })
                    .await
            })
        };
        let neighbours: Vec<_> = (0..32i64)
            .map(|i| {
                let store = store.clone();
                tokio::spawn(async move {
                    store.tx(&ctx(), move |tx| async move { tx.execute(INSERT, &params![format!("{i}"), i]).await }).await
                })
            })
            .collect();
        for neighbour in neighbours {
            neighbour.await.unwrap().unwrap();
        }
        let stalled = stalled.await.unwrap();
        assert!(matches!(stalled, Err(StoreError::Stalled)), "{stalled:?}");
        assert_eq!(count(&store).await, 32);
    }

    /// A closure that waits a little for something else is slow, and not wrong.
    async fn a_short_wait_is_no_stall(db: TestDatabase) {
        let store = open(&db).await;
        let waited: Result<u64, StoreError> = store
            .tx(&ctx(), |tx| async move {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                tx.execute(INSERT, &params!["a", 1]).await
            })
            .await;
        assert_eq!(waited.unwrap(), 1);
    }

    async fn a_dropped_transaction_does_not_happen(db: TestDatabase) {
        let store = open(&db).await;
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..30 {
            let (store, began) = (store.clone(), begun.clone());
            let before = begun.load(Ordering::SeqCst);
            let task = tokio::spawn(async move {
                let began = began.clone();
                store
                    .tx(&ctx(), move |tx| {
                        let began = began.clone();
                        async move {
                            tx.execute(INSERT, &params!["dropped", 1]).await?;
                            began.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(200)).await;
                            Ok::<_, StoreError>(())
                        }
                    })
                    .await
            });
            while begun.load(Ordering::SeqCst) == before && !task.is_finished() {
                tokio::task::yield_now().await;
            }
            task.abort();
            let _ = task.await;
        }
        // Every connection and the writer are usable, and soon.
        let since = Instant::now();
        for i in 0..20 {
            set(&store, "alive", i).await.unwrap();
        }
        assert!(since.elapsed() < Duration::from_secs(10));
        assert_eq!((get(&store, "alive").await, count(&store).await), (Some(19), 1));
    }

    async fn a_transaction_whose_time_is_up_is_not_begun(db: TestDatabase) {
        let store = open(&db).await;
        let late: Result<u64, StoreError> =
            store.tx(&ctx_for(Duration::ZERO), |tx| async move { tx.execute(INSERT, &params!["a", 1]).await }).await;
        assert!(matches!(late, Err(StoreError::Timeout)), "{late:?}");
        assert_eq!(count(&store).await, 0);
    }

    async fn a_closed_store_says_so(db: TestDatabase) {
        let store = open(&db).await;
        set(&store, "a", 1).await.unwrap();
        assert!(store.ping(&ctx()).await.is_ok());
        store.close().await;
        store.close().await;
        assert!(matches!(set(&store, "a", 2).await, Err(StoreError::Unavailable { .. })));
        let read = store.read(&ctx()).row::<(i64,)>("SELECT value FROM counters", &params![]).await;
        assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
        let read = store.read(&ctx()).rows::<(i64,)>("SELECT value FROM counters", &params![]).await;
        assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
        assert!(matches!(store.ping(&ctx()).await, Err(StoreError::Unavailable { .. })));
    }
}

/// Another changes a row between its being read and changed, once.
#[test]
fn a_transaction_with_another_in_its_way_is_run_again_and_counted() {
    testkit::run(async {
        for backend in [Backend::Postgres, Backend::Pooler] {
            let db = TestDatabase::fresh(backend).await;
            let store = open(&db).await;
            set(&store, "a", 1).await.unwrap();
            let (client, connection) = tokio_postgres::connect(db.url(), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let (other, runs) = (Arc::new(client), Arc::new(AtomicU64::new(0)));
            let begun = runs.clone();
            let work = move |tx: store::Tx| {
                let (other, begun) = (other.clone(), begun.clone());
                async move {
                    let a = "SELECT value FROM counters WHERE name = 'a'";
                    let (value,): (i64,) = tx.row(a, &params![]).await?.unwrap();
                    if begun.fetch_add(1, Ordering::SeqCst) == 0 {
                        other.batch_execute("UPDATE things.counters SET value = 10 WHERE name = 'a'").await.unwrap();
                    }
                    tx.execute("UPDATE counters SET value = $1 WHERE name = 'a'", &params![value + 1]).await
                }
            };
            assert_eq!(store.tx(&ctx(), work).await.map_err(|error: StoreError| error).unwrap(), 1);
            assert_eq!(get(&store, "a").await, Some(11));
            assert_eq!((runs.load(Ordering::SeqCst), store.reruns()), (2, 1));
        }
    });
}
