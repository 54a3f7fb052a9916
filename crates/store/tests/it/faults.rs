use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use store::{EventHandlers, OpenErrorKind, Reads as _, Store, StoreError, StoreSettings, params};
use testkit::{Backend, TestDatabase};

use crate::proxy::Proxy;
use crate::{count, ctx, ctx_for, get, open, open_with, set};

async fn refusal(settings: &StoreSettings, kind: OpenErrorKind, says: &[&str]) {
    let error = Store::open(settings, EventHandlers::new()).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    for part in says {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_missing_folder_is_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let path = db.file().unwrap().with_file_name("nowhere").join("x.db");
        let settings = StoreSettings::at(format!("sqlite://{}", path.display()));
        refusal(&settings, OpenErrorKind::NoFolder, &["mkdir -p", "nowhere"]).await;
        let folder = StoreSettings::at(format!("sqlite://{}", db.file().unwrap().parent().unwrap().display()));
        refusal(&folder, OpenErrorKind::Settings, &["is a folder"]).await;
    });
}

#[test]
fn a_file_that_is_no_database_is_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        std::fs::write(db.file().unwrap(), "This is a letter, and not a database.".repeat(100)).unwrap();
        refusal(&db.settings(), OpenErrorKind::NotADatabase, &["not an SQLite database"]).await;
    });
}

#[test]
fn a_damaged_database_is_told_when_it_is_opened() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        open(&db).await.close().await;
        let file = db.file().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        // The first page after its header: the list of the tables.
        bytes[100..4096].fill(0xee);
        std::fs::write(&file, bytes).unwrap();
        refusal(&db.settings(), OpenErrorKind::Corrupt, &["damaged", "backup"]).await;
    });
}

#[test]
fn a_database_that_is_damaged_later_is_told_so() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = open(&db).await;
        for i in 0..50 {
            let names: Vec<String> = (0..20).map(|n| format!("{i}-{n}-{}", "x".repeat(100))).collect();
            let work = move |tx: store::Tx| {
                let names = names.clone();
                async move {
                    for name in names {
                        tx.execute("INSERT INTO counters (name, value) VALUES ($1, 1)", &params![name]).await?;
                    }
                    Ok::<_, StoreError>(())
                }
            };
            store.tx(&ctx(), work).await.unwrap();
        }
        store.close().await;
        let file = db.file().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        let half = bytes.len() / 2;
        bytes[half..].fill(0xee);
        std::fs::write(&file, bytes).unwrap();
        let store = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
        let read = store.read(&ctx()).rows::<(String, i64)>("SELECT name, value FROM counters", &params![]).await;
        assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    });
}

#[test]
fn a_database_that_another_process_holds_is_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let outside = rusqlite::Connection::open(db.file().unwrap()).unwrap();
        outside.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE x (a)").unwrap();
        let settings = StoreSettings { wait_ms: 100, ..db.settings() };
        refusal(&settings, OpenErrorKind::Locked, &["another process"]).await;
    });
}

#[test]
fn a_lock_that_another_process_takes_is_waited_for_a_while() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = open_with(&StoreSettings { wait_ms: 200, ..db.settings() }, EventHandlers::new()).await;
        set(&store, "a", 1).await.unwrap();
        let outside = rusqlite::Connection::open(db.file().unwrap()).unwrap();
        outside.execute_batch("BEGIN IMMEDIATE").unwrap();
        let since = Instant::now();
        let error = set(&store, "a", 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Busy), "{error:?}");
        assert!(since.elapsed() >= Duration::from_millis(150));
        // Its own deadline comes first here.
        let late: Result<u64, StoreError> = store
            .tx(&ctx_for(Duration::from_millis(50)), |tx| async move {
                tx.execute("DELETE FROM counters", &params![]).await
            })
            .await;
        assert!(matches!(late, Err(StoreError::Timeout)), "{late:?}");
        // Readers do not care.
        assert_eq!(get(&store, "a").await, Some(1));
        outside.execute_batch("COMMIT").unwrap();
        set(&store, "a", 3).await.unwrap();
        assert_eq!(get(&store, "a").await, Some(3));
    });
}

/// Runs one test of this file again in a child process, in a mount namespace of its own that `prepare` has set up round
/// `$FOLDER`. Says whether this is the child; the parent has seen the child succeed when this returns.
fn is_inside_namespace(test: &str, folder: &std::path::Path, prepare: &str) -> bool {
    if inside().is_some() {
        return true;
    }
    let script = format!("set -e; {prepare}; exec \"$0\" --exact faults::{test} --nocapture");
    let child = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env("FOLDER", folder)
        .env(INSIDE, folder)
        .output()
        .expect("`unshare` (util-linux) is there");
    let told = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && told.contains("1 passed"), "{told}");
    false
}

