//! One transaction on its way through the writer: the closure, its waiting caller, and how it is polled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use kernel::Ctx;
use tokio::sync::oneshot;

use super::interrupt::{Gone, Interrupt, during};
use super::writer_connection;
use crate::engine_errors::panicked;
use crate::health::Health;
use crate::session_check::Proof;
use crate::slow_query_log::SlowQueryLog;
use crate::tx::{STALL, Side, Tx, TxInner};
use crate::{EventHandlers, StoreError, reentrancy};

/// A transaction as the writer sees it. Queued by the caller, owned by the writer from then on.
pub(crate) trait QueuedTx: Send {
    /// Whether nobody waits for it any more.
    fn is_gone(&self) -> bool;
    /// Until when its statements may take.
    fn limit(&self) -> Interrupt;
    /// Polls the closure to its end; keeps the outcome for [`QueuedTx::settle`].
    fn run(&mut self, parker: &Arc<Parker>) -> Ran;
    /// Replaces the outcome.
    fn fail(&mut self, error: StoreError);
    /// Tells the caller the outcome.
    fn settle(self: Box<Self>);
}

/// How a closure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    /// With `Ok`: to be kept.
    Keep,
    /// With an error: to be undone, and run again if the group's commit fails.
    Undo,
    /// By panic, stall or deadline: to be undone and never run again.
    Over,
}

/// See [`QueuedTx`].
pub(crate) struct Call<F, T, E> {
    pub(crate) work: F,
    pub(crate) ctx: Ctx,
    pub(crate) event_handlers: Arc<EventHandlers>,
    /// What has to hold before the closure runs.
    pub(crate) proof: Option<Proof>,
    pub(crate) health: Arc<Health>,
    pub(crate) slow: SlowQueryLog,
    pub(crate) gone: Gone,
    pub(crate) reply: oneshot::Sender<Result<T, E>>,
    pub(crate) outcome: Option<Result<T, E>>,
}

impl<T, E, F, Fut> QueuedTx for Call<F, T, E>
where
    F: Fn(Tx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    fn is_gone(&self) -> bool {
        self.gone.is_set()
    }

    fn limit(&self) -> Interrupt {
        Interrupt::of(&self.ctx, Some(self.gone.clone()))
    }

    fn run(&mut self, parker: &Arc<Parker>) -> Ran {
        let limit = self.limit();
        let tx = TxInner::new(&self.ctx, &self.event_handlers, &self.health, self.slow, Side::Sqlite);
        writer_connection::set_transaction(Some(tx.clone()));
        let ended = catch_unwind(AssertUnwindSafe(|| {
            // Made, polled and dropped as part of the closure.
            during(limit.clone(), || {
                reentrancy::inside(|| {
                    if let Some(proof) = &self.proof
                        && let Err(error) = is_live(&tx, proof)
                    {
                        return Ok(Err(error.into()));
                    }
                    let mut future = pin!((self.work)(Tx::new(tx.clone())));
                    parker.drive(&limit, |cx| future.as_mut().poll(cx))
                })
            })
        }));
        writer_connection::set_transaction(None);
        let (ran, outcome) = match ended {
            Ok(Ok(Ok(_))) if tx.has_failed() => (Ran::Undo, Err(TxInner::swallowed().into())),
            Ok(Ok(Ok(value))) => (Ran::Keep, Ok(value)),
            Ok(Ok(Err(error))) if limit.is_up() => (Ran::Over, Err(error)),
            Ok(Ok(Err(error))) => (Ran::Undo, Err(error)),
            Ok(Err(halt)) => (Ran::Over, Err(halt.into())),
            Err(panic) => (Ran::Over, Err(panicked(&*panic).into())),
        };
        self.outcome = Some(outcome);
        ran
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error.into()));
    }

    fn settle(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // The caller may have gone; nothing is left to be told then.
            let _ = self.reply.send(outcome);
        }
    }
}

/// Whether what has to be proved holds.
fn is_live(tx: &Arc<TxInner>, proof: &Proof) -> Result<(), StoreError> {
    if writer_connection::has_row_in_tx(tx, proof.sql(), &proof.params)? {
        Ok(())
    } else {
        Err(StoreError::SessionEnded)
    }
}

/// Lets the writer's thread sleep until a closure's waker is called.
pub(crate) struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

/// How often a closure that waits is looked after.
const LOOK: Duration = Duration::from_millis(50);

impl Parker {
    /// For the thread that calls this.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { thread: std::thread::current(), woken: AtomicBool::new(false) })
    }

    /// Polls until it is ready, it has waited for [`STALL`] altogether, or its time is up. Waiting for the `Tx` takes
    /// none of it: its statements are done when they return.
    fn drive<T>(
        self: &Arc<Self>,
        limit: &Interrupt,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, StoreError> {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        let mut timeout = STALL;
        loop {
            self.woken.store(false, Ordering::Release);
            if let Poll::Ready(value) = poll(&mut cx) {
                return Ok(value);
            }
            let since = Instant::now();
            while !self.woken.load(Ordering::Acquire) {
                if limit.is_up() {
                    return Err(StoreError::Timeout);
                }
                let left = timeout.saturating_sub(since.elapsed());
                if left.is_zero() {
                    return Err(StoreError::Stalled);
                }
                std::thread::park_timeout(left.min(limit.remaining()).min(LOOK));
            }
            timeout = timeout.saturating_sub(since.elapsed());
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
