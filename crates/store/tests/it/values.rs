use kernel::{Decimal, Json, Role, Time, UserId};
use serde_json::json;
use store::{EventHandlers, Migrations, Reads as _, Store, StoreError, Value, params, placeholders};
use testkit::{Backend, TestDatabase, everywhere};

use crate::ctx;

const KINDS: Migrations = Migrations {
    domain: "kinds",
    steps: &[(
        "0001_kinds",
        "CREATE TABLE kinds (
            n int PRIMARY KEY, id id, at time, yes bool, count int, name text, bytes blob, data json, price decimal
        )",
    )],
};

type Kinds = (
    Option<UserId>,
    Option<Time>,
    Option<bool>,
    Option<i64>,
    Option<String>,
    Option<Vec<u8>>,
    Option<Json>,
    Option<Decimal<2>>,
);

async fn kinds(db: &TestDatabase) -> Store {
    let store = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
    store.migrate(&[KINDS], ctx().clock()).await.unwrap();
    store
}

async fn there_and_back(store: &Store, n: i64, kinds: Kinds) {
    let given = kinds.clone();
    let insert = "INSERT INTO kinds (n, id, at, yes, count, name, bytes, data, price)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let work = move |tx: store::Tx| {
        let (id, at, yes, count, name, bytes, data, price) = given.clone();
        async move { tx.execute(insert, &params![n, id, at, yes, count, name, bytes, data, price]).await }
    };
    assert_eq!(store.tx(&ctx(), work).await.unwrap(), 1);
    let select = "SELECT id, at, yes, count, name, bytes, data, price FROM kinds WHERE n = $1";
    let found: Kinds = store.read(&ctx()).row(select, &params![n]).await.unwrap().unwrap();
    assert_eq!(found, kinds);
}

