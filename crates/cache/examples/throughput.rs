//! What one operation costs: `cargo run --release -p mainstay-cache --all-features --example throughput [redis://…]`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::{Backend, Bus, Cache, CacheConfig, CacheSettings, Cached, Key, KeySpace, Target, Unanswered};
use kernel::{Clock, Ctx, Random, Secret};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const KEYS: u64 = 1000;

fn ctx() -> Ctx {
    Ctx::system("throughput", Duration::from_secs(600), &Clock::system(), &Random::os())
}

fn key(n: u64) -> Key {
    Key::of("post").id(format_args!("pst_01h455vb4pex5vsknk084sn{n:03}")).field("view")
}

async fn ask(posts: &Cached<String>, ctx: &Ctx, key: &Key) -> Fallible<Option<Arc<String>>> {
    let load = || async { Ok::<_, Unanswered>(Some("a post of some length, as they are".repeat(10))) };
    Ok(posts.get(ctx, key, load).await?)
}

fn tell(what: &str, count: u64, took: Duration) {
    println!("{what:<44} {:>10.0} ns", took.as_nanos() as f64 / count as f64);
}

/// Hits on this many threads, on keys of their own or on one and the same.
fn hits(posts: &Cached<String>, threads: u64, is_one_key: bool) -> Fallible<()> {
    const COUNT: u64 = 3_000_000;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|thread| {
                let posts = posts.clone();
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                    runtime.block_on(async {
                        let ctx = ctx();
                        let keys: Vec<Key> = (0..KEYS).map(key).collect();
                        for n in 0..COUNT {
                            let at = if is_one_key { 0 } else { ((n + thread * 500) % KEYS) as usize };
                            let found = posts.get(&ctx, &keys[at], || async { Ok::<_, Unanswered>(None) }).await;
                            std::hint::black_box(found.is_ok());
                        }
                    });
                    Ok::<_, std::io::Error>(())
                })
            })
            .collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| std::io::Error::other("a thread panicked"))?)
    })?;
    let keys = if is_one_key { "one key" } else { "1000 keys" };
    tell(&format!("hit in memory, {threads} threads, {keys}"), COUNT, began.elapsed());
    Ok(())
}

async fn run(url: Option<String>) -> Fallible<()> {
    let settings = CacheSettings::default();
    let backend = Backend::memory();
    let cache = Cache::new(&settings, &backend, &Bus::new(&backend));
    let posts = cache.configure(CacheConfig::new("post").keep(Duration::from_secs(3600)))?;
    let ctx = ctx();

    let began = Instant::now();
    for n in 0..1_000_000 {
        std::hint::black_box(key(n % KEYS));
    }
    tell("a key", 1_000_000, began.elapsed());
    for n in 0..KEYS {
        ask(&posts, &ctx, &key(n)).await?;
    }
    for (threads, is_one_key) in [(1, false), (2, false), (1, true), (2, true)] {
        let posts = posts.clone();
        tokio::task::spawn_blocking(move || hits(&posts, threads, is_one_key).map_err(|error| error.to_string()))
            .await??;
    }

    let began = Instant::now();
    for n in 0..200_000 {
        ask(&posts, &ctx, &Key::of("post").id(n)).await?;
    }
    tell("miss and load", 200_000, began.elapsed());
    let until = ctx.deadline();
    let began = Instant::now();
    for n in 0..200_000 {
        cache.forget(vec![Target::Key(Key::of("post").id(n))], until).await;
    }
    tell("forget a key", 200_000, began.elapsed());
    let began = Instant::now();
    for _ in 0..200_000 {
        cache.forget(vec![Target::Under(Key::of("post"))], until).await;
    }
    tell("forget all under a key", 200_000, began.elapsed());

    let Some(url) = url else { return Ok(()) };
    let settings = CacheSettings { url: Secret::new(url), memory_bytes: 0, ..settings };
    let backend = Backend::open(&settings, &KeySpace::new("throughput")?, &Random::os()).await?;
    let cache = Cache::new(&settings, &backend, &Bus::new(&backend));
    let posts = cache.configure(CacheConfig::new("post").keep(Duration::from_secs(3600)))?;
    let keys: Vec<Key> = (0..KEYS).map(key).collect();
    for (what, rounds) in [("miss in Redis, load and fill", 1), ("hit in Redis", 10)] {
        let began = Instant::now();
        for key in keys.iter().cycle().take(keys.len() * rounds) {
            ask(&posts, &ctx, key).await?;
        }
        tell(what, (keys.len() * rounds) as u64, began.elapsed());
    }
    let began = Instant::now();
    for key in &keys {
        cache.forget(vec![Target::Key(key.clone())], until).await;
    }
    tell("forget a key in Redis", KEYS, began.elapsed());
    backend.close().await;
    Ok(())
}

fn main() -> ExitCode {
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(std::env::args().nth(1))));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
