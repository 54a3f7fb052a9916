use std::fmt;
use std::sync::Arc;

use kernel::{Clock, Ctx};
use uuid::Uuid;

use crate::health::Health;
use crate::invalidation::PendingInvalidations;
use crate::postgres::Postgres;
use crate::read_limits::{Found, Most};
use crate::session_check::Proof;
use crate::settings::DatabaseLocation;
use crate::slow_query_log::tell_failed;
use crate::sqlite::Sqlite;
use crate::{
    Applied, ById, CommitHook, CommitObserver, EventHandlers, FromRow, Invalidation, MigrateError, Migrations,
    OpenError, OpenErrorKind, PendingInvalidation, SessionCheck, StoreError, StoreSettings, Tx, Value, reentrancy,
};

/// Which database is behind the store. Only migrations need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// One file on this machine.
    Sqlite,
    /// A server.
    Postgres,
}

/// The database. Cheap to clone; every clone is the same store.
///
/// The last clone that is dropped lets the writer finish what is queued and the connections go, but does not wait for
/// it; [`Store::close`] does.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Arc<Engine>,
    event_handlers: Arc<EventHandlers>,
    watch: Option<Watching>,
    session_check: Option<SessionCheck>,
}

/// Learns what transactions touch.
#[derive(Clone)]
struct Watching(Arc<dyn CommitObserver>);

impl Watching {
    /// A change of this under way, where somebody keeps any of it.
    fn pending(&self, invalidations: Vec<Invalidation>) -> Option<Box<dyn PendingInvalidation>> {
        if invalidations.is_empty() { None } else { self.0.begin(invalidations) }
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watching")
    }
}