everywhere! {
    async fn every_type_comes_back_as_it_went(db: TestDatabase) {
        let store = kinds(&db).await;
        let id = ctx().new_id();
        let json = Json::new(json!({"나": [1, -2.5, null, true, "\u{1F600}"], "a": {"z": 1e300, "b": 1e16, "c": -0.0}}));
        there_and_back(&store, 1, (None, None, None, None, None, None, None, None)).await;
        there_and_back(
            &store,
            2,
            (
                Some(id),
                Some(ctx().now()),
                Some(true),
                Some(42),
                Some("한국어 \u{1F600} it''s \"x\" \\ $1 ?".into()),
                Some(vec![0, 1, 255, b'\'']),
                Some(json),
                Some("12.34".parse().unwrap()),
            ),
        )
        .await;
        there_and_back(
            &store,
            3,
            (
                Some(UserId::from_uuid(uuid::Uuid::nil())),
                Some(Time::MIN),
                Some(false),
                Some(i64::MIN),
                Some(String::new()),
                Some(vec![]),
                Some(Json::new(json!(null))),
                Some(Decimal::from_minor(i64::MIN)),
            ),
        )
        .await;
        there_and_back(
            &store,
            4,
            (
                Some(UserId::from_uuid(uuid::Uuid::max())),
                Some(Time::MAX),
                Some(false),
                Some(i64::MAX),
                Some("가".repeat(100_000)),
                Some(vec![7; 300_000]),
                Some(Json::new(json!("text"))),
                Some(Decimal::from_minor(i64::MAX)),
            ),
        )
        .await;
    }

    async fn times_keep_microseconds_and_their_order(db: TestDatabase) {
        let store = kinds(&db).await;
        let times = [Time::MIN, Time::from_micros(-1), Time::from_micros(0), Time::from_micros(1), Time::MAX];
        for (n, time) in (1i64..).zip(times) {
            there_and_back(&store, n, (None, Some(time), None, None, None, None, None, None)).await;
        }
        let found: Vec<(Time,)> =
            store.read(&ctx()).rows("SELECT at FROM kinds WHERE at <= $1 ORDER BY at", &params![Time::MAX]).await.unwrap();
        assert_eq!(found.into_iter().map(|(time,)| time).collect::<Vec<_>>(), times);
    }

    /// Bytewise, on both: `COLLATE "C"`.
    async fn text_sorts_by_its_bytes(db: TestDatabase) {
        let store = kinds(&db).await;
        let names = ["", "A", "Z", "_", "a", "b", "é", "가", "나"];
        for (n, name) in (1i64..).zip(names.iter().rev()) {
            there_and_back(&store, n, (None, None, None, None, Some((*name).into()), None, None, None)).await;
        }
        let found: Vec<(String,)> =
            store.read(&ctx()).rows("SELECT name FROM kinds ORDER BY name", &params![]).await.unwrap();
        assert_eq!(found.into_iter().map(|(name,)| name).collect::<Vec<_>>(), names);
    }

    /// As PostgreSQL does; SQLite alone would fold ASCII.
    async fn like_heeds_case(db: TestDatabase) {
        let store = kinds(&db).await;
        there_and_back(&store, 1, (None, None, None, None, Some("Ada".into()), None, None, None)).await;
        let read = |pattern: &'static str| {
            let store = store.clone();
            async move {
                let like = "SELECT n FROM kinds WHERE name LIKE $1";
                store.read(&ctx()).row::<(i64,)>(like, &params![pattern]).await.unwrap().is_some()
            }
        };
        assert!(read("A%").await);
        assert!(!read("a%").await);
    }

    async fn parameters_are_bound_by_their_number(db: TestDatabase) {
        let store = kinds(&db).await;
        let insert = "INSERT INTO kinds (count, name, n) VALUES ($3, $2, $1)";
        let done = store.tx(&ctx(), move |tx| async move { tx.execute(insert, &params![1, "two", 3]).await }).await;
        assert_eq!(done.unwrap(), 1);
        let select = "SELECT n, name, count FROM kinds WHERE $2 = name AND n = $1 AND $1 < count";
        let row: Option<(i64, String, u32)> = store.read(&ctx()).row(select, &params![1, "two"]).await.unwrap();
        assert_eq!(row, Some((1, "two".into(), 3)));
        for (select, params) in [
            ("SELECT n FROM kinds WHERE n = $1", &params![] as &[Value]),
            ("SELECT n FROM kinds WHERE n = $1", &params![1, 2]),
            ("SELECT n FROM kinds WHERE n = $2", &params![1, 2]),
            ("SELECT n FROM kinds WHERE n = $2", &params![1]),
        ] {
            assert!(store.read(&ctx()).row::<(i64,)>(select, params).await.is_err(), "{select} {params:?}");
        }
        let many: Vec<Value> = (0..50).map(Value::Int).collect();
        let select = format!("SELECT n FROM kinds WHERE n IN ({})", placeholders(1, many.len()));
        assert_eq!(store.read(&ctx()).rows::<(i64,)>(&select, &many).await.unwrap(), [(1,)]);
    }

    async fn sums_counts_and_averages_are_numbers(db: TestDatabase) {
        let store = kinds(&db).await;
        for n in 1..=4 {
            there_and_back(&store, n, (None, None, Some(n > 2), Some(n), None, None, None, None)).await;
        }
        let select = "SELECT count(*), sum(count), avg(count), max(count), count(*) FILTER (WHERE yes), sum(price) FROM kinds";
        let row = store.read(&ctx()).row::<(i64, i64, f64, i64, i64, Option<i64>)>(select, &params![]).await;
        assert_eq!(row.unwrap(), Some((4, 10, 2.5, 4, 2, None)));
        let having = "SELECT count(*) FROM kinds HAVING sum(count) > $1";
        assert_eq!(store.read(&ctx()).row(having, &params![9]).await.unwrap(), Some((4i64,)));
        assert_eq!(store.read(&ctx()).row::<(i64,)>(having, &params![10]).await.unwrap(), None);
    }

    async fn a_value_that_does_not_fit_is_an_error(db: TestDatabase) {
        let store = kinds(&db).await;
        there_and_back(&store, 1, (None, None, None, Some(-1), Some("x".into()), None, None, None)).await;
        let read = store.clone();
        let read = read.read(&ctx()).row::<(u32,)>("SELECT count FROM kinds", &params![]).await;
        assert!(matches!(read, Err(store::StoreError::Internal { .. })), "{read:?}");
        for select in ["SELECT name FROM kinds", "SELECT yes FROM kinds"] {
            assert!(store.read(&ctx()).row::<(i64,)>(select, &params![]).await.is_err(), "{select}");
        }
        assert!(store.read(&ctx()).row::<(String, String)>("SELECT name FROM kinds", &params![]).await.is_err());
        assert!(store.read(&ctx()).row::<(Role,)>("SELECT name FROM kinds", &params![]).await.is_err());
    }

    async fn the_nul_character_is_refused(db: TestDatabase) {
        let store = kinds(&db).await;
        for value in [Value::Text("a\0b".into()), Value::Json(json!({"a": ["\0"]})), Value::Json(json!({"\0": 1}))] {
            let column = if matches!(value, Value::Json(_)) { "data" } else { "name" };
            let insert = format!("INSERT INTO kinds (n, {column}) VALUES (1, $1)");
            let result = store
                .tx(&ctx(), move |tx| {
                    let (insert, value) = (insert.clone(), value.clone());
                    async move { tx.execute(&insert, &[value]).await }
                })
                .await;
            assert!(matches!(result, Err(store::StoreError::Internal { .. })), "{result:?}");
        }
    }

    /// What PostgreSQL's types refuse, the checks of SQLite's tables refuse.
    async fn a_column_takes_its_own_type_only(db: TestDatabase) {
        let store = kinds(&db).await;
        for (column, value) in [
            ("id", Value::Blob(vec![1, 2, 3])),
            ("id", Value::Text("x".into())),
            ("yes", Value::Int(2)),
            ("count", Value::Text("x".into())),
            ("name", Value::Int(1)),
            ("data", Value::Text("{".into())),
        ] {
            let insert = format!("INSERT INTO kinds (n, {column}) VALUES (1, $1)");
            let shown = format!("{column} {value:?}");
            let result = store
                .tx(&ctx(), move |tx| {
                    let (insert, value) = (insert.clone(), value.clone());
                    async move { tx.execute(&insert, &[value]).await }
                })
                .await;
            // SQLite turns the number into text where the column is text, and nothing is lost.
            if column != "name" || db.backend() == testkit::Backend::Postgres {
                assert!(matches!(result, Err(store::StoreError::Internal { .. })), "{shown}: {result:?}");
            }
        }
    }
}