const INSIDE: &str = "MAINSTAY_TEST_NAMESPACE";

#[expect(clippy::disallowed_methods, reason = "how a test tells its own child process where it is")]
fn inside() -> Option<std::path::PathBuf> {
    std::env::var_os(INSIDE).map(Into::into)
}

fn settings_in(folder: &std::path::Path) -> StoreSettings {
    StoreSettings::at(format!("sqlite://{}", folder.join("test.db").display()))
}

/// A folder of this test's own, for the namespace.
async fn folder(db: &TestDatabase) -> std::path::PathBuf {
    inside().unwrap_or_else(|| db.file().unwrap().parent().unwrap().to_owned())
}

/// The disk is full for a large transaction; the small ones that shared its group are kept.
#[test]
fn a_full_disk_fails_those_it_must() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let folder = folder(&db).await;
        if !is_inside_namespace(
            "a_full_disk_fails_those_it_must",
            &folder,
            "mount -t tmpfs -o size=6m tmpfs \"$FOLDER\"",
        ) {
            return;
        }
        let store = open_with(&settings_in(&folder), EventHandlers::new()).await;
        let tasks: Vec<_> = (0..60i64)
            .map(|i| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .tx(&ctx(), move |tx| async move {
                            let name = if i % 10 == 5 { format!("{i}").repeat(5 << 20) } else { format!("{i}") };
                            tx.execute("INSERT INTO counters (name, value) VALUES ($1, 1)", &params![name]).await
                        })
                        .await
                })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            let outcome = task.await.unwrap();
            if i % 10 == 5 {
                assert!(matches!(outcome, Err(StoreError::Full)), "{i}: {outcome:?}");
            } else {
                assert!(outcome.is_ok(), "{i}: {outcome:?}");
            }
        }
        assert_eq!(count(&store).await, 54);
        store.close().await;
    });
}

#[test]
fn a_file_that_may_not_be_written_is_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let folder = folder(&db).await;
        if inside().is_none() {
            open(&db).await.close().await;
        }
        let read_only = "mount --bind \"$FOLDER\" \"$FOLDER\"; mount -o remount,ro,bind \"$FOLDER\"";
        if is_inside_namespace("a_file_that_may_not_be_written_is_told", &folder, read_only) {
            refusal(&settings_in(&folder), OpenErrorKind::ReadOnly, &["may not be written"]).await;
        }
    });
}

/// As in a container that is read-only but for the data.
#[test]
fn a_large_change_needs_no_folder_for_temporary_files() {
    testkit::run(async {
        // Inside, none can be made.
        let db = match inside() {
            None => Some(TestDatabase::fresh(Backend::Sqlite).await),
            Some(_) => None,
        };
        let folder = inside().or(db.as_ref().and_then(|db| Some(db.file()?.parent()?.to_owned()))).unwrap();
        let read_only = "unset SQLITE_TMPDIR TMPDIR; for d in /tmp /var/tmp /usr/tmp; do
            if [ -d $d ]; then mount --bind $d $d; fi; done; mount --bind \"$FOLDER\" \"$FOLDER\"
            for d in /tmp /var/tmp /usr/tmp; do if [ -d $d ]; then mount -o remount,ro,bind $d; fi; done; cd /tmp";
        if !is_inside_namespace("a_large_change_needs_no_folder_for_temporary_files", &folder, read_only) {
            return;
        }
        let store = open_with(&settings_in(&folder), EventHandlers::new()).await;
        let rows = "INSERT INTO counters (name, value) WITH RECURSIVE n (i) AS
            (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT hex(zeroblob(500)) || i, i FROM n";
        for sql in [rows, "UPDATE counters SET name = name || 'x', value = value + 1"] {
            let changed: Result<u64, StoreError> =
                store.tx(&ctx(), move |tx| async move { tx.execute(sql, &params![]).await }).await;
            assert_eq!(changed.unwrap(), 3000);
        }
        store.close().await;
    });
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = open(&db).await;
        set(&store, "a", 1).await.unwrap();
        for entry in std::fs::read_dir(db.file().unwrap().parent().unwrap()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
        }
    });
}

