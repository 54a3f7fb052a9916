//! SQLite: one file, one thread that writes, a few that scan, and a reading connection for each worker thread.

mod connection;
mod copy;
mod failure;
mod ffi;
mod file_identity;
mod interrupt;
mod migrate;
mod open;
mod queued_tx;
mod reader;
mod writer;
mod writer_connection;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::{Clock, Ctx};
use tokio::sync::oneshot;

use self::connection::{Access, Slot};
use self::file_identity::FileIdentity;
use self::interrupt::{Gone, Interrupt};
use self::reader::{ReaderSlots, Readers, Reading};
use self::writer::{Writer, WriterJob};
use crate::fair_queue::{Caller, budget};
use crate::health::Health;
use crate::migrate::{Known, MigrationPlan};
use crate::read_limits::{Found, MOST_KEYS, Most};
use crate::session_check::Proof;
use crate::slow_query_log::SlowQueryLog;
use crate::{
    Applied, EventHandlers, FromRow, MigrateError, OpenError, OpenErrorKind, StoreError, StoreSettings, Tx, Value,
    params,
};

pub(crate) use self::connection::cell;
pub(crate) use self::copy::Source;
pub(crate) use self::writer_connection::{execute_in_tx, rows_in_tx};

/// What all reading connections together may keep of the file in memory, and what each may at least: SQLite's own measure.
const CACHE_KIB: usize = 64 * 1024;
const LEAST_CACHE_KIB: usize = 2000;

/// The engine behind a [`Store`](crate::Store) on one file. When it is dropped its threads do what is queued, and end.
#[derive(Debug)]
pub(crate) struct Sqlite {
    reader_slots: ReaderSlots,
    readers: Readers,
    writer: Writer,
    files: Arc<FileIdentity>,
    closed: Arc<AtomicBool>,
    health: Arc<Health>,
    slow: SlowQueryLog,
    /// How long a read for somebody outside may take.
    scan: Duration,
}

impl Sqlite {
    pub(crate) async fn open(path: &str, settings: &StoreSettings) -> Result<Self, OpenError> {
        let wait = Duration::from_millis(settings.wait_ms);
        let path = path.to_owned();
        // Opening may wait for another process's lock.
        let (path, connection) = tokio::task::spawn_blocking(move || open::writer(&path, wait))
            .await
            .map_err(|error| OpenError::new(OpenErrorKind::Other, "opening the database panicked").because(error))??;
        let files = Arc::new(FileIdentity::new(&path));
        files.note().map_err(|error| {
            OpenError::new(
                OpenErrorKind::Other,
                format!("the files of the database `{}` vanished while it was opened; start again", path.display()),
            )
            .because(error)
        })?;
        let closed = Arc::new(AtomicBool::new(false));
        // One for each thread of the runtime, and some for tests and tools that read from elsewhere.
        let reader_slots = std::thread::available_parallelism().map_or(4, |threads| (threads.get() * 2).clamp(4, 64));
        let cache_kib = (CACHE_KIB / (reader_slots + settings.readers)).max(LEAST_CACHE_KIB);
        let slots = |count: usize| {
            let mut slots: Vec<_> =
                (0..count).map(|_| Slot::new(files.clone(), cache_kib, wait, closed.clone())).collect();
            async move {
                // Now, while there are descriptors: connections take them all when many come.
                let opened = tokio::task::spawn_blocking(move || {
                    slots.iter_mut().try_for_each(Slot::open)?;
                    Ok::<_, StoreError>(slots)
                });
                opened.await.map_err(StoreError::internal)?
            }
        };
        let unread = |error: StoreError| {
            OpenError::new(
                OpenErrorKind::Other,
                "the database cannot be opened for reading; raise the limit of open files (`ulimit -n`) if it is below 256",
            )
            .because(error)
        };
        let threads = |error: std::io::Error| {
            OpenError::new(OpenErrorKind::Other, "the store's threads cannot be started; raise the limit of processes")
                .because(error)
        };
        let health = Arc::<Health>::default();
        Ok(Self {
            reader_slots: ReaderSlots::new(slots(reader_slots).await.map_err(unread)?),
            readers: Readers::start(slots(settings.readers).await.map_err(unread)?, settings.queue).map_err(threads)?,
            writer: Writer::start(connection, files.clone(), health.clone(), wait, settings.queue).map_err(threads)?,
            files,
            closed,
            health,
            slow: SlowQueryLog::after_ms(settings.slow_statement_ms),
            scan: Duration::from_millis(settings.scan_ms),
        })
    }

