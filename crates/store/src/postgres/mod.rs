//! PostgreSQL: shared connections for reads by key, a pool of them for everything else, and serializable transactions
//! that are run again when they contradict each other.

mod batch;
mod copy;
mod failure;
mod hosts;
mod migrate;
mod open;
mod pipeline;
mod places;
mod pool;
mod replica;
mod room;
mod session;
mod tls;
mod transaction;
mod url;
mod value;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kernel::{Clock, Ctx};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::failure::{Failure, Then};
use self::pipeline::Pipelines;
use self::pool::Pool;
use self::replica::Replica;
use crate::fair_queue::budget;
use crate::health::Health;
use crate::migrate::MigrationPlan;
use crate::read_limits::{Found, MOST_KEYS, Most};
use crate::schemas::Schemas;
use crate::session_check::Proof;
use crate::slow_query_log::SlowQueryLog;
use crate::tx::{Side, TxInner};
use crate::{Applied, EventHandlers, FromRow, MigrateError, OpenError, StoreError, StoreSettings, Tx, Value};

pub(crate) use self::copy::Target;
pub(crate) use self::open::check_urls;
pub(crate) use self::transaction::TxConnection;
pub(crate) use self::value::cell;

/// Shared connections at most.
const MOST_PIPELINES: usize = 16;
/// How often a transaction is run again because another was in its way.
const MOST_RUNS: u32 = 100;
/// From this run on it waits until no other such transaction is running, in this process.
const CONTENDED: u32 = 3;

/// The engine behind a [`Store`](crate::Store) on a server.
#[derive(Debug)]
pub(crate) struct Postgres {
    pool: Arc<Pool>,
    pipelines: Pipelines,
    replicas: Vec<Arc<Replica>>,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// Transactions that keep losing go through here one at a time, so that each gets its turn.
    contended: Semaphore,
    reruns: AtomicU64,
    slow: SlowQueryLog,
    /// How long a read for somebody outside may take.
    scan: Duration,
}

/// How one run of a transaction ended.
enum Ended<T, E> {
    With(Result<T, E>),
    /// It must be run again, or else this is the answer.
    Again(StoreError),
    /// The connection was dead before anything was done on it: it may be run on another, or else this is the answer.
    Reconnect(Result<T, E>),
}

/// How often a transaction was tried.
#[derive(Debug, Default)]
struct Tries<'a> {
    runs: u32,
    has_reconnected: bool,
    /// The turn of one that keeps losing.
    turn: Option<SemaphorePermit<'a>>,
}