#[test]
fn a_server_is_reached_through_its_socket() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let over_tcp = open(&db).await;
        let sql = "SELECT split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'),
            current_database()::text";
        let place: Vec<(String, String, String)> = over_tcp.read(&ctx()).rows(sql, &params![]).await.unwrap();
        let (folder, port, name) = &place[0];
        let url = format!("postgres:///{name}?host={}&port={port}&user=postgres", folder.replace('/', "%2F"));
        let store = open_with(&StoreSettings { pool_size: 1, ..StoreSettings::at(url) }, EventHandlers::new()).await;
        set(&store, "a", 1).await.unwrap();
        assert_eq!(get(&store, "a").await, Some(1));
        let nobody = "SELECT inet_client_addr() IS NULL";
        assert_eq!(store.read(&ctx()).row::<(bool,)>(nobody, &params![]).await.unwrap(), Some((true,)));
        // And called off through it.
        let late = ctx_for(Duration::from_millis(200));
        let scan = store.read(&late).rows::<(i64,)>(crate::FOR_EVER, &params![]).await;
        assert!(matches!(scan, Err(StoreError::Timeout)), "{scan:?}");
        set(&store, "a", 2).await.unwrap();
    });
}

#[test]
fn what_keeps_postgres_away_is_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let proxy = Proxy::before(&db).await;
        let nobody = StoreSettings::at("postgres://postgres@127.0.0.1:1/postgres");
        refusal(&nobody, OpenErrorKind::NoServer, &["127.0.0.1:1", "start it"]).await;
        let no_socket = StoreSettings::at("postgres:///x?host=/nowhere&user=postgres");
        refusal(&no_socket, OpenErrorKind::NoServer, &["/nowhere", "start it"]).await;
        let database = StoreSettings::at(proxy.url().replace("mainstay_test", "nothing"));
        refusal(&database, OpenErrorKind::NoDatabase, &["nothing_", "CREATE DATABASE"]).await;
        let user = StoreSettings::at(proxy.url().replace("postgres://postgres", "postgres://nobody_here:hunter2"));
        let error = Store::open(&user, EventHandlers::new()).await.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Refused, "{error:?}");
        assert!(error.to_string().contains("nobody_here") && !format!("{error:?}").contains("hunter2"), "{error:?}");
        let tls = StoreSettings::at(format!("{}?sslmode=yes", proxy.url()));
        refusal(&tls, OpenErrorKind::Settings, &["sslmode"]).await;
    });
}

#[test]
fn a_server_that_goes_and_comes_back_needs_no_restart() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let proxy = Proxy::before(&db).await;
        let store =
            open_with(&StoreSettings { pool_size: 4, ..StoreSettings::at(proxy.url()) }, EventHandlers::new()).await;
        set(&store, "a", 1).await.unwrap();
        for round in 2..5 {
            proxy.cut();
            let since = Instant::now();
            for _ in 0..20 {
                let error = set(&store, "a", 0).await.unwrap_err();
                assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
                let error = store.read(&ctx()).row::<(i64,)>("SELECT 1", &params![]).await.unwrap_err();
                assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
                assert!(store.ping(&ctx()).await.is_err());
            }
            assert!(since.elapsed() < Duration::from_secs(10));
            proxy.mend();
            set(&store, "a", round).await.unwrap();
            assert_eq!(get(&store, "a").await, Some(round));
            assert!(store.ping(&ctx()).await.is_ok());
        }
    });
}

/// The connections in the pool died while nobody used them: the first caller does not notice.
#[test]
fn connections_that_died_in_the_pool_are_replaced() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let proxy = Proxy::before(&db).await;
        let store =
            open_with(&StoreSettings { pool_size: 4, ..StoreSettings::at(proxy.url()) }, EventHandlers::new()).await;
        for i in 0..10 {
            proxy.cut();
            proxy.mend();
            set(&store, "a", i).await.unwrap();
            proxy.cut();
            proxy.mend();
            assert_eq!(get(&store, "a").await, Some(i));
            // The server's own way of ending a session.
            let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let outside = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
            outside.read(&ctx()).row::<(i64,)>(others, &params![]).await.unwrap();
            set(&store, "a", i).await.unwrap();
            outside.read(&ctx()).row::<(i64,)>(others, &params![]).await.unwrap();
            outside.close().await;
            let more = "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value".to_owned();
            let written = store.write_row::<(i64,)>(&ctx(), more, params!["a"].to_vec(), Vec::new()).await;
            assert_eq!(written.unwrap(), (i + 1,));
        }
    });
}

