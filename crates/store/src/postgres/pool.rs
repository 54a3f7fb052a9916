//! A bounded number of connections. A caller that needs one waits a bounded time in a bounded queue, and a connection
//! goes back only when nothing is open on it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use kernel::Ctx;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::SimpleQueryMessage;

use super::failure::{Failure, Then};
use super::hosts::{CONNECT, Hosts};
use super::places::{Permit, Places};
use super::session::{Open, Session, Statements, TransactionStart};
use super::watch;
use crate::health::Health;
use crate::read_limits::{Found, Most};
use crate::schemas::Schemas;
use crate::session_check::Proof;
use crate::{FromRow, StoreError, StoreSettings, Value, sql};

/// How long a connection may take to be brought back from a cancelled statement.
const RECOVER: Duration = Duration::from_secs(3);
/// How long [`Pool::close`] waits for what is under way.
pub(crate) const CLOSE: Duration = Duration::from_secs(10);

/// How callers use a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// One caller at a time.
    Alone,
    /// Everything that runs on one worker thread; none waits for another's answer.
    Shared,
}

impl Use {
    /// How long a statement may run.
    const fn statement_timeout(self) -> Duration {
        match self {
            // Each operation's own deadline is far shorter: this is for a process that died and a server that did not
            // notice.
            Self::Alone => Duration::from_secs(300),
            // It holds up those behind it.
            Self::Shared => Duration::from_secs(2),
        }
    }

    /// What is set beside [`SETUP`].
    const fn settings(self) -> &'static str {
        match self {
            Self::Alone => "",
            // Reads by key have one plan. Left to itself PostgreSQL plans a list of fewer than eight keys again each time,
            // since it takes the general plan to be one for ten.
            Self::Shared => "; SET plan_cache_mode = force_generic_plan",
        }
    }
}

/// What every connection is set to. The time-out is for a process that died and a server that did not notice. Changes are
/// refused outside `store.tx`, as SQLite's readers refuse them.
const SETUP: &str = "SET idle_in_transaction_session_timeout = '1min'; \
    SET TIME ZONE 'UTC'; SET client_min_messages = error; SET standard_conforming_strings = on; \
    SET default_transaction_read_only = on";

/// The connections of one store. Held by the store, by every lease and by the tasks that bring connections back.
#[derive(Debug)]
pub(crate) struct Pool {
    hosts: Hosts,
    /// For migrations, where those take another way.
    admin: Option<Hosts>,
    keeps_state: bool,
    wait: Duration,
    places: Arc<Places>,
    idle: Mutex<Vec<Session>>,
    /// Counts the changes of `search_path`; connections of an older count are not used again.
    generation: AtomicU64,
    schemas: Schemas,
    /// Whose schemas are in the search path, in this order.
    domains: Mutex<Vec<String>>,
    /// Whether the record of migrations is to be asked for domains that are not among these: at first, and when a table is
    /// not found that another process may have made.
    wants_domains: AtomicBool,
    health: Arc<Health>,
    closed: AtomicBool,
    /// The runtime that opened the store, which drives all connections.
    runtime: Handle,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(crate) fn new(hosts: Hosts, admin: Option<Hosts>, settings: &StoreSettings) -> Arc<Self> {
        Arc::new(Self {
            hosts,
            admin,
            keeps_state: settings.prepared_statements,
            wait: Duration::from_millis(settings.wait_ms),
            places: Arc::new(Places::new(settings.pool_size, settings.queue)),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
            schemas: Schemas::new(&settings.schema_prefix),
            domains: Mutex::default(),
            wants_domains: AtomicBool::new(true),
            health: Arc::default(),
            closed: AtomicBool::new(false),
            runtime: Handle::current(),
        })
    }

    /// Whether a connection is the same to the server from one transaction to the next.
    pub(crate) fn keeps_state(&self) -> bool {
        self.keeps_state
    }

    /// Whether migrations have a connection to the server itself.
    pub(crate) fn admin_is_direct(&self) -> bool {
        self.keeps_state || self.admin.is_some()
    }