    /// Up to a number of rows, right here if they are few; one more is an error.
    pub(crate) async fn by_keys<T: FromRow>(
        &self,
        ctx: &Ctx,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Vec<T>, StoreError> {
        if most.rows <= MOST_KEYS
            && let Some(answer) = self.here(ctx, sql, params, most)
        {
            return answer;
        }
        // Also where every slot is in use, which takes more threads than there are slots.
        self.rows(ctx, sql, params, most).await.map(|found| found.rows)
    }

    fn here<T: FromRow>(
        &self,
        ctx: &Ctx,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Option<Result<Vec<T>, StoreError>> {
        let mut slot = self.reader_slots.take()?;
        let since = Instant::now();
        let limit = Interrupt::of(ctx, None).of_a_scan(budget(ctx, self.scan));
        let answer = interrupt::during(limit.clone(), || {
            slot.get().and_then(|connection| connection::fetch(connection, sql, params, Access::Read, most))
        });
        self.slow.watch(ctx, sql, since);
        Some(answer.map(|found| found.rows).map_err(|error| limit.explain(error)))
    }

    /// As much as there may be, on a reader thread.
    pub(crate) async fn rows<T: FromRow>(
        &self,
        ctx: &Ctx,
        sql: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Found<T>, StoreError> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        let (asker, slow) = (ctx.clone(), self.slow);
        let read = move |connection: &rusqlite::Connection| {
            let since = Instant::now();
            let answer = connection::fetch(connection, &sql, &params, Access::Read, most);
            slow.watch(&asker, &sql, since);
            answer
        };
        self.elsewhere(ctx, read).await
    }

    /// Reads on a reader thread. When the caller goes, so does the read.
    async fn elsewhere<T, F>(&self, ctx: &Ctx, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let gone = Gone::default();
        let limit = Interrupt::of(ctx, Some(gone.clone()));
        let budget = budget(ctx, self.scan);
        let (reply, answer) = oneshot::channel();
        let _waiting = gone.unless_waiting();
        let read: Reading = Box::new(move |slot| {
            if gone.is_set() {
                return;
            }
            let result = match slot {
                None => Err(StoreError::Busy),
                Some(slot) => {
                    let limit = limit.of_a_scan(budget);
                    let result = interrupt::during(limit.clone(), || slot.get().and_then(read));
                    result.map_err(|error| limit.explain(error))
                }
            };
            let _ = reply.send(result);
        });
        self.readers.submit(Caller::of(ctx), read)?;
        match ctx.within(answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::internal("reading a row panicked")),
            Err(_) => Err(StoreError::Timeout),
        }
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
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::unavailable("the store is closed").into());
        }
        let gone = Gone::default();
        let (reply, answer) = oneshot::channel();
        let call = queued_tx::Call {
            work,
            ctx: ctx.clone(),
            event_handlers: event_handlers.clone(),
            proof,
            health: self.health.clone(),
            slow: self.slow,
            gone: gone.clone(),
            reply,
            outcome: None,
        };
        let _waiting = gone.unless_waiting();
        self.writer.submit(Caller::of(ctx), WriterJob::QueuedTx(Box::new(call)))?;
        match ctx.within(answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::internal("the writer dropped the transaction").into()),
            Err(_) => Err(StoreError::Timeout.into()),
        }
    }

    pub(crate) async fn migrate(&self, plan: MigrationPlan, clock: &Clock) -> Result<Vec<Applied>, MigrateError> {
        let clock = clock.clone();
        let (reply, answer) = oneshot::channel();
        let work = WriterJob::Alone(Box::new(move |connection| {
            let _ = reply.send(migrate::run(connection, &plan, &clock));
        }));
        self.writer.submit(Caller::System, work)?;
        answer.await.map_err(|_| StoreError::internal("the writer dropped the migration"))?
    }

    /// Whether what is not applied yet could be.
    pub(crate) async fn check(&self, ctx: &Ctx, plan: &MigrationPlan, known: &[Known]) -> Result<(), MigrateError> {
        let mut taken = Vec::new();
        for table in plan.unmade_tables(known) {
            let sql = "SELECT count(*) FROM sqlite_schema WHERE name = $1";
            let found: Vec<(i64,)> = self.by_keys(ctx, sql, &params![table], Most::rows(1)).await?;
            if found.first().is_some_and(|(count,)| *count > 0) {
                taken.push(table.to_owned());
            }
        }
        migrate::refuse(&taken)
    }

    pub(crate) async fn ping(&self, ctx: &Ctx) -> Result<(), StoreError> {
        if !self.writer.is_alive() {
            return Err(StoreError::unavailable("the writer has ended"));
        }
        self.files.check()?;
        // Looks into the file, unlike `SELECT 1`.
        self.by_keys::<(i64,)>(ctx, "SELECT count(*) FROM sqlite_schema", &[], Most::rows(1)).await.map(|_| ())
    }

    /// Whether it takes writes.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.readers.shut();
        self.reader_slots.clear();
        self.readers.ended().await;
        // Last, since only who may write takes the log away with it.
        self.writer.shut();
        self.writer.ended().await;
    }
}
