//! How fast the store is here: `cargo run --release -p mainstay-store --example throughput -- sqlite:///tmp/x/bench.db`,
//! or with a `postgres://` URL. Closed loop, callers in this process and so on the same cores; no HTTP. The database
//! should be new.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kernel::{Clock, Ctx, Random};
use store::{EventHandlers, Migrations, Reads as _, Store, StoreError, StoreSettings, params};

const BENCH: Migrations = Migrations {
    domain: "bench",
    steps: &[(
        "0001_bench",
        "CREATE TABLE accounts (n int PRIMARY KEY, name text NOT NULL, value int NOT NULL);
        CREATE TABLE entries (id id PRIMARY KEY, n int NOT NULL, at time NOT NULL);",
    )],
};

const ROWS: i64 = 10_000;
const SPAN: Duration = Duration::from_secs(3);

fn ctx() -> Ctx {
    Ctx::system("bench", Duration::from_secs(30), &Clock::system(), &Random::os())
}

async fn callers<F, Fut>(name: &str, count: u64, work: F)
where
    F: Fn(i64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), StoreError>> + Send,
{
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let since = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|caller| {
            let (stop, done, work) = (stop.clone(), done.clone(), work.clone());
            tokio::spawn(async move {
                let mut n = caller * 7919;
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let began = Instant::now();
                    if let Err(error) = work((n >> 33) as i64 % ROWS).await {
                        eprintln!("{error:?}");
                        return times;
                    }
                    times.push(began.elapsed());
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::task::coop::consume_budget().await;
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(SPAN).await;
    stop.store(true, Ordering::Relaxed);
    let rate = done.load(Ordering::Relaxed) as f64 / since.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap_or_default());
    }
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or_default();
    println!("{name}, {count} callers: {rate:.0}/s, p50 {:?}, p99 {:?}", at(500), at(990));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("give a URL: sqlite:///tmp/bench.db")?;
    let store = Store::open(&StoreSettings::at(url), EventHandlers::new()).await?;
    store.migrate(&[BENCH], &Clock::system()).await?;
    store
        .tx(&ctx(), |tx| async move {
            for n in 0..ROWS {
                let insert = "INSERT INTO accounts (n, name, value) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
                tx.execute(insert, &params![n, format!("account {n}")]).await?;
            }
            Ok::<_, StoreError>(())
        })
        .await?;
    for count in [64, 256] {
        let read = store.clone();
        callers("one row by its key", count, move |n| {
            let store = read.clone();
            async move {
                let select = "SELECT name, value FROM accounts WHERE n = $1";
                store.read(&ctx()).row::<(String, i64)>(select, &params![n]).await.map(drop)
            }
        })
        .await;
        let read = store.clone();
        callers("twenty rows", count, move |n| {
            let store = read.clone();
            async move {
                let select = "SELECT name, value FROM accounts WHERE n >= $1 ORDER BY n LIMIT 20";
                store.read(&ctx()).rows::<(String, i64)>(select, &params![n]).await.map(drop)
            }
        })
        .await;
        let write = store.clone();
        callers("a select, an update and an insert", count, move |n| {
            let store = write.clone();
            async move {
                let ctx = ctx();
                let work = move |tx: store::Tx| async move {
                    let select = "SELECT value FROM accounts WHERE n = $1";
                    let value = tx.row::<(i64,)>(select, &params![n]).await?.map_or(0, |(value,)| value);
                    tx.execute("UPDATE accounts SET value = $1 WHERE n = $2", &params![value + 1, n]).await?;
                    let id: kernel::UserId = tx.ctx().new_id();
                    let insert = "INSERT INTO entries (id, n, at) VALUES ($1, $2, $3)";
                    tx.execute(insert, &params![id, n, tx.ctx().now()]).await.map(drop)
                };
                store.tx(&ctx, work).await
            }
        })
        .await;
    }
    store.close().await;
    Ok(())
}