#[derive(Debug)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Store {
    /// Opens the database. Nothing is created in it yet, see [`Store::migrate`].
    ///
    /// Must be called inside a tokio runtime with time and I/O enabled; connections are driven by that one.
    ///
    /// # Errors
    /// What is wrong, and what to do next.
    pub async fn open(settings: &StoreSettings, event_handlers: EventHandlers) -> Result<Store, OpenError> {
        settings.validate().map_err(|advice| OpenError::new(OpenErrorKind::Settings, advice))?;
        let place = settings.place().map_err(|advice| OpenError::new(OpenErrorKind::Settings, advice))?;
        let engine = match place {
            DatabaseLocation::Sqlite(path) => Engine::Sqlite(Sqlite::open(&path, settings).await?),
            DatabaseLocation::Postgres(url) => Engine::Postgres(Postgres::open(url, settings).await?),
        };
        Ok(Store {
            engine: Arc::new(engine),
            event_handlers: Arc::new(event_handlers),
            watch: None,
            session_check: None,
        })
    }

    /// The same store; `watch` learns what its transactions touch.
    #[must_use]
    pub fn watched_by(self, watch: Arc<dyn CommitObserver>) -> Self {
        Self { watch: Some(Watching(watch)), ..self }
    }

    /// The same store, each of whose transactions in a person's name begins with this proof and is refused as
    /// [`StoreError::SessionEnded`] without it. No use case has to ask for it, and none can leave it out.
    #[must_use]
    pub fn checking_sessions(self, check: SessionCheck) -> Self {
        Self { session_check: Some(check), ..self }
    }

    /// What a transaction of this operation has to prove.
    fn proof(&self, ctx: &Ctx) -> Option<Proof> {
        self.session_check.as_ref()?.of(ctx.identity(), ctx.now())
    }

    /// The server's side, if it is one.
    pub(crate) fn postgres(&self) -> Option<&Postgres> {
        match &*self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(postgres) => Some(postgres),
        }
    }

    /// Which database is behind it.
    pub fn dialect(&self) -> Dialect {
        match &*self.engine {
            Engine::Sqlite(_) => Dialect::Sqlite,
            Engine::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Brings the tables of all domains up to date, and says what it did. Two processes may do it at once: one waits
    /// for the other, each step is applied once, whole or not at all.
    ///
    /// # Errors
    /// What is wrong with a migration, or with the database; steps already applied stay.
    pub async fn migrate(&self, sets: &[Migrations], clock: &Clock) -> Result<Vec<Applied>, MigrateError> {
        let plan = crate::migrate::MigrationPlan::new(sets, self.dialect())?;
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.migrate(plan, clock).await,
            Engine::Postgres(postgres) => postgres.migrate(plan, clock).await,
        }
    }

    /// The steps that [`Store::migrate`] would apply. Applies none, and makes nothing.
    ///
    /// # Errors
    /// What is wrong with a migration, that the database was brought up to date by another program, or that there is no room
    /// in it.
    pub async fn pending(&self, ctx: &Ctx, sets: &[Migrations]) -> Result<Vec<Applied>, MigrateError> {
        let plan = crate::migrate::MigrationPlan::new(sets, self.dialect())?;
        let read = self.read(ctx);
        let (is_there, migrations) = match &*self.engine {
            Engine::Sqlite(_) => (
                "SELECT count(*) FROM sqlite_schema WHERE name = 'mainstay_migrations'".to_owned(),
                "mainstay_migrations".to_owned(),
            ),
            Engine::Postgres(postgres) => {
                let (schema, migrations) = (postgres.schemas().record(), postgres.schemas().migrations());
                let there = format!(
                    "SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}' AND tablename = 'mainstay_migrations'"
                );
                (there, migrations)
            }
        };
        let known: Vec<crate::migrate::Known> = match read.row::<(i64,)>(&is_there, &[]).await? {
            Some((1..,)) => read.rows(&format!("SELECT domain, step, name, checksum FROM {migrations}"), &[]).await?,
            _ => Vec::new(),
        };
        plan.verify(&known)?;
        if plan.pending(&known).next().is_some() {
            match &*self.engine {
                Engine::Sqlite(sqlite) => sqlite.check(ctx, &plan, &known).await?,
                Engine::Postgres(postgres) => postgres.check(&plan).await?,
            }
        }
        let pending = plan.pending(&known);
        Ok(pending.map(|(domain, step)| Applied { domain, step: step.number, name: step.name }).collect())
    }

    /// Reads outside a transaction: each statement sees what was committed before it.
    pub fn read<'a>(&'a self, ctx: &'a Ctx) -> Read<'a> {
        Read { store: self, ctx, may_be_behind: false }
    }

    /// Runs `work` in a transaction. All transactions behave as if they ran strictly one after another; an `Err` from
    /// `work`, a panic in it, the deadline and a dropped caller roll back.
    ///
    /// In a person's name ([`Ctx::identity`]) it is proved inside the transaction that their session is live
    /// ([`Store::checking_sessions`]).
    ///
    /// `work` is called again when the database asks for it (PostgreSQL after a conflict, SQLite when a neighbour in
    /// the group made the shared commit fail), so it must have no effect but through its [`Tx`]. It must await nothing
    /// but its `Tx`: one that waits for something else for a second is rolled back as [`StoreError::Stalled`]. A
    /// statement that fails, fails the transaction: it can only be rolled back then, on both databases.
    ///
    /// # Errors
    /// Whatever `work` returns, or a [`StoreError`]. After [`StoreError::Timeout`] or [`StoreError::Unavailable`] from
    /// the commit itself it is not known whether the transaction took effect.
    pub async fn tx<T, E, F, Fut>(&self, ctx: &Ctx, work: F) -> Result<T, E>
    where
        F: Fn(Tx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if reentrancy::is_inside() {
            return Err(StoreError::Nested.into());
        }
        let (commit_hook, watch, under_way) =
            (ctx.attached::<CommitHook>().cloned(), self.watch.clone(), PendingInvalidations::default());
        let (dialect, told) = (self.dialect(), under_way.clone());
        let work = move |tx: Tx| {
            let (done, commit_hook) = (work(tx.clone()), commit_hook.clone());
            let (watch, told) = (watch.clone(), told.clone());
            async move {
                let value = done.await?;
                if let Some(saving) = commit_hook.and_then(|commit_hook| commit_hook.call(tx.clone(), &value)) {
                    saving.await?;
                }
                if let Some(mut pending) = watch.and_then(|watch| watch.pending(tx.take_touched())) {
                    if dialect == Dialect::Postgres {
                        pending.publish().await;
                    }
                    told.add(pending);
                }
                Ok(value)
            }
        };
        let outcome = match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.tx(&self.event_handlers, ctx, self.proof(ctx), work).await,
            Engine::Postgres(postgres) => postgres.tx(&self.event_handlers, ctx, self.proof(ctx), work).await,
        };
        // What got so far and failed may have been committed, or may be yet: that it is dropped says so.
        if outcome.is_ok() {
            under_way.done().await;
        }
        outcome
    }

    /// One row, written by one statement (`insert … returning …`) in a transaction of its own: [`Store::tx`] with that
    /// statement alone, for which PostgreSQL is asked once instead of twice. Its `returning` comes last. `touched` is what it changes that others may
    /// keep a copy of.
    ///
    /// # Errors
    /// As [`Store::tx`]: after [`StoreError::Timeout`] or [`StoreError::Unavailable`] it is not known whether the row was
    /// written. A statement that gives no row, or more than one, is a bug in the program, and what it did may stay.
    pub async fn write_row<T: FromRow + Send + 'static>(
        &self,
        ctx: &Ctx,
        sql: String,
        params: Vec<Value>,
        invalidations: Vec<Invalidation>,
    ) -> Result<T, StoreError> {
        let none = || StoreError::internal("a statement that writes a row gave none; let it end with `returning`");
        match &*self.engine {
            Engine::Postgres(postgres) if postgres.can_write_rows() && ctx.attached::<CommitHook>().is_none() => {
                if reentrancy::is_inside() {
                    return Err(StoreError::Nested);
                }
                let under_way = PendingInvalidations::default();
                if let Some(mut pending) = self.watch.as_ref().and_then(|watch| watch.pending(invalidations)) {
                    ctx.within(pending.publish()).await.map_err(|_| StoreError::Timeout)?;
                    under_way.add(pending);
                }
                let written = postgres.write_rows(ctx, self.proof(ctx), sql, params, 1).await;
                if !matches!(written, Err(StoreError::Timeout | StoreError::Unavailable { .. })) {
                    under_way.done().await;
                }
                written?.pop().ok_or_else(none)
            }
            _ => {
                let statement = Arc::new((sql, params, invalidations));
                let work = move |tx: Tx| {
                    let statement = statement.clone();
                    async move {
                        let (sql, params, invalidations) = &*statement;
                        let row = tx.row(sql, params).await?;
                        invalidations.iter().for_each(|invalidations| tx.invalidate(invalidations.clone()));
                        row.ok_or_else(none)
                    }
                };
                self.tx(ctx, work).await
            }
        }
    }

    /// Whether a read can be answered and the writer is alive: for readiness.
    ///
    /// # Errors
    /// Why not.
    pub async fn ping(&self, ctx: &Ctx) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.ping(ctx).await,
            Engine::Postgres(postgres) => postgres.ping(ctx).await,
        }
    }

    /// Why writes fail, as far as the last operations have shown, by the name of the error that callers receive; none
    /// where they succeed. It is over when something is committed: to find out, write something.
    pub fn trouble(&self) -> Option<&'static str> {
        self.health().trouble()
    }

    /// Whether anything was committed since this was asked last.
    pub fn take_committed(&self) -> bool {
        self.health().take_committed()
    }

    fn health(&self) -> &Health {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.health(),
            Engine::Postgres(postgres) => postgres.health(),
        }
    }

    /// How often a transaction was run again since the store was opened, because PostgreSQL found another in its way: a
    /// conflict or a deadlock. Much of it means that many change the same rows. On SQLite transactions run one after
    /// another, and none is.
    pub fn reruns(&self) -> u64 {
        match &*self.engine {
            Engine::Sqlite(_) => 0,
            Engine::Postgres(postgres) => postgres.reruns(),
        }
    }

    /// Takes nothing new, waits until everything queued is done and saved, and lets go of the database. What comes
    /// later is answered [`StoreError::Unavailable`].
    pub async fn close(&self) {
        match &*self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close().await,
        }
    }
}