    /// How its schemas are named.
    pub(crate) fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Whether the database takes writes.
    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Whether a pooler is between us and the server that gives each transaction another connection. Then two of ours see
    /// one of the server's, or one of ours sees two. Asked before anything is set on a connection: through such a pooler it
    /// would be set for others.
    pub(crate) async fn is_shared_out(&self) -> Result<bool, tokio_postgres::Error> {
        let one = self.client(&self.hosts, Use::Alone).await?.client;
        // Where there is no second one to be had, nothing is known.
        let Ok(Open { client: other, .. }) = self.client(&self.hosts, Use::Alone).await else { return Ok(false) };
        for _ in 0..3 {
            let before = backend(&one).await?;
            other.batch_execute("BEGIN").await?;
            let meanwhile = backend(&other).await;
            let after = backend(&one).await;
            other.batch_execute("ROLLBACK").await?;
            if meanwhile? == before || after? != before {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The role that every query runs as.
    pub(crate) fn role(&self) -> Option<&str> {
        self.hosts.role()
    }

    /// A new connection, outside the pool.
    pub(crate) async fn connect(&self, by: Use) -> Result<Session, tokio_postgres::Error> {
        let open = self.client(&self.hosts, by).await?;
        if self.wants_domains.swap(false, Ordering::AcqRel)
            && let Err(error) = self.learn_domains(&open).await
        {
            self.wants_domains.store(true, Ordering::Release);
            return Err(error);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let path = self.schemas.path(lock(&self.domains).iter().map(String::as_str));
        let path = if path.is_empty() { path } else { format!("search_path = {path}") };
        if !self.keeps_state {
            let begin = TransactionStart::new(by.statement_timeout(), &path);
            return Ok(Session::new(open, generation, Statements::Unnamed(begin)));
        }
        let (timeout, more) = (by.statement_timeout().as_millis(), by.settings());
        let mut setup = format!("SET statement_timeout = {timeout}; {SETUP}{more}");
        if !path.is_empty() {
            setup.push_str("; SET ");
            setup.push_str(&path);
        }
        open.client.batch_execute(&setup).await?;
        Ok(Session::new(open, generation, Statements::default()))
    }

    /// A new connection for migrations: nothing is set on it.
    pub(crate) async fn connect_admin(&self) -> Result<Session, tokio_postgres::Error> {
        let hosts = self.admin.as_ref().unwrap_or(&self.hosts);
        let open = self.client(hosts, Use::Alone).await?;
        let statements = Statements::Unnamed(TransactionStart::default());
        Ok(Session::new(open, self.generation.load(Ordering::Acquire), statements))
    }

    async fn client(&self, hosts: &Hosts, by: Use) -> Result<Open, tokio_postgres::Error> {
        let (client, connection, address) = hosts.connect().await?;
        let driver = self.runtime.spawn(async move {
            let ended = match by {
                Use::Alone => connection.await,
                Use::Shared => gathering(connection).await,
            };
            if let Err(error) = ended {
                // Callers waiting for an answer get the same error.
                tracing::debug!(error = &error as &dyn std::error::Error, "a database connection ended");
            }
        });
        Ok(Open { client, driver, address })
    }

    /// Whose tables every connection finds from now on.
    pub(crate) fn set_domains(&self, domains: Vec<String>) {
        *lock(&self.domains) = domains;
        self.renew();
    }

    /// Takes over another pool's search path.
    pub(crate) fn follow(&self, other: &Pool) {
        let domains = lock(&other.domains).clone();
        if !domains.is_empty() {
            self.set_domains(domains);
        }
    }

    /// A table was not found: it may be a newer domain's.
    pub(crate) fn ask_for_domains(&self) {
        self.wants_domains.store(true, Ordering::Release);
    }

    /// Adds the domains of the record of migrations, where there is one and it may be read. The last to be changed come
    /// first: tables of one that the product no longer has must not stand before those of another.
    async fn learn_domains(&self, open: &Open) -> Result<(), tokio_postgres::Error> {
        let record = self.schemas.record();
        let readable = format!(
            "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = '{record}' AND c.relname = 'mainstay_migrations'
                 AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        );
        if first_values(open.client.simple_query(&readable).await?).is_empty() {
            return Ok(());
        }
        let all = format!(
            "SELECT domain FROM {} GROUP BY domain ORDER BY max(applied_at) DESC, domain",
            self.schemas.migrations()
        );
        let recorded = first_values(open.client.simple_query(&all).await?);
        let mut domains = lock(&self.domains).clone();
        let known = domains.len();
        domains.extend(recorded.into_iter().filter(|domain| !lock(&self.domains).contains(domain)));
        if domains.len() > known {
            self.set_domains(domains);
        }
        Ok(())
    }

    /// Uses no connection again that there is now, once what is under way on it is over.
    pub(crate) fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.forget_idle();
    }

    /// Connects to the next of the servers from now on.
    pub(crate) fn try_next_host(&self) {
        self.hosts.try_next();
    }

    /// A connection that nobody uses, if there is one and a place for it.
    pub(crate) fn try_idle(self: &Arc<Self>) -> Option<Lease> {
        let permit = self.places.try_take()?;
        let session = self.take_idle()?;
        Some(Lease { pool: self.clone(), held: Some((session, permit)), in_transaction: false })
    }

    /// Drops the connections nobody uses: they are likely as dead as the one that was just found so.
    pub(crate) fn forget_idle(&self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        drop(idle);
    }

    /// A new connection, outside the pool, within the operation's time.
    pub(crate) async fn connect_within(&self, ctx: &Ctx, by: Use) -> Result<Session, StoreError> {
        self.check_open(ctx)?;
        let until = ctx.deadline().min(Instant::now() + CONNECT);
        let late = |_| match ctx.remaining().is_zero() {
            true => StoreError::Timeout,
            false => StoreError::unavailable("the database server did not answer in time"),
        };
        timeout_at(until, self.connect(by)).await.map_err(late)?.map_err(|error| match Failure::from(error).error {
            error @ StoreError::Unavailable { .. } => error,
            other => StoreError::unavailable(other),
        })
    }

    fn check_open(&self, ctx: &Ctx) -> Result<(), StoreError> {
        if ctx.remaining().is_zero() {
            return Err(StoreError::Timeout);
        }
        if !self.is_open() {
            return Err(StoreError::unavailable("the store is closed"));
        }
        Ok(())
    }

    /// Whether it was not closed yet.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Whether connections of this generation may be used still.
    pub(crate) fn is_current(&self, generation: u64) -> bool {
        generation == self.generation.load(Ordering::Acquire) && self.is_open()
    }

    /// A connection for one operation.
    pub(crate) async fn lease(self: &Arc<Self>, ctx: &Ctx) -> Result<Lease, StoreError> {
        self.check_open(ctx)?;
        let permit = self.places.take(ctx, self.wait).await?;
        // A new one asks for what is wanted.
        let idle = if self.wants_domains.load(Ordering::Acquire) { None } else { self.take_idle() };
        let session = match idle {
            Some(session) => session,
            None => self.connect_within(ctx, Use::Alone).await?,
        };
        Ok(Lease { pool: self.clone(), held: Some((session, permit)), in_transaction: false })
    }

    fn take_idle(&self) -> Option<Session> {
        let generation = self.generation.load(Ordering::Acquire);
        loop {
            let session = lock(&self.idle).pop()?;
            if !session.is_closed() && session.generation == generation {
                return Some(session);
            }
        }
    }

    fn put_back(&self, session: Session) {
        if self.is_current(session.generation) && !session.is_closed() {
            lock(&self.idle).push(session);
        }
    }

    /// Takes a connection made outside into the pool.
    pub(crate) fn adopt(&self, session: Session) {
        self.put_back(session);
    }

    /// Takes nothing new, waits for what is under way, and closes the connections.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Whatever takes longer is cut off by the end of its own time.
        let _all = timeout(CLOSE, self.places.close()).await;
        self.places.send_away();
        let idle = std::mem::take(&mut *lock(&self.idle));
        for session in idle {
            let _ = timeout(CLOSE, session.leave()).await;
        }
    }
}

/// One connection in use. When it is dropped the connection goes back to the pool: at once if nothing is open on it,
/// otherwise by way of a task that cancels the statement and rolls back, or cuts it if that does not help. The place in
/// the pool is free only after that.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    held: Option<(Session, Permit)>,
    in_transaction: bool,
}

impl Lease {
    fn session(&mut self) -> Result<&mut Session, StoreError> {
        match &mut self.held {
            Some((session, _)) => Ok(session),
            // Only `drop` empties it.
            None => Err(StoreError::internal("the lease is empty")),
        }
    }

