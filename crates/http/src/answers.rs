//! The memory that answers may take together until their clients have taken them. A small one, which nearly all are, costs
//! nothing here; of a large one the bytes are counted until they have left or the connection is gone, and each client
//! address has a share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::RequestError;
use crate::client::counted;

/// How long an answer waits for memory: long enough for a client that takes what it asked for.
const WAIT: Duration = Duration::from_secs(1);
/// Answers that wait, which have their memory already: of one address, and of all together.
const WAITING_EACH: usize = 8;
const WAITING: usize = 32;

/// The memory of all answers. Held by the API and by every answer that is counted.
#[derive(Debug)]
pub(crate) struct Answers {
    all: usize,
    each: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    waiting: usize,
    addresses: HashMap<u128, Of>,
}

/// What one address has; gone when that is nothing.
#[derive(Debug, Default)]
struct Of {
    held: usize,
    waiting: usize,
}

/// The memory of one answer, until dropped.
#[derive(Debug)]
pub(crate) struct Held {
    answers: Arc<Answers>,
    address: u128,
    bytes: usize,
}

impl Answers {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { all: bytes, each: bytes / 4, state: Mutex::default(), freed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where there is room, or in any case.
    fn try_hold(self: &Arc<Self>, address: u128, bytes: usize, in_any_case: bool) -> Option<Held> {
        let mut state = self.state();
        let has = state.addresses.get(&address).map_or(0, |of| of.held);
        // One that is larger than the share has all of it.
        let counts = bytes.min(self.each);
        if !in_any_case && (has + counts > self.each || state.held + counts > self.all) {
            return None;
        }
        state.held += bytes;
        state.addresses.entry(address).or_default().held += bytes;
        Some(Held { answers: self.clone(), address, bytes })
    }

    /// Memory for an answer of so many bytes. What has changed something is answered in any case: it is done, and as large
    /// as what was sent.
    ///
    /// # Errors
    /// When there is none in time.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        address: IpAddr,
        bytes: usize,
        is_read: bool,
    ) -> Result<Held, RequestError> {
        let address = counted(address);
        if let Some(held) = self.try_hold(address, bytes, !is_read) {
            return Ok(held);
        }
        let _waits = Waits::begin(self, address).ok_or(RequestError::Overloaded)?;
        let wait = async {
            loop {
                // Before it looks, so that nothing is freed unseen in between.
                let mut freed = std::pin::pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(held) = self.try_hold(address, bytes, false) {
                    return held;
                }
                freed.await;
            }
        };
        timeout_at(Instant::now() + WAIT, wait).await.map_err(|_| RequestError::Overloaded)
    }
}

impl State {
    /// Changes what an address has, and forgets it when that is nothing.
    fn change(&mut self, address: u128, change: impl FnOnce(&mut Of)) {
        if let Some(of) = self.addresses.get_mut(&address) {
            change(of);
            if of.held == 0 && of.waiting == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.answers.state();
        state.held -= self.bytes;
        state.change(self.address, |of| of.held -= self.bytes);
        let is_waited_for = state.waiting > 0;
        drop(state);
        if is_waited_for {
            self.answers.freed.notify_waiters();
        }
    }
}

/// One who waits, until dropped.
struct Waits<'a> {
    answers: &'a Answers,
    address: u128,
}

impl<'a> Waits<'a> {
    /// None where so many wait already.
    fn begin(answers: &'a Answers, address: u128) -> Option<Self> {
        let mut state = answers.state();
        let of = state.addresses.get(&address).map_or(0, |of| of.waiting);
        if of >= WAITING_EACH || state.waiting >= WAITING {
            return None;
        }
        state.waiting += 1;
        state.addresses.entry(address).or_default().waiting += 1;
        drop(state);
        Some(Self { answers, address })
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut state = self.answers.state();
        state.waiting -= 1;
        state.change(self.address, |of| of.waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn each_address_has_a_share_and_gets_it_back() {
        let answers = Answers::new(8 * MIB);
        let first = answers.hold(address(1), MIB, true).await.unwrap();
        let second = answers.hold(address(1), MIB, true).await.unwrap();
        assert_eq!(answers.hold(address(1), MIB, true).await.unwrap_err(), RequestError::Overloaded);
        let other = answers.hold(address(2), MIB, true).await.unwrap();
        // Who waits has what comes free.
        let (third, ()) = tokio::join!(answers.hold(address(1), MIB, true), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        // What was done is told.
        let done = answers.hold(address(1), 5 * MIB, false).await.unwrap();
        drop((second, other, third.unwrap(), done));
        let left = {
            let state = answers.state();
            (state.held, state.addresses.len())
        };
        assert_eq!(left, (0, 0));
        // Larger than a share: all of it.
        let huge = answers.hold(address(1), 20 * MIB, true).await.unwrap();
        assert!(answers.hold(address(1), MIB, true).await.is_err());
        drop(huge);
    }

    #[tokio::test]
    async fn few_wait() {
        let answers = Answers::new(4 * MIB);
        let _all = answers.hold(address(1), MIB, true).await.unwrap();
        let waiting: Vec<_> = (0..WAITING_EACH)
            .map(|_| {
                let answers = answers.clone();
                tokio::spawn(async move { answers.hold(address(1), MIB, true).await.is_err() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(answers.hold(address(1), MIB, true).await.is_err());
        assert!(waiting.iter().all(|one| !one.is_finished()), "one more is refused at once");
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
        assert_eq!(answers.state().waiting, 0);
    }
}
