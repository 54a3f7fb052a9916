//! What is about SQLite's one writer alone.

use std::time::Duration;

use kernel::UserId;
use store::{Reads as _, StoreError, ViolationKind, params};
use testkit::{Backend, TestDatabase};

use crate::{count, ctx, get, open, set};

const INSERT: &str = "INSERT INTO counters (name, value) VALUES ($1, $2)";

/// Migrations may not say `DEFERRABLE`, but a table may come from elsewhere: its violation fails its own transaction and
/// not the commit of the group.
#[test]
fn a_deferred_foreign_key_fails_its_own_transaction_only() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = open(&db).await;
        let outside = rusqlite::Connection::open(db.file().unwrap()).unwrap();
        outside
            .execute_batch(
                "CREATE TABLE deferred (
                    parent_id BLOB NOT NULL REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED
                ) STRICT",
            )
            .unwrap();
        let tasks: Vec<_> = (0..40i64)
            .map(|i| {
                let store = store.clone();
                let nobody: UserId = ctx().new_id();
                tokio::spawn(async move {
                    store
                        .tx(&ctx(), move |tx| async move {
                            tx.execute(INSERT, &params![format!("{i}"), i]).await?;
                            if i % 4 == 0 {
                                tx.execute("INSERT INTO deferred (parent_id) VALUES ($1)", &params![nobody]).await?;
                            }
                            Ok::<_, StoreError>(())
                        })
                        .await
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            let outcome = task.await.unwrap();
            if i % 4 == 0 {
                let kind = outcome.unwrap_err().violation().map(|violation| violation.kind);
                assert_eq!(kind, Some(ViolationKind::ForeignKey));
            } else {
                outcome.unwrap();
            }
        }
        assert_eq!(count(&store).await, 30);
        let left = store.read(&ctx()).row::<(i64,)>("SELECT count(*) FROM deferred", &params![]).await;
        assert_eq!(left.unwrap(), Some((0,)));
    });
}

/// What was acknowledged is in the file when the process is gone: nothing waits in memory.
#[test]
fn acknowledged_means_committed() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = open(&db).await;
        let outside = rusqlite::Connection::open(db.file().unwrap()).unwrap();
        for value in 0..50 {
            set(&store, "n", value).await.unwrap();
            let seen: i64 =
                outside.query_row("SELECT value FROM counters WHERE name = 'n'", [], |row| row.get(0)).unwrap();
            assert_eq!(seen, value);
        }
    });
}

#[test]
fn closing_leaves_one_file() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = open(&db).await;
        let writes: Vec<_> = (0..100i64)
            .map(|i| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .tx(&ctx(), move |tx| async move { tx.execute(INSERT, &params![format!("{i}"), i]).await })
                        .await
                })
            })
            .collect();
        while count(&store).await == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        store.close().await;
        let mut acknowledged = 0;
        for write in writes {
            acknowledged += i64::from(write.await.unwrap().map_err(|e: StoreError| e).is_ok());
        }
        let file = db.file().unwrap();
        let mut wal = file.clone().into_os_string();
        wal.push("-wal");
        assert!(!std::path::Path::new(&wal).exists());
        let store = open(&db).await;
        assert_eq!(count(&store).await, acknowledged);
        assert_eq!(get(&store, "nothing").await, None);
    });
}

/// The first bundled version without the bug that could reset a log too early.
#[test]
fn sqlite_is_new_enough() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}
