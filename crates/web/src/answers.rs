//! The memory that answers may take together until their clients have taken them. A small one, which nearly all are, costs
//! nothing here; of a large one the bytes are counted until they have left or the connection is gone, and each client
//! address has a share. What it was refused is not made again for it as long as nothing has changed: large answers cost work
//! too, and others wait for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::RequestError;
use crate::client_ip::counted;

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
    /// Addresses that were refused something: nobody looks further while there is none.
    refused: AtomicUsize,
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
    refused: Option<Refused>,
}

/// What an address was refused last: the path, how many bytes its answer had, and when.
#[derive(Debug)]
struct Refused {
    path: Box<str>,
    bytes: usize,
    at: Instant,
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
        Arc::new(Self {
            all: bytes,
            each: bytes / 4,
            state: Mutex::default(),
            freed: Notify::new(),
            refused: AtomicUsize::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where there is room, or in any case.
    fn try_hold(self: &Arc<Self>, address: u128, bytes: usize, in_any_case: bool) -> Option<Held> {
        let mut state = self.state();
        if !in_any_case && !self.has_room(&state, address, bytes) {
            return None;
        }
        state.held += bytes;
        state.addresses.entry(address).or_default().held += bytes;
        Some(Held { answers: self.clone(), address, bytes })
    }

    fn has_room(&self, state: &State, address: u128, bytes: usize) -> bool {
        let has = state.addresses.get(&address).map_or(0, |of| of.held);
        // One that is larger than the share has all of it.
        let counts = bytes.min(self.each);
        has + counts <= self.each && state.held + counts <= self.all
    }

    /// Whether a read of this path is to be refused before anything is done for it: the last one was for want of memory, and
    /// there is still none. Once in a while one is let in to see how large its answer is now.
    pub(crate) fn refuses(&self, address: IpAddr, path: &str, now: Instant) -> bool {
        if self.refused.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let (address, mut state) = (counted(address), self.state());
        let last = |of: &Of| of.refused.as_ref().filter(|last| *last.path == *path).map(|last| (last.bytes, last.at));
        let Some((bytes, at)) = state.addresses.get(&address).and_then(last) else { return false };
        if self.has_room(&state, address, bytes) {
            return false;
        }
        let is_time_to_look = now.saturating_duration_since(at) >= WAIT;
        if is_time_to_look && let Some(last) = state.addresses.get_mut(&address).and_then(|of| of.refused.as_mut()) {
            last.at = now;
        }
        !is_time_to_look
    }

    /// Notes that an answer was refused, where the address has anything at all.
    fn refuse(&self, address: u128, path: &str, bytes: usize) -> RequestError {
        if let Some(of) = self.state().addresses.get_mut(&address) {
            let refused = Refused { path: path.into(), bytes, at: Instant::now() };
            if of.refused.replace(refused).is_none() {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        RequestError::Overloaded
    }

    /// Memory for an answer of this many bytes to a request of this path. A request that has changed something is answered in
    /// any case: it is done, and its answer is as large as what was sent.
    ///
    /// # Errors
    /// When there is none in time.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        address: IpAddr,
        path: &str,
        bytes: usize,
        is_read: bool,
    ) -> Result<Held, RequestError> {
        let address = counted(address);
        if let Some(held) = self.try_hold(address, bytes, !is_read) {
            return Ok(held);
        }
        let _waits = Waits::begin(self, address).ok_or_else(|| self.refuse(address, path, bytes))?;
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
        timeout_at(Instant::now() + WAIT, wait).await.map_err(|_| self.refuse(address, path, bytes))
    }
}

impl State {
    /// Changes what an address has, and forgets it when that is nothing, with what it was refused: how many that is.
    #[must_use]
    fn change(&mut self, address: u128, change: impl FnOnce(&mut Of)) -> usize {
        let Some(of) = self.addresses.get_mut(&address) else { return 0 };
        change(of);
        if of.held > 0 || of.waiting > 0 {
            return 0;
        }
        self.addresses.remove(&address).map_or(0, |of| usize::from(of.refused.is_some()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.answers.state();
        state.held -= self.bytes;
        let forgotten = state.change(self.address, |of| of.held -= self.bytes);
        let is_waited_for = state.waiting > 0;
        drop(state);
        self.answers.refused.fetch_sub(forgotten, Ordering::Relaxed);
        if is_waited_for {
            self.answers.freed.notify_waiters();
        }
    }
}

/// A waiting request, until dropped.
struct Waits<'a> {
    answers: &'a Answers,
    address: u128,
}

impl<'a> Waits<'a> {
    /// None where too many wait already.
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
        let forgotten = state.change(self.address, |of| of.waiting -= 1);
        drop(state);
        self.answers.refused.fetch_sub(forgotten, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;
    const PATH: &str = "/things";

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn each_address_has_a_share_and_gets_it_back() {
        let answers = Answers::new(8 * MIB);
        let first = answers.hold(address(1), PATH, MIB, true).await.unwrap();
        let second = answers.hold(address(1), PATH, MIB, true).await.unwrap();
        assert_eq!(answers.hold(address(1), PATH, MIB, true).await.unwrap_err(), RequestError::Overloaded);
        let other = answers.hold(address(2), PATH, MIB, true).await.unwrap();
        // The waiting request gets what is freed.
        let (third, ()) = tokio::join!(answers.hold(address(1), PATH, MIB, true), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        // A completed change is answered in any case.
        let done = answers.hold(address(1), PATH, 5 * MIB, false).await.unwrap();
        drop((second, other, third.unwrap(), done));
        let left = {
            let state = answers.state();
            (state.held, state.addresses.len())
        };
        assert_eq!(left, (0, 0));
        // Larger than a share: all of it.
        let huge = answers.hold(address(1), PATH, 20 * MIB, true).await.unwrap();
        assert!(answers.hold(address(1), PATH, MIB, true).await.is_err());
        drop(huge);
    }

    #[tokio::test]
    async fn few_wait() {
        let answers = Answers::new(4 * MIB);
        let _all = answers.hold(address(1), PATH, MIB, true).await.unwrap();
        let waiting: Vec<_> = (0..WAITING_EACH)
            .map(|_| {
                let answers = answers.clone();
                tokio::spawn(async move { answers.hold(address(1), PATH, MIB, true).await.is_err() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(answers.hold(address(1), PATH, MIB, true).await.is_err());
        assert!(waiting.iter().all(|one| !one.is_finished()), "one more is refused at once");
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
        assert_eq!(answers.state().waiting, 0);
    }

    #[tokio::test]
    async fn what_was_refused_is_not_made_again_while_nothing_has_changed() {
        let answers = Answers::new(8 * MIB);
        let refuses =
            |last: u8, path: &str, after: Duration| answers.refuses(address(last), path, Instant::now() + after);
        let now = Duration::ZERO;
        let first = answers.hold(address(1), PATH, MIB, true).await.unwrap();
        let second = answers.hold(address(1), PATH, MIB, true).await.unwrap();
        assert!(!refuses(1, PATH, now), "nobody was refused yet");
        answers.hold(address(1), PATH, MIB, true).await.unwrap_err();
        assert!(refuses(1, PATH, now));
        // What else it asks for, and what others ask for, has nothing to do with it.
        assert!(!refuses(1, "/small", now));
        assert!(!refuses(2, PATH, now));
        // Now and then one may see whether that is still so large.
        assert!(!refuses(1, PATH, WAIT));
        assert!(refuses(1, PATH, WAIT));
        drop(first);
        assert!(!refuses(1, PATH, now), "there is room");
        drop(second);
        assert_eq!(answers.refused.load(Ordering::Relaxed), 0);
    }
}
