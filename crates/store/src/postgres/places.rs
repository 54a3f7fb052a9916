//! The places in the pool, and who has them: callers take turns.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::Ctx;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::StoreError;
use crate::fair_queue::{Caller, FairQueue, Refused};

/// Held by the pool and by every permit.
#[derive(Debug)]
pub(crate) struct Places {
    state: Mutex<State>,
    /// Told when nobody has a place.
    idle: Notify,
}

#[derive(Debug)]
struct State {
    queue: FairQueue<oneshot::Sender<Permit>>,
    is_closed: bool,
}

/// A place in the pool. Dropped, it goes to the next caller.
#[derive(Debug)]
pub(crate) struct Permit {
    /// There until it is given on.
    of: Option<(Arc<Places>, Caller)>,
}

impl Places {
    pub(crate) fn new(places: usize, most_waiting: usize) -> Self {
        let state = State { queue: FairQueue::new(places, most_waiting), is_closed: false };
        Self { state: Mutex::new(state), idle: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, waited for until the operation's deadline and no longer than `wait`.
    pub(crate) async fn take(self: &Arc<Self>, ctx: &Ctx, wait: Duration) -> Result<Permit, StoreError> {
        let (caller, now) = (Caller::of(ctx), Instant::now());
        let (refused, place) = {
            let mut state = self.state();
            if state.is_closed {
                return Err(closed());
            }
            if state.queue.take(caller, now.into_std()) {
                return Ok(Permit { of: Some((self.clone(), caller)) });
            }
            let (waiter, place) = oneshot::channel();
            (state.queue.push(caller, waiter, now.into_std()), place)
        };
        if let Some(Refused::Itself(_)) = refused {
            return Err(StoreError::Busy);
        }
        // Another caller that had to make room learns it when its sender is dropped.
        drop(refused);
        // There may be a place, if those who wait may not have it.
        self.give_out();
        let mut waits = Waits { places: self, caller, is_in_line: true };
        let permit = timeout_at(ctx.deadline().min(now + wait), place).await;
        // A caller that got a place, or had to make room, is in no line any more: the line may be long to search.
        waits.is_in_line = permit.is_err();
        drop(waits);
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) if self.state().is_closed => Err(closed()),
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
        }
    }

    /// A place for the process itself, if one is free now.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state();
        let is_taken = !state.is_closed && state.queue.take(Caller::System, Instant::now().into_std());
        is_taken.then(|| Permit { of: Some((self.clone(), Caller::System)) })
    }

    /// Gives free places to the next callers.
    fn give_out(self: &Arc<Self>) {
        loop {
            let next = self.state().queue.pop(Instant::now().into_std());
            let Some((caller, waiter)) = next else { return };
            let permit = Permit { of: Some((self.clone(), caller)) };
            // Who went away in this moment has it back; not by dropping it, which would end up here again and again.
            if let Err(mut permit) = waiter.send(permit) {
                permit.of = None;
                self.state().queue.give_back(caller);
            }
        }
    }

    /// Takes nothing new, and ends when nobody has a place or waits for one.
    pub(crate) async fn close(&self) {
        self.state().is_closed = true;
        loop {
            let mut idle = pin!(self.idle.notified());
            // Before it looks, so that nothing ends unseen in between.
            idle.as_mut().enable();
            if self.state().is_done() {
                return;
            }
            idle.await;
        }
    }

    /// Tells those who still wait.
    pub(crate) fn send_away(&self) {
        let (waiting, is_done) = {
            let mut state = self.state();
            (state.queue.drain(), state.is_done())
        };
        drop(waiting);
        if is_done {
            self.idle.notify_waiters();
        }
    }
}

impl State {
    const fn is_done(&self) -> bool {
        self.is_closed && self.queue.is_idle() && self.queue.is_empty()
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("the store is closed")
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((places, caller)) = self.of.take() else { return };
        let (waits, is_done) = {
            let mut state = places.state();
            state.queue.give_back(caller);
            (!state.queue.is_empty(), state.is_done())
        };
        if waits {
            places.give_out();
        }
        if is_done {
            places.idle.notify_waiters();
        }
    }
}

/// A waiting caller: dropped, it is taken out of the line if it is still there.
struct Waits<'a> {
    places: &'a Places,
    caller: Caller,
    is_in_line: bool,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if !self.is_in_line {
            return;
        }
        let is_done = {
            let mut state = self.places.state();
            state.queue.forget(self.caller, oneshot::Sender::is_closed);
            state.is_done()
        };
        if is_done {
            self.places.idle.notify_waiters();
        }
    }
}