    /// Whether a statement was left in the middle.
    pub(crate) fn is_pending(&self) -> bool {
        self.held.as_ref().is_none_or(|(session, _)| session.is_pending())
    }

    /// Whether nothing of the transaction has reached the server.
    pub(crate) fn has_yet_to_begin(&self) -> bool {
        self.held.as_ref().is_some_and(|(session, _)| session.has_yet_to_begin())
    }

    /// `proof` goes out with the first statement, which is refused where it does not hold.
    pub(crate) async fn begin(&mut self, ctx: &Ctx, proof: Option<Proof>) -> Result<(), Failure> {
        self.in_transaction = true;
        let session = self.session()?;
        ctx.within(session.begin(proof)).await.map_err(late)?
    }

    /// Whether the server takes no writes.
    pub(crate) async fn is_read_only(&mut self) -> Result<bool, Failure> {
        watch::is_read_only(self.session()?).await
    }

    /// Commits or rolls back.
    pub(crate) async fn end(&mut self, ctx: &Ctx, command: &str) -> Result<(), Failure> {
        let session = self.session()?;
        let result = ctx.within(session.end(command)).await.map_err(late)?;
        // A commit that fails has rolled back.
        self.in_transaction = false;
        result
    }

    pub(crate) async fn fetch<T: FromRow>(
        &mut self,
        ctx: &Ctx,
        text: &str,
        params: &[Value],
        most: Most,
        budget: Option<Duration>,
    ) -> Result<Found<T>, Failure> {
        sql::check(text)?;
        let in_transaction = self.in_transaction;
        let session = self.session()?;
        let rows = async {
            match in_transaction {
                true => session.find(text, params, most).await,
                false => session.read(text, params, most).await,
            }
        };
        // Dropping this lease then lets the server end the statement, which costs no statement before each.
        let end = budget.map(|budget| Instant::now() + budget).filter(|end| *end < ctx.deadline());
        let rows = match end {
            Some(end) => timeout_at(end, rows).await.map_err(|_| StoreError::ScanTimeout)?,
            None => ctx.within(rows).await.map_err(late)?,
        };
        rows.inspect_err(|failure| self.heed(failure))
    }

