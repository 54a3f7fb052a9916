//! Decides who is next for scarce resources: the SQLite readers and the writer, and PostgreSQL's connections.
//!
//! Callers take turns: each gets one, however many of another caller came before it (fair queueing: Nagle, RFC 970, 1985).
//! A caller that is alone may have all places. Work that has begun is not interrupted for the next caller, so one caller
//! has at most half of the places while others were seen lately. When the queue is full, the caller with the longest line
//! makes room for one with a shorter line (McKenney, Stochastic Fairness Queueing, 1990).

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use kernel::{Ctx, Identity};

use crate::StoreError;

/// For so long after somebody was seen, others leave room for them.
const LATELY: Duration = Duration::from_secs(10);
/// Lines that are compared when one must make room.
const COMPARED: usize = 16;

/// Whose work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// The process itself: it has turns as everybody, and all the places it wants.
    System,
    /// A person who has signed in.
    User(u128),
    /// A caller who has not, by address; of IPv6 the network, which is what one customer has.
    Network(u128),
}

impl Caller {
    pub(crate) fn of(ctx: &Ctx) -> Self {
        match (ctx.identity(), ctx.address()) {
            (Identity::User { user_id, .. }, _) => Self::User(user_id.as_uuid().as_u128()),
            (Identity::Anonymous, Some(address)) => Self::Network(network(address)),
            (Identity::Anonymous, None) => Self::Network(0),
            (Identity::System, _) => Self::System,
        }
    }
}

/// How long a read of this operation may take: none for the process's own, which are as long as they are.
pub(crate) const fn budget(ctx: &Ctx, scan: Duration) -> Option<Duration> {
    match ctx.identity() {
        Identity::System => None,
        Identity::Anonymous | Identity::User { .. } => Some(scan),
    }
}

fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) if v6.is_loopback() => v6.to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
    }
}

/// What one caller has and waits for. Gone when that is nothing.
#[derive(Debug)]
struct Line<T> {
    /// Places it has.
    held: usize,
    waiting: VecDeque<T>,
}

/// Who has a place and who waits for one. Knows no threads: its holder asks it.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    places: usize,
    /// Of them nobody has.
    free: usize,
    most_waiting: usize,
    waiting: usize,
    lines: HashMap<Caller, Line<T>>,
    /// Those who wait, in the order of their turns.
    turns: VecDeque<Caller>,
    /// The last two different callers, and when each was last seen: whether there is another than one is all that matters.
    seen: [Option<(Caller, Instant)>; 2],
}

impl<T> FairQueue<T> {
    /// With this many places and a queue of at most this length.
    pub(crate) fn new(places: usize, most_waiting: usize) -> Self {
        Self {
            places,
            free: places,
            most_waiting,
            waiting: 0,
            lines: HashMap::default(),
            turns: VecDeque::new(),
            seen: [None; 2],
        }
    }

    /// Notes that somebody wants something.
    pub(crate) fn see(&mut self, caller: Caller, now: Instant) {
        if caller == Caller::System {
            return;
        }
        match &mut self.seen {
            [Some((last, at)), _] if *last == caller => *at = now,
            [last, before] => *before = last.replace((caller, now)),
        }
    }

    fn is_alone(&self, caller: Caller, now: Instant) -> bool {
        let is_another = |(other, at): &(Caller, Instant)| *other != caller && now.duration_since(*at) < LATELY;
        !self.seen.iter().flatten().any(is_another)
    }

    /// Whether this caller may have one more place now.
    fn may_have(&self, caller: Caller, now: Instant) -> bool {
        let half = self.places.div_ceil(2);
        self.free > 0
            && (caller == Caller::System
                || self.lines.get(&caller).is_none_or(|line| line.held < half)
                || self.is_alone(caller, now))
    }

    /// A place at once, where nobody waits and there is one for this caller.
    pub(crate) fn take(&mut self, caller: Caller, now: Instant) -> bool {
        self.see(caller, now);
        if self.waiting > 0 || !self.may_have(caller, now) {
            return false;
        }
        self.hold(caller);
        true
    }

    fn hold(&mut self, caller: Caller) {
        self.free -= 1;
        self.lines.entry(caller).or_insert_with(Line::new).held += 1;
    }

