use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kernel::Ctx;

use crate::health::Health;
use crate::read_limits::{MOST_ROWS, Most};
use crate::slow_query_log::{SlowQueryLog, tell_failed};
use crate::{EventHandlers, FromRow, Invalidation, Reads, StoreError, Value, postgres, reentrancy, sqlite};

/// The most things that a transaction touches one by one.
const MOST_TOUCHED: usize = 1000;

/// Event handlers may emit in turn; deeper than this they are taken to go in a circle.
const DEEPEST: u8 = 16;

/// A transaction under way. It is handed to the closure of [`Store::tx`](crate::Store::tx), and is of use only while
/// that closure runs: a clone kept longer answers with an error. Statements run one after another.
#[derive(Clone)]
pub struct Tx {
    inner: Arc<TxInner>,
    depth: u8,
}

/// What all clones of one transaction share. Held by the engine that runs it and by every clone of its [`Tx`].
pub(crate) struct TxInner {
    pub(crate) ctx: Ctx,
    event_handlers: Arc<EventHandlers>,
    health: Arc<Health>,
    slow: SlowQueryLog,
    state: AtomicU8,
    invalidations: Mutex<Vec<Invalidation>>,
    pub(crate) side: Side,
}

pub(crate) enum Side {
    Sqlite,
    Postgres(Box<postgres::TxConnection>),
}

/// How long a closure may wait, altogether, for something that is not its `Tx`: the same on both databases. On SQLite
/// every other transaction waits with it.
pub(crate) const STALL: Duration = Duration::from_secs(1);

/// Nothing failed yet.
const HEALTHY: u8 = 0;
/// A statement or an event handler failed: only a rollback is left.
const FAILED: u8 = 1;
/// The database asks for the whole closure to be run again.
const RETRY: u8 = 2;
/// The connection was dead when the transaction was to begin: the closure can be run again on another.
const RECONNECT: u8 = 3;

impl TxInner {
    pub(crate) fn new(
        ctx: &Ctx,
        event_handlers: &Arc<EventHandlers>,
        health: &Arc<Health>,
        slow: SlowQueryLog,
        side: Side,
    ) -> Arc<Self> {
        Arc::new(Self {
            ctx: ctx.clone(),
            event_handlers: event_handlers.clone(),
            health: health.clone(),
            slow,
            state: AtomicU8::new(HEALTHY),
            invalidations: Mutex::default(),
            side,
        })
    }

    /// Whether a statement or an event handler failed, so that the transaction may not be committed.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.load(Ordering::Relaxed) != HEALTHY
    }

    /// Whether the database asked for another run.
    pub(crate) fn wants_retry(&self) -> bool {
        self.state.load(Ordering::Relaxed) == RETRY
    }

    pub(crate) fn fail(&self) {
        self.state.fetch_max(FAILED, Ordering::Relaxed);
    }

    pub(crate) fn ask_for_retry(&self) {
        self.state.store(RETRY, Ordering::Relaxed);
    }

    /// Whether another connection may do.
    pub(crate) fn wants_reconnect(&self) -> bool {
        self.state.load(Ordering::Relaxed) == RECONNECT
    }

    pub(crate) fn ask_for_reconnect(&self) {
        self.state.store(RECONNECT, Ordering::Relaxed);
    }

    /// The answer to a `Tx` that is used where or when its closure does not run.
    pub(crate) fn over() -> StoreError {
        StoreError::internal("a `Tx` was used outside its closure: kept longer, or sent to another task")
    }

    /// The answer when the closure says `Ok` although something failed in between.
    pub(crate) fn swallowed() -> StoreError {
        StoreError::internal(
            "a statement of this transaction failed and the closure went on; return the error, the transaction can \
             only be rolled back",
        )
    }
}

impl Tx {
    pub(crate) fn new(inner: Arc<TxInner>) -> Self {
        Self { inner, depth: 0 }
    }

    /// The operation this transaction belongs to.
    pub fn ctx(&self) -> &Ctx {
        &self.inner.ctx
    }

