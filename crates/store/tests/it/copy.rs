//! From a file to a server.

use kernel::{Clock, Secret};
use store::{
    Copied, CopyError, CopyProgress, CopyStage, EventHandlers, MigrateError, Migrations, OpenErrorKind, Reads as _,
    Store, StoreError, StoreSettings, Value, copy, params,
};
use testkit::{Backend, TestDatabase};

use crate::ctx;

/// Every type, keys between tables in both directions, and more rows than are carried over at once.
const GOODS: Migrations = Migrations {
    domain: "goods",
    steps: &[(
        "0001_goods",
        "CREATE TABLE shelves (id id PRIMARY KEY, name text NOT NULL UNIQUE, best_id id);
        CREATE TABLE goods (
            id id PRIMARY KEY,
            shelf_id id REFERENCES shelves (id),
            like_id id REFERENCES goods (id),
            at time NOT NULL,
            is_new bool NOT NULL,
            count int NOT NULL,
            price decimal,
            name text NOT NULL,
            data json,
            picture blob
        );
        CREATE INDEX goods_name ON goods (name);
        CREATE TABLE pairs (a text NOT NULL, b int NOT NULL, PRIMARY KEY (a, b));
        CREATE TABLE empties (id id PRIMARY KEY);",
    )],
};

const COUNT: i64 = 12_000;
/// Shelves and pairs besides.
const ALL: u64 = COUNT as u64 + 20;

async fn open(settings: &StoreSettings) -> Store {
    let store = Store::open(settings, EventHandlers::new()).await.unwrap();
    store.migrate(&[GOODS], &Clock::system()).await.unwrap();
    store
}

/// A file with rows of every kind in it.
async fn filled() -> TestDatabase {
    let db = TestDatabase::fresh(Backend::Sqlite).await;
    let store = open(&db.settings()).await;
    let fill = move |tx: store::Tx| async move {
        let ctx = tx.ctx().clone();
        let shelves: Vec<kernel::UserId> = (0..10).map(|_| ctx.new_id()).collect();
        for (n, shelf) in shelves.iter().enumerate() {
            let name = format!("shelf {n}");
            tx.execute("INSERT INTO shelves (id, name) VALUES ($1, $2)", &params![*shelf, name]).await?;
            tx.execute("INSERT INTO pairs (a, b) VALUES ($1, $2)", &params![format!("가{n}"), n as i64]).await?;
        }
        let ids: Vec<kernel::UserId> = (0..COUNT).map(|_| ctx.new_id()).collect();
        for n in 0..COUNT {
            let at = usize::try_from(n).unwrap();
            let shelf = Some(shelves[at % 10]).filter(|_| n % 7 != 0);
            // The next row first, so that it is changed below to a key that comes later.
            let data = match n % 4 {
                0 => Value::Null,
                1 => Value::Json(serde_json::json!({ "n": n, "x": [1e2, 1.5, -0.0, 1e300, 1e19], "t": "é\u{1f600}" })),
                2 => Value::Json(serde_json::json!(null)),
                _ => Value::Json(serde_json::json!([n, { "b": true, "a": "\\\"" }])),
            };
            tx.execute(
                "INSERT INTO goods (id, shelf_id, at, is_new, count, price, name, data, picture)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                &params![
                    ids[at],
                    shelf,
                    kernel::Time::from_micros(n * 1_000_003 - 5_000_000_000),
                    n % 2 == 0,
                    n * 1_000_000_007 - 4,
                    Some(n).filter(|n| n % 3 == 0),
                    format!("name {n}\t\"'\\한"),
                    data,
                    Value::Blob(vec![u8::try_from(n % 256).unwrap(); at % 40])
                ],
            )
            .await?;
        }
        for at in 0..COUNT as usize - 1 {
            let like = "UPDATE goods SET like_id = $2 WHERE id = $1";
            tx.execute(like, &params![ids[at], ids[at + 1]]).await?;
        }
        Ok::<_, StoreError>(())
    };
    store.tx(&ctx(), fill).await.unwrap();
    store.close().await;
    db
}

