//! One transaction: the connection it holds, and how its closure is polled.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::FutureExt as _;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::failure::{Failure, Then};
use super::pool::Lease;
use crate::engine_errors::panicked;
use crate::read_limits::Most;
use crate::reentrancy::Inside;
use crate::tx::{STALL, Tx, TxInner};
use crate::{FromRow, StoreError, Value};

/// The connection of one transaction, until the transaction ends. Held by every clone of its `Tx`; taken out when the
/// closure is done, so that a `Tx` kept longer holds nothing.
pub(crate) struct TxConnection {
    lease: Mutex<Option<Lease>>,
    /// Statements under way: while there is one, waiting is not stalling.
    under_way: AtomicUsize,
}

struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TxConnection {
    pub(crate) fn new(lease: Lease) -> Self {
        Self { lease: Mutex::new(Some(lease)), under_way: AtomicUsize::new(0) }
    }

    fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(&self.under_way)
    }

    pub(crate) async fn execute(&self, tx: &TxInner, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        let _under_way = self.begin();
        let mut lease = self.lease.lock().await;
        let lease = lease.as_mut().ok_or_else(TxInner::over)?;
        let is_first = lease.has_yet_to_begin();
        lease.execute(&tx.ctx, sql, params).await.map_err(|failure| note(tx, failure, is_first))
    }

    /// As much as there may be.
    pub(crate) async fn rows<T: FromRow>(
        &self,
        tx: &TxInner,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Vec<T>, StoreError> {
        let _under_way = self.begin();
        let mut lease = self.lease.lock().await;
        let lease = lease.as_mut().ok_or_else(TxInner::over)?;
        let is_first = lease.has_yet_to_begin();
        let found = lease.fetch(&tx.ctx, sql, params, most, None).await;
        found.map(|found| found.rows).map_err(|failure| note(tx, failure, is_first))
    }

    /// Takes the connection back from the closure. `None` while a statement that was sent to another task still uses it.
    pub(crate) fn take(&self) -> Option<Lease> {
        self.lease.try_lock().ok()?.take()
    }
}

fn note(tx: &TxInner, failure: Failure, is_first: bool) -> StoreError {
    match failure.then {
        Then::Again | Then::Prepare => tx.ask_for_retry(),
        Then::Reconnect if is_first => tx.ask_for_reconnect(),
        _ => {}
    }
    failure.error
}

/// Polls a transaction's closure to its end, unless it panics, stalls or runs out of time.
pub(crate) async fn drive<T, E, Fut>(
    tx: &Arc<TxInner>,
    connection: &TxConnection,
    work: impl FnOnce(Tx) -> Fut,
) -> Result<Result<T, E>, StoreError>
where
    Fut: Future<Output = Result<T, E>>,
{
    let closure = async { work(Tx::new(tx.clone())).await };
    let mut closure = pin!(AssertUnwindSafe(Inside(Box::pin(closure))).catch_unwind());
    let mut deadline = pin!(sleep_until(tx.ctx.deadline()));
    let mut timeout = STALL;
    let mut waits_since: Option<Instant> = None;
    let mut stall = pin!(sleep_until(Instant::now() + timeout));
    std::future::poll_fn(move |cx| {
        if let Poll::Ready(ended) = closure.as_mut().poll(cx) {
            return Poll::Ready(ended.map_err(|panic| panicked(&*panic)));
        }
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(StoreError::Timeout));
        }
        if connection.under_way.load(Ordering::Relaxed) > 0 {
            if let Some(since) = waits_since.take() {
                timeout = timeout.saturating_sub(since.elapsed());
            }
            return Poll::Pending;
        }
        if waits_since.is_none() {
            let now = Instant::now();
            waits_since = Some(now);
            stall.as_mut().reset(now + timeout);
        }
        stall.as_mut().poll(cx).map(|()| Err(StoreError::Stalled))
    })
    .await
}
