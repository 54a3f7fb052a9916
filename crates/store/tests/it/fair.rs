//! What one caller takes from others: nothing that they would notice.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use kernel::{Clock, Ctx, Identity, Random};
use store::{Dialect, EventHandlers, Reads as _, Store, StoreError, StoreSettings, params};
use testkit::{TestDatabase, everywhere};
use tokio::sync::Notify;

use crate::{FOR_EVER, ctx, ctx_for, get, open_with};

const LONG: Duration = Duration::from_secs(30);

/// Somebody who has not signed in, at this address.
fn stranger(last: u8, budget: Duration) -> Ctx {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    let until = tokio::time::Instant::now() + budget;
    Ctx::new(Identity::Anonymous, "test".into(), until, Clock::system(), Random::os()).from(address)
}

async fn find(store: &Store, ctx: &Ctx, sql: &str) -> Result<i64, StoreError> {
    let rows: Vec<(i64,)> = store.read(ctx).rows(sql, &params![]).await?;
    Ok(rows[0].0)
}

/// Begins something, and says whether it waits.
async fn is_waiting<F: Future + Unpin>(work: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *work).poll(cx).is_pending())).await
}

const ONE: &str = "SELECT count(*) FROM counters";

fn set(name: &'static str) -> impl Fn(store::Tx) -> Pin<Box<dyn Future<Output = Result<u64, StoreError>> + Send>> {
    move |tx| {
        Box::pin(async move { tx.execute("INSERT INTO counters (name, value) VALUES ($1, 1)", &params![name]).await })
    }
}