/// Sessions end at any moment, also between a statement and its commit, which are sent at once: what was acknowledged is
/// there, what was refused is not, and nothing is there twice.
#[test]
fn rows_that_are_written_while_sessions_end_are_there_or_not_as_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open_with(&StoreSettings { pool_size: 8, ..db.settings() }, EventHandlers::new()).await;
        let outside = Store::open(&db.settings(), EventHandlers::new()).await.unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let ending = tokio::spawn(async move {
            let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let mut ended = 0;
            while !over.load(Ordering::SeqCst) {
                let some = outside.read(&ctx()).row::<(i64,)>(others, &params![]).await;
                ended += some.ok().flatten().map_or(0, |(count,)| count);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            outside.close().await;
            ended
        });
        let writers: Vec<_> = (0..16)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut told = Vec::new();
                    for n in 0..100 {
                        let name = format!("{writer}-{n}");
                        let insert = "INSERT INTO counters (name, value) VALUES ($1, 1) RETURNING value".to_owned();
                        let params = params![name.as_str()].to_vec();
                        told.push((name, store.write_row::<(i64,)>(&ctx(), insert, params, Vec::new()).await));
                    }
                    told
                })
            })
            .collect();
        let mut told = Vec::new();
        for writer in writers {
            told.extend(writer.await.unwrap());
        }
        is_over.store(true, Ordering::SeqCst);
        assert!(ending.await.unwrap() > 0, "no session was ended");
        let acknowledged = told.iter().filter(|(_, result)| result.is_ok()).count();
        assert!(acknowledged > 800, "only {acknowledged} of 1600 were written");
        for (name, result) in told {
            let found = get(&store, &name).await;
            match result {
                Ok(_) => assert_eq!(found, Some(1), "{name} was acknowledged"),
                // Nobody knows, as is said.
                Err(StoreError::Unavailable { .. } | StoreError::Timeout) => {}
                // Most of all not that it is there already: it was sent once.
                Err(error) => panic!("{name}: {error:?}"),
            }
        }
    });
}

#[test]
fn a_server_that_says_nothing_is_waited_for_until_the_deadline() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let proxy = Proxy::before(&db).await;
        let store =
            open_with(&StoreSettings { pool_size: 2, ..StoreSettings::at(proxy.url()) }, EventHandlers::new()).await;
        proxy.cut();
        proxy.mend();
        proxy.silent.store(true, Ordering::SeqCst);
        let budget = Duration::from_millis(300);
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let since = Instant::now();
                    let read = store.read(&ctx_for(budget)).row::<(i64,)>("SELECT 1", &params![]).await;
                    assert!(read.is_err());
                    assert!(since.elapsed() < budget + Duration::from_secs(3));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        proxy.silent.store(false, Ordering::SeqCst);
        set(&store, "a", 1).await.unwrap();
    });
}

/// Cancelled statements and dropped callers take their connections with them only when they must.
#[test]
fn connections_are_kept_after_a_deadline() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let proxy = Proxy::before(&db).await;
        let store =
            open_with(&StoreSettings { pool_size: 2, ..StoreSettings::at(proxy.url()) }, EventHandlers::new()).await;
        for _ in 0..10 {
            let read =
                store.read(&ctx_for(Duration::from_millis(50))).rows::<(i64,)>(crate::FOR_EVER, &params![]).await;
            // Busy where the connections are still on their way back.
            assert!(matches!(read, Err(StoreError::Timeout | StoreError::Busy)), "{read:?}");
        }
        set(&store, "a", 1).await.unwrap();
        // Nothing the caller left behind is still running.
        let running = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()";
        let since = Instant::now();
        while store.read(&ctx()).row::<(i64,)>(running, &params![]).await.unwrap() != Some((0,)) {
            assert!(since.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Each cancellation is a connection of its own to the server.
        let made = proxy.made.load(Ordering::SeqCst);
        // Two more saw whether a pooler is in between.
        assert!(made <= 10 + 2 * 2 + 3 + 2, "{made} connections were made");
    });
}

#[test]
fn what_postgres_raises_is_told() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Postgres).await;
        let store = open(&db).await;
        let raise = store::Migrations {
            domain: "raise",
            steps: &[(
                "0001_raise",
                "-- postgres:
CREATE FUNCTION raise(code text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = code; END $$;
-- end",
            )],
        };
        store.migrate(&[raise], ctx().clock()).await.unwrap();
        let told = |code: &'static str| {
            let store = store.clone();
            async move {
                let work =
                    move |tx: store::Tx| async move { tx.row::<(i64,)>("SELECT raise($1)", &params![code]).await };
                let error: StoreError = store.tx(&ctx(), work).await.unwrap_err();
                kernel::ApiError::name(&error)
            }
        };
        for (code, name) in [
            ("53100", "storage_full"),
            ("53200", "store_unavailable"),
            ("53300", "store_unavailable"),
            ("57014", "store_timeout"),
            ("57P01", "store_unavailable"),
            ("08006", "store_unavailable"),
            ("58030", "store_unavailable"),
            ("25006", "store_read_only"),
            ("55P03", "store_busy"),
            ("XX001", "store_corrupt"),
            ("22012", "internal"),
            ("P0001", "internal"),
            // Run again until it gives up.
            ("40001", "store_busy"),
            ("40P01", "store_busy"),
        ] {
            assert_eq!(told(code).await, name, "{code}");
        }
        set(&store, "a", 1).await.unwrap();
    });
}
