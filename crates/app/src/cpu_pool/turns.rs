//! Whose turn it is to work.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Permits, and the callers that wait for one: a line for each network. Clones share them.
#[derive(Clone)]
pub(super) struct Turns(Arc<Inner>);

struct Inner {
    lines: Mutex<Lines>,
    /// The most that may wait.
    queue: usize,
}

#[derive(Default)]
struct Lines {
    /// Permits that nobody has. While there is one, nobody waits.
    free: usize,
    waiting: usize,
    by_network: BTreeMap<u128, VecDeque<Waiting>>,
    /// The same lines by their length, to find the longest.
    by_length: BTreeSet<(usize, u128)>,
    /// Whose turn it was last: the next after it, by number, has the next.
    last: u128,
    next_number: u64,
}

/// A waiting caller. Dropping this tells it that it gets no permit.
struct Waiting {
    number: u64,
    turn: oneshot::Sender<Permit>,
}

/// Leave to work, passed on when it is dropped.
pub(super) struct Permit(Option<Turns>);

/// A place in a line, left when it is dropped.
struct QueuePlace<'a> {
    turns: &'a Turns,
    network: u128,
    number: u64,
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let (free, waiting, queue) = (lines.free, lines.waiting, self.0.queue);
        drop(lines);
        f.debug_struct("Turns").field("free", &free).field("waiting", &waiting).field("queue", &queue).finish()
    }
}

impl Turns {
    pub(super) fn new(permits: usize, queue: usize) -> Self {
        let lines = Lines { free: permits, ..Lines::default() };
        Self(Arc::new(Inner { lines: Mutex::new(lines), queue }))
    }

    /// Permits that nobody has.
    pub(super) fn free(&self) -> usize {
        self.lines().free
    }

