//! Reading connections: the slots, used by whichever thread asks, for one row by its key; and the reader threads, for
//! whatever may scan.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use kernel::thread;
use tokio::sync::mpsc;

use super::connection::Slot;
use crate::StoreError;
use crate::fair_queue::{Caller, FairChannel};

/// Reading connections. Each thread prefers one of them, so that its lock is free and its statements are prepared.
#[derive(Debug)]
pub(crate) struct ReaderSlots(Vec<Mutex<Slot>>);

impl ReaderSlots {
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

    /// Closes every connection. A slot in use is waited for: that is one row by its key.
    pub(crate) fn clear(&self) {
        for slot in &self.0 {
            slot.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

/// How far the reader threads stand back, on the scale of `nice(2)`: a worker thread gets three times the share of one. Under more
/// load than the machine can bear, requests are then read, and answered or refused, while the scans take what is left.
const NICENESS: i32 = 5;

/// One read for a reader thread. It is called without a slot when there is no room for it.
pub(crate) type Reading = Box<dyn FnOnce(Option<&mut Slot>) + Send>;

/// The reader threads and their queue. They end when this is dropped or shut.
pub(crate) struct Readers {
    queue: Arc<FairChannel<Reading>>,
    /// Closed once the last thread has let go of its connection.
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readers")
    }
}

impl Readers {
    pub(crate) fn start(slots: Vec<Slot>, queue: usize) -> std::io::Result<Self> {
        let (running, ended) = mpsc::channel(1);
        let readers =
            Self { queue: Arc::new(FairChannel::new(slots.len(), queue)), ended: tokio::sync::Mutex::new(ended) };
        for (number, mut slot) in slots.into_iter().enumerate() {
            let (queue, running) = (readers.queue.clone(), running.clone());
            std::thread::Builder::new().name(format!("store-reader-{number}")).spawn(move || {
                if let Err(error) = thread::give_way(NICENESS) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "scans run at the priority of requests");
                }
                let mut done = None;
                while let Some((caller, read)) = queue.receive(done) {
                    // A panic in reading a row drops the answer's sender, which tells the caller.
                    let _ = catch_unwind(AssertUnwindSafe(|| read(Some(&mut slot))));
                    done = Some(caller);
                }
                slot.clear();
                drop(running);
            })?;
        }
        Ok(readers)
    }

    /// Hands a read over, unless there is no room for it or the store is closed.
    pub(crate) fn submit(&self, caller: Caller, read: Reading) -> Result<(), StoreError> {
        self.queue.send(caller, read, |refused| refused(None))
    }

    /// Takes nothing more.
    pub(crate) fn shut(&self) {
        self.queue.close();
    }

    /// Waits until everything that was queued is done and the connections are closed.
    pub(crate) async fn ended(&self) {
        while self.ended.lock().await.recv().await.is_some() {}
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shut();
    }
}
