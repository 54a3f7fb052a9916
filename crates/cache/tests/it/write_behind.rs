//! What is added up is written once, whatever happens to a writing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache::{NotAdded, WriteBehind};
use kernel::{Clock, Random};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::values::{MINUTE, until};

const SECOND: Duration = Duration::from_secs(1);

/// A database that may fail, or let one wait.
#[derive(Clone)]
struct Table {
    rows: Arc<Mutex<HashMap<u32, u64>>>,
    writes: Arc<AtomicU32>,
    to_fail: Arc<AtomicU32>,
    turns: Arc<Semaphore>,
}

impl Table {
    fn new() -> Self {
        Self {
            rows: Arc::default(),
            writes: Arc::default(),
            to_fail: Arc::default(),
            turns: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    fn counter(&self, every: Duration, most_keys: usize) -> WriteBehind<u32, u64> {
        let table = self.clone();
        let merge = |sum: &mut u64, more| *sum += more;
        let (clock, random) = (Clock::system(), Random::seeded(1));
        WriteBehind::start(every, most_keys, merge, &clock, &random, move |_, all| table.clone().write(all))
    }

    async fn write(self, all: Vec<(u32, u64)>) -> Result<(), &'static str> {
        self.turns.acquire().await.unwrap().forget();
        self.writes.fetch_add(1, Ordering::SeqCst);
        match self.to_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(left) if left % 2 == 0 => return Err("it is away"),
            Ok(_) => panic!("a fault in a writing"),
            Err(_) => {}
        }
        let mut rows = self.rows.lock().unwrap();
        all.into_iter().for_each(|(key, more)| *rows.entry(key).or_default() += more);
        Ok(())
    }

    fn sum(&self) -> u64 {
        self.rows.lock().unwrap().values().sum()
    }

    fn writes(&self) -> u32 {
        self.writes.load(Ordering::SeqCst)
    }
}

fn soon() -> Instant {
    Instant::now() + MINUTE
}

#[tokio::test(start_paused = true)]
async fn what_is_added_is_written_together_after_a_while() {
    let table = Table::new();
    let counter = table.counter(SECOND, 1000);
    for n in 0..300 {
        counter.add(n % 3, 1, soon()).await.unwrap();
    }
    assert_eq!(table.writes(), 0);
    until(|| table.sum() == 300).await;
    assert_eq!((table.writes(), table.rows.lock().unwrap().len()), (1, 3));
    // Where there is nothing, nothing is written.
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(table.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_writing_that_fails_or_panics_loses_nothing_and_doubles_nothing() {
    let table = Table::new();
    table.to_fail.store(6, Ordering::SeqCst);
    let counter = table.counter(SECOND, 1000);
    for n in 0..100 {
        counter.add(n % 7, 1, soon()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(97)).await;
    }
    until(|| table.sum() == 100).await;
    assert!(table.writes() > 6);
    assert_eq!(counter.close(soon()).await, 0);
    assert_eq!(table.sum(), 100);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_room_it_is_written_early_and_whoever_adds_waits_until_its_deadline() {
    let table = Table::new();
    table.turns.forget_permits(Semaphore::MAX_PERMITS);
    let counter = table.counter(3600 * SECOND, 4);
    for key in 0..4 {
        counter.add(key, 1, soon()).await.unwrap();
    }
    // All are being written, and count until they are.
    assert_eq!(counter.add(4, 1, Instant::now() + SECOND).await, Err(NotAdded::Full));
    let waiting = {
        let counter = counter.clone();
        tokio::spawn(async move { counter.add(4, 1, soon()).await })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    table.turns.add_permits(1000);
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert_eq!(counter.close(soon()).await, 0);
    assert_eq!(table.sum(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_written_at_the_end() {
    for is_closed in [true, false] {
        let table = Table::new();
        table.to_fail.store(1, Ordering::SeqCst);
        let counter = table.counter(3600 * SECOND, 1000);
        counter.add(1, 7, soon()).await.unwrap();
        if is_closed {
            assert_eq!(counter.close(soon()).await, 0);
            assert_eq!(counter.add(1, 1, soon()).await, Err(NotAdded::Closed));
            assert_eq!(counter.close(soon()).await, 0);
        } else {
            drop(counter);
            until(|| table.sum() > 0).await;
        }
        assert_eq!(table.sum(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_database_that_is_gone() {
    let table = Table::new();
    table.to_fail.store(u32::MAX, Ordering::SeqCst);
    let counter = table.counter(3600 * SECOND, 1000);
    counter.add(1, 7, soon()).await.unwrap();
    counter.add(2, 7, soon()).await.unwrap();
    assert_eq!(counter.close(soon()).await, 2);
    assert_eq!(table.writes(), 3);

    let table = Table::new();
    table.turns.forget_permits(Semaphore::MAX_PERMITS);
    let counter = table.counter(3600 * SECOND, 1000);
    counter.add(1, 7, soon()).await.unwrap();
    assert_eq!(counter.close(Instant::now() + SECOND).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_add_at_once_are_all_counted() {
    let table = Table::new();
    let counter = table.counter(Duration::from_millis(1), 50);
    let all: Vec<_> = (0..8)
        .map(|thread| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for n in 0..5000 {
                    counter.add((thread * 5000 + n) % 200, 1, soon()).await.unwrap();
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(counter.close(soon()).await, 0);
    assert_eq!(table.sum(), 40_000);
}