    /// Joins its caller's line. An item that finds no room is given back.
    pub(crate) fn push(&mut self, caller: Caller, item: T, now: Instant) -> Option<Refused<T>> {
        self.see(caller, now);
        let mut ousted = None;
        if self.waiting >= self.most_waiting {
            let own = self.lines.get(&caller).map_or(0, |line| line.waiting.len());
            match self.oust(own) {
                Some(other) => ousted = Some(Refused::Another(other)),
                None => return Some(Refused::Itself(item)),
            }
        }
        let line = self.lines.entry(caller).or_insert_with(Line::new);
        if line.waiting.is_empty() {
            self.turns.push_back(caller);
        }
        line.waiting.push_back(item);
        self.waiting += 1;
        ousted
    }

    /// Takes out the last of a line that is longer than `own` and one more, the longest of some.
    fn oust(&mut self, own: usize) -> Option<T> {
        let length = |caller: &Caller| self.lines.get(caller).map_or(0, |line| line.waiting.len());
        // Turns go round, so these are others each time.
        let longest = self.turns.iter().take(COMPARED).filter(|caller| **caller != Caller::System);
        let longest = longest.copied().max_by_key(length).filter(|caller| length(caller) > own + 1)?;
        let last = self.lines.get_mut(&longest)?.waiting.pop_back();
        self.waiting -= usize::from(last.is_some());
        last
    }

    /// The next one that may have a place, which it has then.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Caller, T)> {
        for _ in 0..self.turns.len() {
            if self.free == 0 {
                return None;
            }
            let caller = self.turns.pop_front()?;
            if !self.may_have(caller, now) {
                // Only two callers can have half of the places.
                self.turns.push_back(caller);
                continue;
            }
            let Some(line) = self.lines.get_mut(&caller) else { continue };
            let Some(item) = line.waiting.pop_front() else { continue };
            if !line.waiting.is_empty() {
                self.turns.push_back(caller);
            }
            self.waiting -= 1;
            self.hold(caller);
            return Some((caller, item));
        }
        None
    }

    /// Whether [`FairQueue::pop`] would give one.
    fn has_next(&self, now: Instant) -> bool {
        // Callers who have half of the places are two at most.
        self.free > 0 && self.turns.iter().take(3).any(|caller| self.may_have(*caller, now))
    }

    /// A caller gives a place back.
    pub(crate) fn give_back(&mut self, caller: Caller) {
        self.free += 1;
        if let Some(line) = self.lines.get_mut(&caller) {
            line.held -= 1;
            if line.held == 0 && line.waiting.is_empty() {
                self.lines.remove(&caller);
            }
        }
    }

    /// Takes those out of a caller's line who wait no more.
    pub(crate) fn forget(&mut self, caller: Caller, is_gone: impl Fn(&T) -> bool) {
        let Some(line) = self.lines.get_mut(&caller) else { return };
        let before = line.waiting.len();
        line.waiting.retain(|item| !is_gone(item));
        self.waiting -= before - line.waiting.len();
        if before > 0 && line.waiting.is_empty() {
            self.turns.retain(|turn| *turn != caller);
            if line.held == 0 {
                self.lines.remove(&caller);
            }
        }
    }

    /// Takes out all who wait.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.turns.clear();
        self.waiting = 0;
        let waiting = self.lines.values_mut().flat_map(|line| line.waiting.drain(..)).collect();
        self.lines.retain(|_, line| line.held > 0);
        waiting
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether nobody has a place.
    pub(crate) const fn is_idle(&self) -> bool {
        self.free == self.places
    }
}

impl<T> Line<T> {
    fn new() -> Self {
        Self { held: 0, waiting: VecDeque::new() }
    }
}

/// An item that finds no room in a full queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<T> {
    /// The new item.
    Itself(T),
    /// The last of a longer line, whose room the new item has taken.
    Another(T),
}

/// A [`FairQueue`] between threads: some send work, as many as there are places do it.
#[derive(Debug)]
pub(crate) struct FairChannel<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

#[derive(Debug)]
struct State<T> {
    queue: FairQueue<T>,
    is_closed: bool,
    /// Threads that wait for work.
    idle: usize,
    /// One of them has been woken and is yet to come. It wakes the next if there is work for that: who sends much at once
    /// wakes one thread, not as many as there are, most of which would find nothing.
    is_waking: bool,
}