    /// A permit, when it is this one's turn; none where others of its network fill the queue, or come to.
    pub(super) async fn take(&self, network: u128) -> Option<Permit> {
        let (number, turn) = {
            let mut lines = self.lines();
            if lines.free > 0 {
                lines.free -= 1;
                lines.last = network;
                return Some(Permit(Some(self.clone())));
            }
            if lines.waiting >= self.0.queue && !lines.make_room_for(network) {
                return None;
            }
            lines.enter(network)
        };
        let _place = QueuePlace { turns: self, network, number };
        turn.await.ok()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn enter(&mut self, network: u128) -> (u64, oneshot::Receiver<Permit>) {
        let (turn, wait) = oneshot::channel();
        let number = self.next_number;
        self.next_number += 1;
        self.change(network, |line| line.push_back(Waiting { number, turn }));
        (number, wait)
    }

    /// Sends the newest of the longest line away, unless that would only turn places round.
    fn make_room_for(&mut self, network: u128) -> bool {
        let own = self.by_network.get(&network).map_or(0, VecDeque::len);
        let Some((_, longest)) = self.by_length.last().copied().filter(|(length, _)| *length > own + 1) else {
            return false;
        };
        drop(self.change(longest, VecDeque::pop_back));
        true
    }

    /// The first of the line whose turn it is.
    fn next(&mut self) -> Option<Waiting> {
        let mut after = self.by_network.range((Excluded(self.last), Unbounded));
        let network = *after.next().or_else(|| self.by_network.first_key_value())?.0;
        self.last = network;
        self.change(network, VecDeque::pop_front)
    }

    /// Changes a line, which is there as long as somebody stands in it.
    fn change<T>(&mut self, network: u128, change: impl FnOnce(&mut VecDeque<Waiting>) -> T) -> T {
        let mut line = match self.by_network.entry(network) {
            Entry::Occupied(line) => line,
            Entry::Vacant(place) => place.insert_entry(VecDeque::new()),
        };
        let before = line.get().len();
        let changed = change(line.get_mut());
        let after = line.get().len();
        if before != after {
            self.by_length.remove(&(before, network));
            if after > 0 {
                self.by_length.insert((after, network));
            }
            self.waiting = self.waiting + after - before;
        }
        if after == 0 {
            line.remove();
        }
        changed
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Taken out: a permit that could not be handed over comes back here, and is not dropped under the lock.
        let Some(mut turns) = self.0.take() else { return };
        let shared = turns.0.clone();
        let mut lines = shared.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(next) = lines.next() {
            match next.turn.send(Permit(Some(turns))) {
                Ok(()) => return,
                Err(mut unwanted) => match unwanted.0.take() {
                    Some(back) => turns = back,
                    None => return,
                },
            }
        }
        lines.free += 1;
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        let number = self.number;
        let left = self.turns.lines().change(self.network, |line| {
            // They stand in the order of their numbers.
            line.binary_search_by_key(&number, |waiting| waiting.number).ok().and_then(|at| line.remove(at))
        });
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    /// Enters the line of a network, and says so once it stands in it or was answered.
    async fn enter(turns: &Turns, network: u128) -> JoinHandle<Option<(u128, Permit)>> {
        let own = turns.clone();
        let task = tokio::spawn(async move { own.take(network).await.map(|permit| (network, permit)) });
        // On one thread it runs until it waits.
        tokio::task::yield_now().await;
        task
    }

    /// What its turn gave it, which comes at once or never.
    async fn soon<T>(task: JoinHandle<T>) -> T {
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, task).await.expect("its turn comes").unwrap()
    }

    fn waiting(turns: &Turns) -> usize {
        let lines = turns.lines();
        let counted: usize = lines.by_network.values().map(VecDeque::len).sum();
        assert_eq!((counted, lines.by_network.len()), (lines.waiting, lines.by_length.len()));
        counted
    }

    #[tokio::test]
    async fn networks_take_turns_however_many_one_sends() {
        let turns = Turns::new(1, 64);
        let running = turns.take(1).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..20 {
            flood.push(enter(&turns, 1).await);
        }
        let (first, second) = (enter(&turns, 2).await, enter(&turns, 3).await);
        assert_eq!(waiting(&turns), 22);
        drop(running);
        // After the one that ran come both others, each before the flood's next.
        let (network, permit) = soon(first).await.unwrap();
        assert_eq!((network, flood.iter().filter(|task| task.is_finished()).count()), (2, 0));
        drop(permit);
        drop(soon(second).await.unwrap());
        for task in flood {
            drop(soon(task).await.unwrap());
        }
        assert_eq!((turns.free(), waiting(&turns)), (1, 0));
    }

    #[tokio::test]
    async fn of_a_full_queue_the_newest_of_whoever_has_most_leaves() {
        let turns = Turns::new(1, 4);
        let running = turns.take(1).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..4 {
            flood.push(enter(&turns, 1).await);
        }
        assert!(turns.take(1).await.is_none(), "its own are refused");
        // Others get a place each, until none has more than one.
        let mut others = Vec::new();
        for network in 2..=4 {
            others.push(enter(&turns, network).await);
            assert_eq!(waiting(&turns), 4);
        }
        for (n, task) in flood.iter().enumerate() {
            assert_eq!(task.is_finished(), n > 0, "the newest first");
        }
        assert!(turns.take(5).await.is_none() && turns.take(2).await.is_none(), "all have the same share");
        drop(running);
        for task in others {
            drop(soon(task).await.unwrap());
        }
        for (n, task) in flood.into_iter().enumerate() {
            assert_eq!(soon(task).await.is_some(), n == 0);
        }
    }

    #[tokio::test]
    async fn who_leaves_takes_nothing_along() {
        let turns = Turns::new(1, 8);
        let running = turns.take(1).await.unwrap();
        let (left, stays) = (enter(&turns, 1).await, enter(&turns, 1).await);
        left.abort();
        assert!(left.await.is_err());
        assert_eq!(waiting(&turns), 1);
        drop(running);
        let (_, permit) = soon(stays).await.unwrap();
        // Handed over, and never looked at.
        let unseen = enter(&turns, 2).await;
        drop(permit);
        unseen.abort();
        let _ = unseen.await;
        assert_eq!((turns.free(), waiting(&turns)), (1, 0));
        assert!(Turns::new(0, 0).take(1).await.is_none(), "where nobody may wait, nobody does");
    }
}