/// What no program of ours has written: the log can say which row it was.
#[test]
fn a_row_that_cannot_be_read_is_named() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = crate::open(&db).await;
        let file = rusqlite::Connection::open(db.file().unwrap()).unwrap();
        file.execute_batch(
            "PRAGMA ignore_check_constraints = ON;
             INSERT INTO parents (id, code) VALUES (x'0190b5c0000070008000000000000001', CAST(x'ff' AS TEXT));
             INSERT INTO children (parent_id, name, age) VALUES (x'0190b5c0000070008000000000000001', 'x', -7);",
        )
        .unwrap();
        let told = |error: StoreError| std::error::Error::source(&error).unwrap().to_string();
        let error = store.read(&ctx()).rows::<(kernel::UserId, String)>("SELECT id, code FROM parents", &[]).await;
        let error = error.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "no program writes that: {error}");
        assert_eq!(store.trouble(), Some("store_corrupt"));
        let text = told(error);
        assert!(text.contains("`code`") && text.contains("0190b5c0-0000-7000-8000-000000000001"), "{text}");
        let error = store.read(&ctx()).rows::<(kernel::UserId, u32)>("SELECT parent_id, age FROM children", &[]).await;
        let error = error.unwrap_err();
        assert!(matches!(error, StoreError::Internal { .. }), "what a program might have done: {error}");
        let text = told(error);
        assert!(text.contains("`age`") && text.contains("0190b5c0-0000-7000-8000-000000000001"), "{text}");
    });
}