async fn run(
    from: &TestDatabase,
    to: &TestDatabase,
    mut told: impl FnMut(CopyProgress<'_>) + Send,
) -> Result<Copied, CopyError> {
    copy(&from.settings(), &to.settings(), &[GOODS], &Clock::system(), &mut told).await
}

type Good = (kernel::UserId, Option<kernel::UserId>, Option<kernel::UserId>, kernel::Time, bool, i64);

/// What a store has, in one text.
async fn everything(store: &Store) -> String {
    let read = ctx();
    let read = store.read(&read);
    let first: Vec<Good> =
        read.rows("SELECT id, shelf_id, like_id, at, is_new, count FROM goods ORDER BY id", &params![]).await.unwrap();
    type Rest = (Option<i64>, String, Option<kernel::Json>, Option<kernel::Blob>);
    let rest: Vec<Rest> =
        read.rows("SELECT price, name, data, picture FROM goods ORDER BY id", &params![]).await.unwrap();
    let shelves: Vec<(kernel::UserId, String)> =
        read.rows("SELECT id, name FROM shelves ORDER BY id", &params![]).await.unwrap();
    let pairs: Vec<(String, i64)> = read.rows("SELECT a, b FROM pairs ORDER BY a, b", &params![]).await.unwrap();
    format!("{first:?} {rest:?} {shelves:?} {pairs:?}")
}

#[test]
fn every_row_is_carried_over_and_the_keys_hold_again() {
    testkit::run(async {
        let (from, to) = (filled().await, TestDatabase::fresh(Backend::Postgres).await);
        let file = from.file().unwrap();
        let mut told = Vec::new();
        let copied = run(&from, &to, |progress| {
            if told.is_empty() {
                // Nobody else writes meanwhile.
                let other = rusqlite::Connection::open(&file).unwrap();
                other.busy_timeout(std::time::Duration::ZERO).unwrap();
                assert!(other.execute_batch("BEGIN IMMEDIATE").is_err());
            }
            told.push((progress.table.to_owned(), progress.stage, progress.rows, progress.of));
        })
        .await
        .unwrap();
        assert_eq!(copied, Copied { tables: 4, rows: ALL, is_resumed: false });
        let of_goods = told.iter().filter(|(table, ..)| table == "goods").map(|(_, stage, rows, _)| (*stage, *rows));
        let of_goods: Vec<_> = of_goods.collect();
        let (copied, verified) = (CopyStage::Copied, CopyStage::Verified);
        assert_eq!(of_goods, [(copied, 5000), (copied, 10_000), (copied, 12_000), (verified, 12_000)]);

        let (file, server) = (open(&from.settings()).await, open(&to.settings()).await);
        assert_eq!(everything(&file).await, everything(&server).await);
        // Keys between tables, and within one.
        let nowhere: kernel::UserId = ctx().new_id();
        for sql in ["UPDATE goods SET shelf_id = $1", "UPDATE goods SET like_id = $1"] {
            let change = move |tx: store::Tx| async move { tx.execute(sql, &params![nowhere]).await };
            let refused = server.tx(&ctx(), change).await;
            assert!(matches!(refused, Err(StoreError::Violation(_))), "{sql}: {refused:?}");
        }
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'mainstay'";
        assert_eq!(server.read(&ctx()).row::<(i64,)>(tables, &params![]).await.unwrap(), Some((1,)));
        let again = run(&from, &to, |_| {}).await.unwrap_err();
        assert!(again.to_string().contains("has rows already"), "{again}");
    });
}

/// A copy that is dropped after its second batch of goods.
async fn stopped(from: &TestDatabase, to: &TestDatabase) {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut stop = Some(stop);
    let copying = run(from, to, |progress| {
        if progress.rows == 10_000 {
            let _ = stop.take().unwrap().send(());
        }
    });
    tokio::select! {
        biased;
        _ = stopped => {}
        ended = copying => panic!("it was not stopped: {ended:?}"),
    }
}

#[test]
fn a_copy_that_was_stopped_goes_on_and_nothing_starts_on_half_of_it() {
    testkit::run(async {
        let (from, to) = (filled().await, TestDatabase::fresh(Backend::Postgres).await);
        stopped(&from, &to).await;
        let store = Store::open(&to.settings(), EventHandlers::new()).await.unwrap();
        let refused = store.migrate(&[GOODS], &Clock::system()).await.unwrap_err();
        assert!(matches!(refused, MigrateError::HalfCopied) && refused.to_string().contains("db copy"), "{refused}");
        let mut first = None;
        let copied = loop {
            match run(&from, &to, |progress| {
                first.get_or_insert((progress.table.to_owned(), progress.rows));
            })
            .await
            {
                // The server has not noticed yet that the first is gone.
                Err(CopyError::Refused(why)) if why.contains("another copy") => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                copied => break copied.unwrap(),
            }
        };
        assert_eq!(copied, Copied { tables: 4, rows: ALL, is_resumed: true });
        assert_eq!(first, Some(("goods".to_owned(), COUNT as u64)), "what was there was not copied again");
        assert_eq!(everything(&open(&from.settings()).await).await, everything(&open(&to.settings()).await).await);
    });
}

#[test]
fn a_file_that_changes_between_two_runs_is_noticed() {
    testkit::run(async {
        let (from, to) = (filled().await, TestDatabase::fresh(Backend::Postgres).await);
        stopped(&from, &to).await;
        let changed = rusqlite::Connection::open(from.file().unwrap()).unwrap();
        changed.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        changed.execute_batch("UPDATE goods SET count = count + 1 WHERE rowid = 17").unwrap();
        let ended = loop {
            match run(&from, &to, |_| {}).await {
                Err(CopyError::Refused(why)) if why.contains("another copy") => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                ended => break ended,
            }
        };
        let Err(CopyError::Differs { domain, table, from: 12_000, to: 12_000 }) = &ended else { panic!("{ended:?}") };
        assert_eq!((domain.as_str(), table.as_str()), ("goods", "goods"));
        let store = Store::open(&to.settings(), EventHandlers::new()).await.unwrap();
        assert!(matches!(store.migrate(&[GOODS], &Clock::system()).await, Err(MigrateError::HalfCopied)));
    });
}

#[test]
fn what_cannot_be_copied_is_refused_with_advice() {
    testkit::run(async {
        let to = TestDatabase::fresh(Backend::Postgres).await;
        let fresh = TestDatabase::fresh(Backend::Sqlite).await;
        let clock = Clock::system();
        let refusal = async |from: &StoreSettings, to: &StoreSettings, sets: &[Migrations]| {
            copy(from, to, sets, &clock, &mut |_| {}).await.unwrap_err()
        };
        let gone = StoreSettings::at("sqlite:///nowhere/x.db");
        let why = refusal(&gone, &to.settings(), &[GOODS]).await.to_string();
        assert!(why.contains("no file `/nowhere/x.db`"), "{why}");
        for (from, to) in [(to.settings(), fresh.settings()), (fresh.settings(), fresh.settings())] {
            let why = refusal(&from, &to, &[GOODS]).await.to_string();
            assert!(why.contains("from SQLite to PostgreSQL"), "{why}");
        }
        Store::open(&fresh.settings(), EventHandlers::new()).await.unwrap().close().await;
        let why = refusal(&fresh.settings(), &to.settings(), &[GOODS]).await.to_string();
        assert!(why.contains("0001_goods") && why.contains("migrate"), "{why}");
        open(&fresh.settings()).await.close().await;
        let nobody = StoreSettings { url: Secret::new("postgres://x@127.0.0.1:1/x".to_owned()), ..to.settings() };
        let CopyError::Open(why) = refusal(&fresh.settings(), &nobody, &[GOODS]).await else { panic!("it was opened") };
        assert_eq!(why.kind(), OpenErrorKind::NoServer);
        // A pooler would keep what the copy locks.
        let pooler = TestDatabase::fresh(Backend::Pooler).await;
        let through = StoreSettings { admin_url: Secret::new(String::new()), ..pooler.settings() };
        let why = refusal(&fresh.settings(), &through, &[GOODS]).await.to_string();
        assert!(why.contains("admin_url"), "{why}");
        run(&fresh, &pooler, |_| {}).await.unwrap();
        // A table of somebody else's.
        let other = rusqlite::Connection::open(fresh.file().unwrap()).unwrap();
        other.execute_batch("CREATE TABLE strangers (a TEXT)").unwrap();
        let why = refusal(&fresh.settings(), &to.settings(), &[GOODS]).await.to_string();
        assert!(why.contains("strangers.a"), "{why}");
    });
}