/// Something that can be read from: the store outside a transaction ([`Store::read`]), or a [`Tx`]. Functions that
/// only read take `&impl Reads`, and work in both.
pub trait Reads: Send + Sync {
    /// At most one row, found by a unique key. On SQLite this runs right here, on the calling thread: anything that may
    /// scan belongs into [`rows`](Reads::rows).
    ///
    /// # Errors
    /// As the database says; also when there is more than one row.
    fn row<T: FromRow>(
        &self,
        sql: &str,
        params: &[Value],
    ) -> impl Future<Output = Result<Option<T>, StoreError>> + Send;

    /// Any number of rows, up to 100,000, and of 32 MiB where somebody asks from outside. It takes a reader thread (SQLite)
    /// or a connection (PostgreSQL), of which each caller has a share, and is ended after `scan_ms`.
    ///
    /// # Errors
    /// As the database says; also when there is more than that.
    fn rows<T: FromRow>(&self, sql: &str, params: &[Value]) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send;

    /// The rows found by unique keys, each of which is a parameter: `WHERE id IN ($1, $2, …)`. Up to
    /// [`MOST_KEYS`](crate::MOST_KEYS) of them are read as one is by [`row`](Reads::row), with the same warning: at once, and
    /// without waiting behind scans. For more, ask for that many at a time.
    ///
    /// # Errors
    /// As the database says; also when there are more rows than parameters.
    fn rows_by_key<T: FromRow>(
        &self,
        sql: &str,
        params: &[Value],
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send;
}

/// Reads outside a transaction. Made by [`Store::read`] for one operation.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    store: &'a Store,
    ctx: &'a Ctx,
    may_be_behind: bool,
}

