//! Reading connections: the lanes, used by whichever thread asks, for one row by its key; and the reader threads, for
//! whatever may scan.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use kernel::thread;
use tokio::sync::mpsc;

use super::connection::Slot;
use crate::StoreError;

/// The slots of the lanes. Each thread has one it prefers, so that its lock is free and its statements are prepared.
#[derive(Debug)]
pub(crate) struct Lanes(Vec<Mutex<Slot>>);

impl Lanes {
    pub(crate) fn new(slots: Vec<Slot>) -> Self {
        Self(slots.into_iter().map(Mutex::new).collect())
    }

    /// A slot nobody uses now: this thread's own, or a neighbour's. The guard is never held across an await.
    pub(crate) fn take(&self) -> Option<MutexGuard<'_, Slot>> {
        let own = thread::number();
        (0..self.0.len()).find_map(|step| match self.0[(own + step) % self.0.len()].try_lock() {
            Ok(slot) => Some(slot),
            // A panic while reading a row leaves the connection as it was: the statement is reset on the way out.
            Err(TryLockError::Poisoned(slot)) => Some(slot.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// Closes every connection. A lane in use is waited for: that is one row by its key.
    pub(crate) fn clear(&self) {
        for slot in &self.0 {
            slot.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

/// How far the reader threads stand back, on the scale of `nice(2)`: a lane gets three times the share of one. Under more
/// load than the machine can bear, requests are then read, and answered or refused, while the scans take what is left.
const NICENESS: i32 = 5;

/// One read for a reader thread.
pub(crate) type Reading = Box<dyn FnOnce(&mut Slot) + Send>;

/// The reader threads and their queue. They end when this is dropped or shut.
#[derive(Debug)]
pub(crate) struct Readers {
    queue: RwLock<Option<SyncSender<Reading>>>,
    /// Closed once the last thread has let go of its connection.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Readers {
    pub(crate) fn start(slots: Vec<Slot>, queue: usize) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Reading>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let (running, ended) = mpsc::channel(1);
        for (number, mut slot) in slots.into_iter().enumerate() {
            let (receiver, running) = (receiver.clone(), running.clone());
            std::thread::Builder::new().name(format!("store-reader-{number}")).spawn(move || {
                if let Err(error) = thread::give_way(NICENESS) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "scans run at the priority of requests");
                }
                while let Some(read) = next(&receiver) {
                    // A panic in reading a row drops the answer's sender, which tells the caller.
                    let _ = catch_unwind(AssertUnwindSafe(|| read(&mut slot)));
                }
                slot.clear();
                drop(running);
            })?;
        }
        Ok(Self { queue: RwLock::new(Some(sender)), ended: tokio::sync::Mutex::new(ended) })
    }

    /// Hands a read over, unless the queue is full or the store closed.
    pub(crate) fn submit(&self, read: Reading) -> Result<(), StoreError> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        match &*queue {
            None => Err(StoreError::unavailable("the store is closed")),
            Some(sender) => sender.try_send(read).map_err(|refused| match refused {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => StoreError::unavailable("the readers have ended"),
            }),
        }
    }

    /// Takes nothing more.
    pub(crate) fn shut(&self) {
        self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until everything that was queued is done and the connections are closed.
    pub(crate) async fn ended(&self) {
        while self.ended.lock().await.recv().await.is_some() {}
    }
}

/// The next read. One thread waits for it with the lock in hand, the others for the lock.
fn next(receiver: &Mutex<Receiver<Reading>>) -> Option<Reading> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