    /// Runs a statement that changes something, and says how many rows it changed.
    ///
    /// # Errors
    /// As the database says; the transaction can only be rolled back then.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64, StoreError> {
        self.check()?;
        let since = Instant::now();
        let result = match &self.inner.side {
            Side::Sqlite => sqlite::execute_in_tx(&self.inner, sql, params),
            Side::Postgres(held) => held.execute(&self.inner, sql, params).await,
        };
        self.inner.slow.watch(&self.inner.ctx, sql, since);
        self.note(result)
    }

    /// Says that this transaction changes something that others may keep a copy of: they forget it before the transaction is
    /// acknowledged. A resource with `cache` says so by itself; SQL of one's own that changes its rows says it here.
    pub fn invalidate(&self, invalidations: Invalidation) {
        let mut all = self.inner.invalidations.lock().unwrap_or_else(PoisonError::into_inner);
        let invalidations = match invalidations {
            // This many are forgotten sooner by their kind.
            Invalidation::One(kind, _) if all.len() >= MOST_TOUCHED => Invalidation::All(kind),
            invalidations => invalidations,
        };
        if !all.contains(&invalidations) {
            all.push(invalidations);
        }
    }

    pub(crate) fn take_touched(&self) -> Vec<Invalidation> {
        std::mem::take(&mut *self.inner.invalidations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells every event handler to `E`, inside this transaction, in the order of their registration.
    ///
    /// # Errors
    /// The first error of an event handler; the transaction can only be rolled back then.
    pub async fn emit<E: Send + Sync + 'static>(&self, event: E) -> Result<(), StoreError> {
        self.check()?;
        let event_handlers = self.inner.event_handlers.to::<E>();
        if event_handlers.is_empty() {
            return Ok(());
        }
        if self.depth >= DEEPEST {
            return self.note(Err(StoreError::internal(format!(
                "event handlers emit one another in a circle: `{}` at depth {DEEPEST}",
                std::any::type_name::<E>()
            ))));
        }
        let event = Arc::new(event);
        for (domain, react) in event_handlers {
            let tx = Tx { inner: self.inner.clone(), depth: self.depth + 1 };
            if let Err(error) = react(tx, event.clone()).await {
                tracing::debug!(domain, event = std::any::type_name::<E>(), "an event handler failed");
                return self.note(Err(error));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        if !reentrancy::is_inside() {
            return Err(TxInner::over());
        }
        if self.inner.has_failed() { Err(TxInner::swallowed()) } else { Ok(()) }
    }

    async fn up_to<T: FromRow>(&self, most: Most, sql: &str, params: &[Value]) -> Result<Vec<T>, StoreError> {
        self.check()?;
        let since = Instant::now();
        let result = match &self.inner.side {
            Side::Sqlite => sqlite::rows_in_tx(&self.inner, sql, params, most),
            Side::Postgres(held) => held.rows(&self.inner, sql, params, most).await,
        };
        self.inner.slow.watch(&self.inner.ctx, sql, since);
        if let Err(error) = &result {
            tell_failed(&self.inner.ctx, sql, error);
        }
        self.note(result)
    }

    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.inner.fail();
            match self.inner.side {
                Side::Sqlite => self.inner.health.failed(error),
                Side::Postgres(_) => self.inner.health.failed_on_server(error),
            }
        }
        result
    }
}

impl Reads for Tx {
    async fn row<T: FromRow>(&self, sql: &str, params: &[Value]) -> Result<Option<T>, StoreError> {
        self.up_to(Most::rows(1), sql, params).await.map(|mut rows| rows.pop())
    }

    async fn rows<T: FromRow>(&self, sql: &str, params: &[Value]) -> Result<Vec<T>, StoreError> {
        self.up_to(Most::rows(MOST_ROWS), sql, params).await
    }

    async fn rows_by_key<T: FromRow>(&self, sql: &str, params: &[Value]) -> Result<Vec<T>, StoreError> {
        self.up_to(Most::rows(params.len()), sql, params).await
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("request_id", &self.inner.ctx.request_id()).finish_non_exhaustive()
    }
}