impl<T> State<T> {
    /// Whether a thread is to be woken.
    fn wakes(&mut self, now: Instant) -> bool {
        let wakes = self.idle > 0 && !self.is_waking && self.queue.has_next(now);
        self.is_waking |= wakes;
        wakes
    }
}

impl<T> FairChannel<T> {
    pub(crate) fn new(threads: usize, most_waiting: usize) -> Self {
        let state = State { queue: FairQueue::new(threads, most_waiting), is_closed: false, idle: 0, is_waking: false };
        Self { state: Mutex::new(state), wake: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands work over; `refuse` gets what finds no room: this, or the last of a longer line.
    ///
    /// # Errors
    /// When this found none, or the channel is closed.
    pub(crate) fn send(&self, caller: Caller, work: T, refuse: impl FnOnce(T)) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(StoreError::unavailable("the store is closed"));
        }
        let now = Instant::now();
        let refused = state.queue.push(caller, work, now);
        let wakes = state.wakes(now);
        drop(state);
        match refused {
            Some(Refused::Itself(_)) => return Err(StoreError::Busy),
            Some(Refused::Another(other)) => refuse(other),
            None => {}
        }
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The next work, waited for; none once the channel is closed and empty. `done` is whose work this thread has done.
    pub(crate) fn receive(&self, done: Option<Caller>) -> Option<(Caller, T)> {
        let mut state = self.state();
        if let Some(done) = done {
            state.queue.give_back(done);
        }
        loop {
            let now = Instant::now();
            let next = state.queue.pop(now);
            // What waits for a place that its own caller's work has, waits for the thread that does that.
            if next.is_some() {
                let wakes = state.wakes(now);
                drop(state);
                if wakes {
                    self.wake.notify_one();
                }
                return next;
            }
            if state.is_closed && state.queue.is_empty() {
                drop(state);
                // Others may have waited for what this thread did last, which was of a caller who had no more places.
                self.wake.notify_all();
                return None;
            }
            state.idle += 1;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            state.is_waking = false;
        }
    }

    /// More work, if there is some now, for a thread that has work of `served`.
    pub(crate) fn try_receive(&self, served: &Cell<Option<Caller>>) -> Option<T> {
        let mut state = self.state();
        let before = served.get()?;
        if state.queue.is_empty() {
            return None;
        }
        state.queue.give_back(before);
        let next = state.queue.pop(Instant::now());
        // Without more it goes on with what it has.
        let (caller, work) = next.map_or((before, None), |(caller, work)| (caller, Some(work)));
        if work.is_none() {
            state.queue.hold(before);
        }
        served.set(Some(caller));
        work
    }

    /// Takes nothing more; what waits is still done.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Caller = Caller::User(1);
    const B: Caller = Caller::User(2);
    const C: Caller = Caller::Network(3);

    fn queue(places: usize, most: usize) -> (FairQueue<&'static str>, Instant) {
        (FairQueue::new(places, most), Instant::now())
    }

    fn next(queue: &mut FairQueue<&'static str>, now: Instant) -> Option<&'static str> {
        queue.pop(now).map(|(_, item)| item)
    }

    #[test]
    fn who_comes_late_is_next() {
        let (mut queue, now) = queue(1, 100);
        for item in ["a1", "a2", "a3"] {
            assert_eq!(queue.push(A, item, now), None);
        }
        assert_eq!(next(&mut queue, now), Some("a1"));
        assert_eq!(next(&mut queue, now), None, "there is one place");
        assert_eq!(queue.push(B, "b1", now), None);
        assert_eq!(queue.push(C, "c1", now), None);
        let mut order = Vec::new();
        let mut last = A;
        for _ in 0..4 {
            queue.give_back(last);
            let (caller, item) = queue.pop(now).unwrap();
            order.push(item);
            last = caller;
        }
        assert_eq!(order, ["a2", "b1", "c1", "a3"]);
        queue.give_back(last);
        assert!(queue.is_idle() && queue.is_empty() && queue.lines.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn one_alone_has_all_and_half_once_others_are_there() {
        let (mut queue, now) = queue(4, 100);
        assert!((0..4).all(|_| queue.take(A, now)));
        assert!(!queue.take(A, now));
        (0..4).for_each(|_| queue.give_back(A));
        assert!(queue.take(B, now));
        queue.give_back(B);
        assert!(queue.take(A, now) && queue.take(A, now));
        assert!(!queue.take(A, now), "B was here just now");
        assert_eq!(queue.push(A, "a", now), None);
        assert_eq!(next(&mut queue, now), None);
        assert!(!queue.take(B, now), "somebody waits, even if not for this");
        assert_eq!(queue.push(B, "b", now), None);
        assert_eq!(next(&mut queue, now), Some("b"), "its place was kept free");
        assert!(next(&mut queue, now).is_none());
        let later = now + LATELY;
        queue.see(A, later);
        assert_eq!(next(&mut queue, later), Some("a"), "nobody else was here for a while");
    }

    #[test]
    fn the_process_itself_has_what_it_wants_and_counts_for_nobody() {
        let (mut queue, now) = queue(2, 100);
        assert!(queue.take(Caller::System, now) && queue.take(Caller::System, now));
        queue.give_back(Caller::System);
        queue.give_back(Caller::System);
        assert!(queue.take(A, now) && queue.take(A, now), "A is alone");
    }

    #[test]
    fn a_full_queue_makes_room_for_whoever_has_less() {
        let (mut queue, now) = queue(1, 4);
        assert!(queue.take(C, now));
        for item in ["a1", "a2", "a3", "a4"] {
            assert_eq!(queue.push(A, item, now), None);
        }
        assert_eq!(queue.push(A, "a5", now), Some(Refused::Itself("a5")));
        assert_eq!(queue.push(B, "b1", now), Some(Refused::Another("a4")));
        assert_eq!(queue.push(B, "b2", now), Some(Refused::Another("a3")));
        assert_eq!(queue.push(B, "b3", now), Some(Refused::Itself("b3")), "both have two now");
        assert_eq!(queue.waiting, 4);
        queue.give_back(C);
        assert_eq!(next(&mut queue, now), Some("a1"));
    }

    #[test]
    fn who_waits_no_more_is_forgotten() {
        let (mut queue, now) = queue(1, 3);
        assert!(queue.take(C, now));
        for item in ["a1", "a2"] {
            assert_eq!(queue.push(A, item, now), None);
        }
        assert_eq!(queue.push(B, "b1", now), None);
        queue.forget(A, |item| *item == "a1");
        queue.forget(B, |_| true);
        queue.give_back(C);
        let (caller, item) = queue.pop(now).unwrap();
        assert_eq!((caller, item), (A, "a2"));
        queue.give_back(caller);
        assert!(queue.pop(now).is_none() && queue.lines.is_empty() && queue.turns.is_empty());
        assert_eq!(queue.push(A, "a3", now), None);
        assert_eq!(queue.drain(), ["a3"]);
        assert!(queue.is_empty() && queue.lines.is_empty());
    }

    #[test]
    fn an_ipv6_customer_is_one_caller() {
        let network = |text: &str| super::network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
    }

    #[test]
    fn threads_that_wait_for_what_another_does_end_with_it() {
        let channel = std::sync::Arc::new(FairChannel::new(2, 10));
        let refuse = |_| panic!("there is room");
        channel.send(B, "b1", refuse).unwrap();
        assert_eq!(channel.receive(None), Some((B, "b1")));
        for item in ["a1", "a2"] {
            channel.send(A, item, refuse).unwrap();
        }
        // B was seen lately, so A has one of the two places, and the other thread finds nothing that it may do.
        assert_eq!(channel.receive(Some(B)), Some((A, "a1")));
        let (told, ended) = std::sync::mpsc::channel();
        let other = channel.clone();
        std::thread::spawn(move || told.send(other.receive(None)));
        while channel.state().idle == 0 {
            std::thread::yield_now();
        }
        channel.close();
        assert_eq!(channel.receive(Some(A)), Some((A, "a2")));
        // It has been woken by the closing, and waits again for what may come of a2.
        while channel.state().idle == 0 {
            std::thread::yield_now();
        }
        assert_eq!(channel.receive(Some(A)), None);
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)).unwrap(), None);
    }
}