    pub(crate) async fn execute(&mut self, ctx: &Ctx, text: &str, params: &[Value]) -> Result<u64, Failure> {
        sql::check(text)?;
        let session = self.session()?;
        let done = ctx.within(session.execute(text, params)).await.map_err(late)?;
        done.inspect_err(|failure| self.heed(failure))
    }

    /// A statement that changes something and gives rows, in a transaction of its own.
    pub(crate) async fn write<T: FromRow>(
        &mut self,
        ctx: &Ctx,
        text: &str,
        params: &[Value],
        most: usize,
    ) -> Result<Vec<T>, Failure> {
        sql::check(text)?;
        let session = self.session()?;
        let rows = ctx.within(session.write(text, params, most)).await.map_err(late)?;
        rows.inspect_err(|failure| self.heed(failure))
    }

    fn heed(&self, failure: &Failure) {
        if failure.then == Then::Renew {
            self.pool.ask_for_domains();
        }
    }
}

/// Each time it is woken, whatever else is ready has its turn first. Otherwise the first question asked would be sent by
/// itself at once, since a runtime continues with the task that was woken last; so those of all callers go out together,
/// in one system call.
async fn gathering<T>(connection: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    let mut has_waited = true;
    poll_fn(|context| {
        has_waited = !has_waited;
        if !has_waited {
            // A task that wakes itself goes to the end of the queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        connection.as_mut().poll(context)
    })
    .await
}

/// The number of the server's process behind a connection.
async fn backend(client: &tokio_postgres::Client) -> Result<Vec<String>, tokio_postgres::Error> {
    Ok(first_values(client.simple_query("SELECT pg_backend_pid()").await?))
}

/// The first column, as text.
fn first_values(messages: Vec<SimpleQueryMessage>) -> Vec<String> {
    let value = |message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    messages.into_iter().filter_map(value).collect()
}

fn late(_: kernel::DeadlinePassed) -> Failure {
    StoreError::Timeout.into()
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((mut session, permit)) = self.held.take() else { return };
        if session.is_closed() {
            return;
        }
        if !self.in_transaction && !session.is_pending() {
            self.pool.put_back(session);
            return;
        }
        let pool = self.pool.clone();
        self.pool.runtime.spawn(async move {
            match timeout(RECOVER, session.recover()).await {
                Ok(Ok(())) => pool.put_back(session),
                _ => session.cut(),
            }
            drop(permit);
        });
    }
}