impl Postgres {
    pub(crate) async fn open(url: &str, settings: &StoreSettings) -> Result<Self, OpenError> {
        let pool = open::pool(url, settings).await?;
        // One for each thread of the runtime.
        let pipelines = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_PIPELINES));
        let slow = SlowQueryLog::after_ms(settings.slow_statement_ms);
        let pipelines = Pipelines::new(pool.clone(), pipelines, settings.queue, slow);
        let max_lag = Duration::from_millis(settings.replica_max_lag_ms);
        let standbys = open::standbys(settings)?.into_iter();
        tokio::spawn(watch::watch(Arc::downgrade(&pool)));
        let replicas = standbys.map(|standby| Replica::start(&pool, standby, max_lag)).collect();
        Ok(Self {
            pool,
            pipelines,
            replicas,
            turn: AtomicUsize::new(0),
            contended: Semaphore::new(1),
            reruns: AtomicU64::new(0),
            slow,
            scan: Duration::from_millis(settings.scan_ms),
        })
    }

    /// As much as there may be, on the connection that this worker thread shares where that is few.
    pub(crate) async fn by_keys<T: FromRow>(
        &self,
        ctx: &Ctx,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Vec<T>, StoreError> {
        match self.pipelines().filter(|_| most.rows <= MOST_KEYS) {
            Some(pipelines) => pipelines.rows(ctx, sql, params, most).await,
            None => self.rows(ctx, sql, params, most).await.map(|found| found.rows),
        }
    }

    /// The connections that reads by key share, where a connection is ours alone: behind a pooler none is a worker thread's own.
    pub(crate) fn pipelines(&self) -> Option<&Pipelines> {
        self.pool.keeps_state().then_some(&self.pipelines)
    }

    /// As much as there may be, on a connection of the pool.
    pub(crate) async fn rows<T: FromRow>(
        &self,
        ctx: &Ctx,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Found<T>, StoreError> {
        let budget = budget(ctx, self.scan);
        let mut again = true;
        loop {
            let mut lease = self.pool.lease(ctx).await?;
            let since = Instant::now();
            let result = lease.fetch(ctx, sql, params, most, budget).await;
            drop(lease);
            self.slow.watch(ctx, sql, since);
            let failure = match result {
                Ok(found) => return Ok(found),
                Err(failure) => failure,
            };
            // A read changes nothing, so it can be tried once more.
            match failure.then {
                Then::Reconnect if again => self.pool.forget_idle(),
                Then::Prepare | Then::Again if again => {}
                _ => return Err(failure.of_a_read()),
            }
            again = false;
        }
    }

    /// The same, where the answer may be behind.
    pub(crate) async fn rows_behind<T: FromRow>(
        &self,
        ctx: &Ctx,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Found<T>, StoreError> {
        let turn = if self.replicas.len() > 1 { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        for n in 0..self.replicas.len() {
            let since = Instant::now();
            let replica = &self.replicas[(turn + n) % self.replicas.len()];
            if let Some(answer) = replica.rows(ctx, sql, params, most, budget(ctx, self.scan)).await {
                self.slow.watch(ctx, sql, since);
                return answer;
            }
        }
        self.rows(ctx, sql, params, most).await
    }

    pub(crate) async fn tx<T, E, F, Fut>(
        &self,
        event_handlers: &Arc<EventHandlers>,
        ctx: &Ctx,
        proof: Option<Proof>,
        work: F,
    ) -> Result<T, E>
    where
        F: Fn(Tx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let mut tries = Tries::default();
        loop {
            match self.run(event_handlers, ctx, proof.clone(), &work).await? {
                Ended::With(result) => return result,
                Ended::Reconnect(result) if tries.has_reconnected => return result,
                Ended::Reconnect(_) => self.reconnect(&mut tries),
                Ended::Again(refusal) => self.again(ctx, &mut tries, refusal).await?,
            }
        }
    }

    /// Whether one statement may go out as a transaction of its own: what a pooler makes of one that was refused its
    /// beginning is not known.
    pub(crate) fn can_write_rows(&self) -> bool {
        self.pool.keeps_state()
    }

    /// Up to `most` rows of a statement that changes something and ends with what it returns, in a transaction of its own. One
    /// row more is an error, and the change is made.
    pub(crate) async fn write_rows<T: FromRow>(
        &self,
        ctx: &Ctx,
        proof: Option<Proof>,
        mut sql: String,
        mut params: Vec<Value>,
        most: usize,
    ) -> Result<Vec<T>, StoreError> {
        if let Some(proof) = proof {
            // Another statement for it would cost an eighth of the whole.
            sql = proof.within(&sql, params.len());
            params.extend(proof.params);
        }
        let mut tries = Tries::default();
        loop {
            let mut lease = self.lease_to_write(ctx).await?;
            let since = Instant::now();
            let written = lease.write(ctx, &sql, &params, most).await;
            drop(lease);
            self.slow.watch(ctx, &sql, since);
            match &written {
                Ok(_) => self.health().wrote(),
                Err(failure) => self.health().failed_on_server(&failure.error),
            }
            match written {
                Err(Failure { then: Then::Again | Then::Prepare, .. }) => {
                    self.again(ctx, &mut tries, StoreError::Busy).await?;
                }
                Err(Failure { then: Then::Reconnect, .. }) if !tries.has_reconnected => self.reconnect(&mut tries),
                written => {
                    // Also where it is not known whether it came to be.
                    self.replicas.iter().for_each(|replica| replica.wrote(ctx.identity()));
                    return written.map_err(|failure| failure.error);
                }
            }
        }
    }

    /// A connection for something that may write, unless the database is known to refuse that.
    async fn lease_to_write(&self, ctx: &Ctx) -> Result<pool::Lease, StoreError> {
        if self.health().is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        self.pool.lease(ctx).await
    }

    fn reconnect(&self, tries: &mut Tries<'_>) {
        self.pool.forget_idle();
        tries.has_reconnected = true;
    }

    /// Waits until a transaction may be run again that another was in the way of.
    async fn again<'a>(&'a self, ctx: &Ctx, tries: &mut Tries<'a>, refusal: StoreError) -> Result<(), StoreError> {
        tries.runs += 1;
        self.reruns.fetch_add(1, Ordering::Relaxed);
        if tries.runs >= MOST_RUNS || ctx.remaining().is_zero() {
            return Err(refusal);
        }
        if tries.runs >= CONTENDED && tries.turn.is_none() {
            tries.turn = match ctx.within(self.contended.acquire()).await {
                Ok(permit) => permit.ok(),
                Err(_) => return Err(refusal),
            };
        }
        // Up to 1, 2, 4 … 32 ms, so that two that contradict each other do not meet again.
        let most = Duration::from_millis(1 << tries.runs.min(5));
        ctx.within(tokio::time::sleep(ctx.random().part_of(most))).await.map_err(|_| refusal)
    }

    async fn run<T, E, F, Fut>(
        &self,
        event_handlers: &Arc<EventHandlers>,
        ctx: &Ctx,
        proof: Option<Proof>,
        work: &F,
    ) -> Result<Ended<T, E>, StoreError>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<StoreError>,
    {
        let mut lease = self.lease_to_write(ctx).await?;
        if let Err(failure) = lease.begin(ctx, proof).await {
            self.health().failed_on_server(&failure.error);
            return match failure.then {
                Then::Reconnect => Ok(Ended::Reconnect(Err(failure.error.into()))),
                _ => Err(failure.error),
            };
        }
        let tx = TxInner::new(
            ctx,
            event_handlers,
            self.health(),
            self.slow,
            Side::Postgres(Box::new(TxConnection::new(lease))),
        );
        let Side::Postgres(held) = &tx.side else { return Err(StoreError::internal("a transaction of another kind")) };
        let result = transaction::drive(&tx, held, work).await;
        let lease = held.take();
        let is_pending = lease.as_ref().is_none_or(pool::Lease::is_pending);
        let commits = matches!(result, Ok(Ok(_))) && !tx.has_failed() && !is_pending;
        let mut ended = Ok(());
        // A statement in the middle, no time left, or nobody there: dropping the lease cancels and rolls back, or cuts it, in
        // the background.
        if let Some(mut lease) = lease
            && !is_pending
            && !tx.wants_reconnect()
        {
            ended = lease.end(ctx, if commits { "COMMIT" } else { "ROLLBACK" }).await;
        }
        if commits {
            // Also where it is not known whether it came to be.
            self.replicas.iter().for_each(|replica| replica.wrote(ctx.identity()));
            match &ended {
                Ok(()) => self.health().wrote(),
                Err(failure) => self.health().failed_on_server(&failure.error),
            }
            return Ok(match ended {
                Ok(()) => Ended::With(result?),
                Err(Failure { error, then: Then::Again }) => Ended::Again(error),
                Err(failure) => Ended::With(Err(failure.error.into())),
            });
        }
        if tx.wants_retry() {
            return Ok(Ended::Again(StoreError::Busy));
        }
        let result = match result? {
            Ok(_) => Err(TxInner::swallowed().into()),
            error => error,
        };
        Ok(if tx.wants_reconnect() { Ended::Reconnect(result) } else { Ended::With(result) })
    }

    pub(crate) async fn migrate(&self, plan: MigrationPlan, clock: &Clock) -> Result<Vec<Applied>, MigrateError> {
        let result = migrate::run(&self.pool, &plan, clock).await;
        self.replicas.iter().for_each(|replica| replica.pool().follow(&self.pool));
        result
    }

    /// Whether what is not applied yet could be.
    pub(crate) async fn check(&self, plan: &MigrationPlan) -> Result<(), MigrateError> {
        migrate::check(&self.pool, plan).await
    }

    /// How its schemas are named.
    pub(crate) fn schemas(&self) -> &Schemas {
        self.pool.schemas()
    }

    /// Whether it takes writes.
    pub(crate) fn health(&self) -> &Arc<Health> {
        self.pool.health()
    }

    pub(crate) async fn ping(&self, ctx: &Ctx) -> Result<(), StoreError> {
        self.by_keys::<(i32,)>(ctx, "SELECT 1", &[], Most::rows(1)).await.map(|_| ())
    }

    pub(crate) fn reruns(&self) -> u64 {
        self.reruns.load(Ordering::Relaxed)
    }

    /// Whether that leads to the server itself.
    pub(crate) fn admin_is_direct(&self) -> bool {
        self.pool.admin_is_direct()
    }

    /// A connection that may change the tables, outside the pool.
    pub(crate) async fn connect_admin(&self) -> Result<session::Session, StoreError> {
        self.pool.connect_admin().await.map_err(|error| Failure::from(error).error)
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
        self.pipelines.close().await;
        for replica in &self.replicas {
            replica.pool().close().await;
        }
    }
}