impl Read<'_> {
    /// The same reads, whose [`rows`](Reads::rows) a standby may answer where there is one (`replica_url`): by at most
    /// `replica_max_lag_ms` behind, and never behind what the same person wrote through this process. For lists that
    /// people look at; what decides who may do what is read without.
    #[must_use]
    pub fn may_be_behind(self) -> Self {
        Self { may_be_behind: true, ..self }
    }

    /// Rows up to a number of bytes, or one row that has more; and whether there are others. Rows that are not needed
    /// are not held: neither database's rows are read to their end first.
    ///
    /// # Errors
    /// As [`Reads::rows`].
    pub async fn page<T: FromRow>(
        &self,
        sql: &str,
        params: &[Value],
        bytes: usize,
    ) -> Result<(Vec<T>, bool), StoreError> {
        self.up_to(sql, params, Most::page(bytes)).await.map(|found| (found.rows, found.is_cut))
    }

    /// The row of an id, if there is one. Read as [`row`](Reads::row) does; on PostgreSQL those who ask at the same time are
    /// answered by one statement, of which each row costs the server less.
    ///
    /// # Errors
    /// As the database says; also when there is more than one row.
    pub async fn row_by_id<T: FromRow>(&self, statement: &ById, id: Uuid) -> Result<Option<T>, StoreError> {
        let pipelines = match &*self.store.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(postgres) => postgres.pipelines(),
        };
        let Some(pipelines) = pipelines else { return self.row(statement.one(), &[Value::Id(id)]).await };
        if reentrancy::is_inside() {
            return Err(StoreError::Nested);
        }
        pipelines.row_by_id(self.ctx, statement, id).await.inspect_err(|error| self.failed(statement.one(), error))
    }

    async fn up_to<T: FromRow>(&self, sql: &str, params: &[Value], most: Most) -> Result<Found<T>, StoreError> {
        if reentrancy::is_inside() {
            return Err(StoreError::Nested);
        }
        match &*self.store.engine {
            Engine::Sqlite(sqlite) => sqlite.rows(self.ctx, sql, params, most).await,
            Engine::Postgres(postgres) if self.may_be_behind => postgres.rows_behind(self.ctx, sql, params, most).await,
            Engine::Postgres(postgres) => postgres.rows(self.ctx, sql, params, most).await,
        }
        .inspect_err(|error| self.failed(sql, error))
    }

    async fn by_keys<T: FromRow>(&self, sql: &str, params: &[Value], most: usize) -> Result<Vec<T>, StoreError> {
        if reentrancy::is_inside() {
            return Err(StoreError::Nested);
        }
        let most = Most::by_keys(self.ctx, most);
        match &*self.store.engine {
            Engine::Sqlite(sqlite) => sqlite.by_keys(self.ctx, sql, params, most).await,
            Engine::Postgres(postgres) => postgres.by_keys(self.ctx, sql, params, most).await,
        }
        .inspect_err(|error| self.failed(sql, error))
    }

    fn failed(&self, sql: &str, error: &StoreError) {
        self.store.health().failed_to_read(error);
        tell_failed(self.ctx, sql, error);
    }
}

impl Reads for Read<'_> {
    async fn row<T: FromRow>(&self, sql: &str, params: &[Value]) -> Result<Option<T>, StoreError> {
        self.by_keys(sql, params, 1).await.map(|mut rows| rows.pop())
    }

    async fn rows<T: FromRow>(&self, sql: &str, params: &[Value]) -> Result<Vec<T>, StoreError> {
        self.up_to(sql, params, Most::of(self.ctx)).await.map(|found| found.rows)
    }

    async fn rows_by_key<T: FromRow>(&self, sql: &str, params: &[Value]) -> Result<Vec<T>, StoreError> {
        self.by_keys(sql, params, params.len()).await
    }
}