everywhere! {
    /// However many scans one caller sends, a caller seen lately finds a reader or a connection.
    async fn scans_of_one_caller_leave_room_for_others(db: TestDatabase) {
        let settings = StoreSettings { readers: 2, pool_size: 2, scan_ms: 60_000, ..db.settings() };
        let store = open_with(&settings, EventHandlers::new()).await;
        find(&store, &stranger(2, LONG), ONE).await.unwrap();
        let scans: Vec<_> = (0..20)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { find(&store, &stranger(1, LONG), FOR_EVER).await })
            })
            .collect();
        tokio::task::yield_now().await;
        for caller in [2, 3, 4] {
            for _ in 0..10 {
                assert_eq!(find(&store, &stranger(caller, LONG), ONE).await.unwrap(), 0);
            }
            // Writes too.
            let name = ["", "", "two", "three", "four"][usize::from(caller)];
            store.tx(&stranger(caller, LONG), set(name)).await.unwrap();
            store.tx::<_, StoreError, _, _>(&ctx(), |tx| async move { tx.execute("DELETE FROM counters", &params![]).await }).await.unwrap();
        }
        assert!(scans.iter().all(|scan| !scan.is_finished()), "all the while");
        for scan in scans {
            scan.abort();
        }
    }

    /// A scan has its own time, which is less than the operation's; what the program itself asks has not.
    async fn a_scan_ends_when_its_own_time_is_up(db: TestDatabase) {
        let store = open_with(&StoreSettings { scan_ms: 50, ..db.settings() }, EventHandlers::new()).await;
        // More of them than there are connections or readers: each has come back.
        for _ in 0..10 {
            let scan = find(&store, &stranger(1, LONG), FOR_EVER).await;
            assert!(matches!(scan, Err(StoreError::ScanTimeout)), "{scan:?}");
        }
        let scan = find(&store, &stranger(1, Duration::from_millis(10)), FOR_EVER).await;
        assert!(matches!(scan, Err(StoreError::Timeout)), "its deadline came first: {scan:?}");
        let since = Instant::now();
        let own = find(&store, &ctx_for(Duration::from_millis(300)), FOR_EVER).await;
        assert!(matches!(own, Err(StoreError::Timeout)) && since.elapsed() >= Duration::from_millis(300), "{own:?}");
        assert_eq!(find(&store, &stranger(1, LONG), ONE).await.unwrap(), 0);
    }

    /// The caller that fills the queue is refused for it, not the newcomer. The newcomer is served next.
    async fn a_full_queue_is_full_for_those_who_filled_it(db: TestDatabase) {
        let settings = StoreSettings { pool_size: 1, queue: 4, wait_ms: 60_000, ..db.settings() };
        let store = open_with(&settings, EventHandlers::new()).await;
        let begun = Arc::new(Notify::new());
        let blocker = {
            let (store, begun) = (store.clone(), begun.clone());
            tokio::spawn(async move {
                let work = move |tx: store::Tx| {
                    let begun = begun.clone();
                    async move {
                        begun.notify_one();
                        tx.row::<(i64,)>(FOR_EVER, &params![]).await
                    }
                };
                store.tx::<_, StoreError, _, _>(&ctx(), work).await
            })
        };
        begun.notified().await;
        let first: Vec<Ctx> = (0..5).map(|_| stranger(1, LONG)).collect();
        let mut waiting = Vec::new();
        for (ctx, name) in first.iter().zip(["a", "b", "c", "d"]) {
            let mut write = Box::pin(store.tx(ctx, set(name)));
            assert!(is_waiting(&mut write).await, "{name}");
            waiting.push(write);
        }
        let refused: Result<u64, StoreError> = store.tx(&first[4], set("e")).await;
        assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
        let other = stranger(2, LONG);
        let mut newcomer = Box::pin(store.tx(&other, set("z")));
        assert!(is_waiting(&mut newcomer).await, "it has a place");
        let last = waiting.pop().unwrap().await;
        assert!(matches!(last, Err(StoreError::Busy)), "which was the last of the longest line: {last:?}");
        // Whose caller is gone is ended.
        blocker.abort();
        // All at once: the next caller has a connection only while it is polled.
        let (newcomer, others) = tokio::join!(newcomer, futures_util::future::join_all(waiting));
        newcomer.unwrap();
        assert!(others.into_iter().all(|write| write.is_ok()));
        assert_eq!((get(&store, "z").await, get(&store, "c").await, get(&store, "d").await), (Some(1), Some(1), None));
    }

    async fn a_page_ends_at_its_bytes(db: TestDatabase) {
        let settings = StoreSettings { scan_ms: 60_000, ..db.settings() };
        let store = open_with(&settings, EventHandlers::new()).await;
        store
            .tx::<_, StoreError, _, _>(&ctx(), |tx| async move {
                for n in 0..20_i64 {
                    let name = format!("{n:02}{}", "가".repeat(1000));
                    tx.execute("INSERT INTO counters (name, value) VALUES ($1, $2)", &params![name, n]).await?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let all = "SELECT name, value FROM counters ORDER BY name";
        for (bytes, count) in [(1, 1), (3_000, 1), (10_000, 3), (59_000, 19), (70_000, 20)] {
            for ctx in [ctx(), stranger(1, LONG)] {
                let read = store.read(&ctx).page::<(String, i64)>(all, &params![], bytes).await.unwrap();
                assert_eq!((read.0.len(), read.1), (count, count < 20), "{bytes}");
                assert!(read.0.iter().enumerate().all(|(at, row)| row.1 == at as i64));
            }
        }
        assert_eq!(find(&store, &ctx(), ONE).await.unwrap(), 20, "what was not read harms nobody");
        let large = match store.dialect() {
            Dialect::Sqlite => "SELECT printf('%.*c', 20000000, 'x') FROM counters LIMIT 2",
            Dialect::Postgres => "SELECT repeat('x', 20000000) FROM counters LIMIT 2",
        };
        let read = store.read(&stranger(1, LONG)).rows::<(String,)>(large, &params![]).await;
        assert!(matches!(read, Err(StoreError::TooLarge)), "{:?}", read.map(|rows| rows.len()));
        assert_eq!(store.read(&ctx()).rows::<(String,)>(large, &params![]).await.unwrap().len(), 2);
    }
}

/// What the store needs it has from the beginning: connections of the server's may take all descriptors there are.
#[test]
fn reading_opens_no_files() {
    testkit::run(async {
        let db = TestDatabase::fresh(testkit::Backend::Sqlite).await;
        let store = open_with(&db.settings(), EventHandlers::new()).await;
        let file = db.file().unwrap();
        let open = || {
            let all = std::fs::read_dir("/proc/self/fd").unwrap();
            let paths = all.filter_map(|one| std::fs::read_link(one.unwrap().path()).ok());
            paths.filter(|path| path.to_string_lossy().starts_with(&*file.to_string_lossy())).count()
        };
        let before = open();
        assert!(before > 0);
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    assert_eq!(find(&store, &ctx(), ONE).await.unwrap(), 0);
                    assert_eq!(get(&store, "nobody").await, None, "{n}");
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(open(), before);
    });
}
