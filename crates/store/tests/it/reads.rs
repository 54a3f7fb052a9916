use store::{ById, Reads as _, StoreError, Value, params, placeholders};
use testkit::{TestDatabase, everywhere};
use uuid::Uuid;

use crate::{FOR_EVER, count, ctx, get, open, set};

everywhere! {
    async fn a_row_is_found_or_not(db: TestDatabase) {
        let store = open(&db).await;
        set(&store, "a", 1).await.unwrap();
        assert_eq!(get(&store, "a").await, Some(1));
        assert_eq!(get(&store, "b").await, None);
    }

    async fn rows_come_in_their_order(db: TestDatabase) {
        let store = open(&db).await;
        for (name, value) in [("b", 2), ("a", 1), ("c", 3)] {
            set(&store, name, value).await.unwrap();
        }
        let select = "SELECT name, value FROM counters WHERE value > $1 ORDER BY name LIMIT $2";
        let rows: Vec<(String, i64)> = store.read(&ctx()).rows(select, &params![1, 10]).await.unwrap();
        assert_eq!(rows, [("b".into(), 2), ("c".into(), 3)]);
        let rows: Vec<(String, i64)> = store.read(&ctx()).rows(select, &params![1, 1]).await.unwrap();
        assert_eq!(rows.len(), 1);
    }

    async fn row_is_for_one_row(db: TestDatabase) {
        let store = open(&db).await;
        set(&store, "a", 1).await.unwrap();
        set(&store, "b", 1).await.unwrap();
        let read = store.read(&ctx()).row::<(String,)>("SELECT name FROM counters WHERE value = $1", &params![1]).await;
        assert!(matches!(read, Err(StoreError::Internal { .. })), "{read:?}");
        assert_eq!(count(&store).await, 2);
    }

    async fn a_row_is_found_by_its_id(db: TestDatabase) {
        let store = open(&db).await;
        let [there, absent] = [1, 2].map(Uuid::from_u128);
        let add = move |tx: store::Tx| async move {
            tx.execute("INSERT INTO parents (id, code) VALUES ($1, 'a')", &params![there]).await
        };
        store.tx::<_, StoreError, _, _>(&ctx(), add).await.unwrap();
        let by_id = ById::new("SELECT id, code FROM parents WHERE id", " AND code <> 'b'");
        let found = store.read(&ctx()).row_by_id(&by_id, there).await.unwrap();
        assert_eq!(found, Some((there, "a".to_owned())));
        assert_eq!(store.read(&ctx()).row_by_id::<(Uuid, String)>(&by_id, absent).await.unwrap(), None);
        let within = by_id.clone();
        let read = move |tx: store::Tx| {
            let by_id = within.clone();
            async move { tx.row::<(Uuid, String)>(by_id.one(), &params![there]).await }
        };
        let found = store.tx::<_, StoreError, _, _>(&ctx(), read).await.unwrap();
        assert_eq!(found, Some((there, "a".to_owned())));
    }

    async fn rows_by_key_are_as_many_as_keys_at_most(db: TestDatabase) {
        let store = open(&db).await;
        set(&store, "key 0", 0).await.unwrap();
        set(&store, "key 1", 1).await.unwrap();
        // Fewer than are looked up at once, and more.
        for many in [3, 200] {
            let keys: Vec<Value> = (0..many).map(|n| format!("key {n}").into()).collect();
            let select = format!("SELECT name, value FROM counters WHERE name IN ({})", placeholders(1, keys.len()));
            let mut rows: Vec<(String, i64)> = store.read(&ctx()).rows_by_key(&select, &keys).await.unwrap();
            rows.sort();
            assert_eq!(rows, [("key 0".into(), 0), ("key 1".into(), 1)], "of {many}");
            let within = select.clone();
            let rows: Vec<(String, i64)> = store
                .tx::<_, StoreError, _, _>(&ctx(), move |tx| {
                    let (select, keys) = (within.clone(), keys.clone());
                    async move { tx.rows_by_key(&select, &keys).await }
                })
                .await
                .unwrap();
            assert_eq!(rows.len(), 2);
        }
        let select = "SELECT name FROM counters WHERE value >= $1";
        let read = store.read(&ctx()).rows_by_key::<(String,)>(select, &params![0]).await;
        assert!(matches!(read, Err(StoreError::Internal { .. })), "two rows for one key: {read:?}");
        let none: Vec<(String,)> = store.read(&ctx()).rows_by_key("SELECT name FROM counters WHERE false", &[]).await.unwrap();
        assert_eq!(none, []);
    }

    async fn too_many_rows_are_an_error_and_not_a_memory(db: TestDatabase) {
        let store = open(&db).await;
        let many = FOR_EVER.replace("SELECT count(*) FROM n", "SELECT i FROM n");
        let read = store.read(&ctx()).rows::<(i64,)>(&many, &params![]).await;
        assert!(matches!(read, Err(StoreError::Internal { .. })), "{read:?}");
        assert_eq!(count(&store).await, 0);
    }

    async fn a_read_changes_nothing(db: TestDatabase) {
        let store = open(&db).await;
        set(&store, "a", 1).await.unwrap();
        for change in [
            "DELETE FROM counters RETURNING name",
            "INSERT INTO counters (name, value) VALUES ('b', 1) RETURNING name",
            "UPDATE counters SET value = 2 RETURNING name",
        ] {
            let read = store.read(&ctx()).rows::<(String,)>(change, &params![]).await;
            assert!(matches!(read, Err(StoreError::Internal { .. })), "{change}: {read:?}");
            let read = store.read(&ctx()).row::<(String,)>(change, &params![]).await;
            assert!(matches!(read, Err(StoreError::Internal { .. })), "{change}: {read:?}");
        }
        assert_eq!(get(&store, "a").await, Some(1));
        assert_eq!(count(&store).await, 1);
    }

    async fn bad_sql_is_a_fault_of_ours(db: TestDatabase) {
        let store = open(&db).await;
        for sql in [
            "SELECT nothing FROM counters",
            "SELECT * FROM nowhere",
            "SELEC 1",
            "SELECT 1; SELECT 2",
            "SELECT \"a string\" FROM counters",
            "COMMIT",
            "",
        ] {
            let read = store.read(&ctx()).row::<(i64,)>(sql, &params![]).await;
            assert!(matches!(read, Err(StoreError::Internal { .. })), "{sql}: {read:?}");
        }
        assert_eq!(count(&store).await, 0);
    }

    /// Each operation's acknowledged writes are seen by the next read, whichever connection it takes.
    async fn what_was_acknowledged_is_read(db: TestDatabase) {
        let store = open(&db).await;
        let tasks: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"]
            .into_iter()
            .map(|name| {
                let store = store.clone();
                tokio::spawn(async move {
                    for value in 0..50 {
                        set(&store, name, value).await.unwrap();
                        assert_eq!(get(&store, name).await, Some(value));
                        let all = "SELECT value FROM counters WHERE name = $1";
                        let rows: Vec<(i64,)> = store.read(&ctx()).rows(all, &params![name]).await.unwrap();
                        assert_eq!(rows, [(value,)]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}
