//! The file of an SQLite database taken away or replaced while the store has it open.

use std::path::{Path, PathBuf};

use store::StoreError;
use testkit::{Backend, TestDatabase};

use crate::{ctx, get, open, set};

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

async fn is_refused(store: &store::Store, name: &'static str) {
    let written = set(store, name, 2).await;
    assert!(matches!(written, Err(StoreError::Unavailable { .. })), "{written:?}");
    let ready = store.ping(&ctx()).await;
    assert!(matches!(ready, Err(StoreError::Unavailable { .. })), "{ready:?}");
}

#[test]
fn nothing_is_acknowledged_into_a_file_that_nobody_will_find() {
    testkit::run(async {
        for taken in ["", "-wal", "-shm"] {
            let db = TestDatabase::fresh(Backend::Sqlite).await;
            let store = open(&db).await;
            set(&store, "before", 1).await.unwrap();
            let file = beside(&db.file().unwrap(), taken);
            let away = beside(&db.file().unwrap(), ".away");
            std::fs::rename(&file, &away).unwrap();
            is_refused(&store, "taken").await;
            // Another file in its place is no better, were it a copy.
            std::fs::copy(&away, &file).unwrap();
            is_refused(&store, "replaced").await;
            // The very same is.
            std::fs::rename(&away, &file).unwrap();
            set(&store, "after", 1).await.unwrap();
            store.ping(&ctx()).await.unwrap();
            store.close().await;
            let again = open(&db).await;
            for (name, value) in [("before", Some(1)), ("taken", None), ("replaced", None), ("after", Some(1))] {
                assert_eq!(get(&again, name).await, value, "{taken:?}: {name}");
            }
            again.close().await;
        }
    });
}

#[test]
fn a_link_is_followed_as_long_as_it_leads_to_the_same_file() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let (file, link) = (db.file().unwrap(), beside(&db.file().unwrap(), ".link"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let settings = store::StoreSettings::at(store::StoreSettings::sqlite_url(link.to_str().unwrap()));
        let store = crate::open_with(&settings, store::EventHandlers::new()).await;
        set(&store, "by the link", 1).await.unwrap();
        store.ping(&ctx()).await.unwrap();
        assert_eq!(get(&store, "by the link").await, Some(1));
        // The next process to open it would find another database.
        let other = beside(&file, ".other");
        std::fs::copy(&file, &other).unwrap();
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        is_refused(&store, "led elsewhere").await;
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        set(&store, "and back", 1).await.unwrap();
        store.close().await;
    });
}

#[test]
fn a_store_that_closes_leaves_what_was_put_in_its_place_alone() {
    testkit::run(async {
        let db = TestDatabase::fresh(Backend::Sqlite).await;
        let store = open(&db).await;
        set(&store, "before", 1).await.unwrap();
        let (file, log) = (db.file().unwrap(), beside(&db.file().unwrap(), "-wal"));
        for one in [&file, &log, &beside(&file, "-shm")] {
            std::fs::remove_file(one).unwrap();
        }
        std::fs::write(&file, "a backup").unwrap();
        std::fs::write(&log, "and its log").unwrap();
        is_refused(&store, "into nothing").await;
        store.close().await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a backup");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "and its log");
    });
}
