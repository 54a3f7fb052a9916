//! Reads by key. Each thread sends them down a connection that it shares only with what else runs on it, and none waits
//! for another's answer before it is sent (pipelining): one system call carries many. A statement that takes long would
//! hold up those behind it, so the server ends it after a constant time; whatever may scan takes a connection of the pool.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use foldhash::HashMap;
use foldhash::fast::RandomState;
use futures_util::TryStreamExt as _;
use kernel::{Ctx, thread};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::batch::{Batches, Followers, Part, SharedRow};
use super::failure::{Failure, Then};
use super::pool::{CLOSE, Pool, Use};
use super::session::{Driver, Fetch, STATEMENTS, fits, stream};
use super::value::cell;
use crate::engine_errors::too_many;
use crate::read_limits::Most;
use crate::row::Source;
use crate::slow_query_log::SlowQueryLog;
use crate::{ById, Cell, FromRow, Row, StoreError, Value, sql};

/// A connection that owes answers and has given none for so long is taken for dead.
const QUIET: Duration = Duration::from_secs(4);

/// The shared connections, made when they are first needed. Held by the store.
#[derive(Debug)]
pub(crate) struct Pipelines {
    pool: Arc<Pool>,
    pipelines: Vec<Pipeline>,
    /// Statements each may owe an answer to.
    most: usize,
    slow: SlowQueryLog,
}

#[derive(Debug, Default)]
struct Pipeline {
    shared: Mutex<Option<Arc<SharedConnection>>>,
    /// Held while a connection is made, so that one is made for all who wait. Holds when that last failed.
    connecting: tokio::sync::Mutex<Option<Instant>>,
}

/// One connection. Held by its pipeline and by every read under way on it.
#[derive(Debug)]
struct SharedConnection {
    client: Client,
    driver: Driver,
    generation: u64,
    statements: RwLock<HashMap<String, Statement>>,
    in_flight: Mutex<InFlight>,
    batches: Batches,
}

/// What a connection owes. Answers come in the order of the questions.
#[derive(Debug)]
struct InFlight {
    asked: u64,
    open: usize,
    /// Questions whose askers are gone; the server answers them all the same.
    abandoned: usize,
    /// The number of the last of them.
    abandoned_until: u64,
    /// When the last answer came, or the first question after all were answered.
    heard: Instant,
}

/// One question under way. Dropped before its answer, it is abandoned.
struct Question<'a> {
    shared: &'a SharedConnection,
    number: u64,
    is_answered: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedConnection {
    /// Counts a question, unless too many are open.
    fn ask(&self, most: usize) -> Option<Question<'_>> {
        let mut in_flight = lock(&self.in_flight);
        if in_flight.open >= most {
            return None;
        }
        if in_flight.open == 0 {
            in_flight.heard = Instant::now();
        }
        in_flight.open += 1;
        in_flight.asked += 1;
        Some(Question { shared: self, number: in_flight.asked, is_answered: false })
    }

    fn is_quiet(&self) -> bool {
        let in_flight = lock(&self.in_flight);
        in_flight.open > 0 && in_flight.heard.elapsed() >= QUIET
    }

    async fn prepare(&self, text: &str) -> Result<Statement, tokio_postgres::Error> {
        let known = self.statements.read().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(text).await?;
        let mut statements = self.statements.write().unwrap_or_else(PoisonError::into_inner);
        if statements.len() >= STATEMENTS {
            // Rare: only a program that builds ever new texts comes here.
            statements.clear();
        }
        statements.insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    async fn rows<T: FromRow>(&self, text: &str, params: &[Value], most: Most) -> Result<Vec<T>, Failure> {
        let statement = self.prepare(text).await?;
        fits(&statement, params)?;
        match stream(&self.client, &statement, params, most).await {
            Ok(found) => Ok(found.rows),
            Err(Fetch::Ours(error)) => Err(error.into()),
            Err(Fetch::Server(error)) => Err(error.into()),
        }
    }

    /// The rows of these ids, by the id that each begins with.
    async fn rows_of(&self, by_id: &ById, ids: Vec<Value>) -> Result<HashMap<Uuid, SharedRow>, Failure> {
        let statement = self.prepare(by_id.many()).await?;
        let mut found = HashMap::with_capacity_and_hasher(ids.len(), RandomState::default());
        let mut rows = pin!(self.client.query_raw(&statement, [&ids]).await?);
        while let Some(row) = rows.try_next().await? {
            let Cell::Id(id) = cell(&row, 0)? else {
                return Err(StoreError::internal("what finds rows by id selects something else first").into());
            };
            if found.insert(id, Arc::new(row)).is_some() {
                return Err(too_many(1).into());
            }
        }
        Ok(found)
    }
}

impl Question<'_> {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut in_flight = lock(&self.shared.in_flight);
        if self.is_answered {
            in_flight.open -= 1;
            in_flight.heard = Instant::now();
            if self.number > in_flight.abandoned_until {
                in_flight.open -= std::mem::take(&mut in_flight.abandoned);
            }
        } else {
            in_flight.abandoned += 1;
            in_flight.abandoned_until = in_flight.abandoned_until.max(self.number);
        }
    }
}

impl Pipelines {
    pub(crate) fn new(pool: Arc<Pool>, count: usize, most: usize, slow: SlowQueryLog) -> Self {
        Self { pool, pipelines: (0..count).map(|_| Pipeline::default()).collect(), most, slow }
    }

    /// As much as there may be, by unique keys.
    pub(crate) async fn rows<T: FromRow>(
        &self,
        ctx: &Ctx,
        text: &str,
        params: &[Value],
        most: Most,
    ) -> Result<Vec<T>, StoreError> {
        sql::check(text)?;
        let pipeline = &self.pipelines[thread::number() % self.pipelines.len()];
        let mut again = true;
        loop {
            let shared = self.connection(pipeline, ctx).await?;
            let Some(question) = shared.ask(self.most) else {
                pipeline.cut_if_quiet(&shared);
                return Err(StoreError::Busy);
            };
            let since = Instant::now();
            let result = ctx.within(shared.rows(text, params, most)).await;
            self.slow.watch(ctx, text, since.into_std());
            let failure = match result {
                Ok(Ok(rows)) => {
                    question.answered();
                    return Ok(rows);
                }
                Ok(Err(failure)) => {
                    question.answered();
                    failure
                }
                Err(_) => {
                    drop(question);
                    pipeline.cut_if_quiet(&shared);
                    return Err(StoreError::Timeout);
                }
            };
            match failure.then {
                Then::Prepare => shared.statements.write().unwrap_or_else(PoisonError::into_inner).clear(),
                Then::Renew => {
                    // The search path is read when a connection begins: a newer one may find the table.
                    self.pool.ask_for_domains();
                    pipeline.forget(&shared);
                }
                Then::Reconnect => pipeline.forget(&shared),
                Then::Tell | Then::Again => {}
            }
            // A read changes nothing, so it can be tried once more.
            if !(again && matches!(failure.then, Then::Prepare | Then::Reconnect | Then::Again)) {
                return Err(failure.of_a_read());
            }
            again = false;
        }
    }

    /// The row of an id. Those who ask for rows of the same statement meanwhile are answered together.
    pub(crate) async fn row_by_id<T: FromRow>(
        &self,
        ctx: &Ctx,
        by_id: &ById,
        id: Uuid,
    ) -> Result<Option<T>, StoreError> {
        let pipeline = &self.pipelines[thread::number() % self.pipelines.len()];
        let shared = self.connection(pipeline, ctx).await?;
        let found = match shared.batches.join(by_id, id) {
            Part::Alone(_permit) => return self.row_alone(ctx, by_id, id).await,
            Part::Leads(leader) => match ctx.within(leader.gather()).await {
                // Under way as well.
                Ok((followers, _permit)) if followers.is_empty() => return self.row_alone(ctx, by_id, id).await,
                Ok((followers, _permit)) => self.lead(ctx, &shared, by_id, id, followers).await,
                Err(_) => Err(StoreError::Timeout),
            },
            Part::Follows(answer) => self.follow(ctx, &shared, answer).await,
        };
        match found {
            Ok(Some(row)) => row.map(|row| T::from_row(&Row(Source::Postgres(&row)))).transpose(),
            // The batch failed. This meets the reason again or does not.
            Ok(None) => self.row_alone(ctx, by_id, id).await,
            Err(error) => {
                pipeline.cut_if_quiet(&shared);
                Err(error)
            }
        }
    }

    async fn row_alone<T: FromRow>(&self, ctx: &Ctx, by_id: &ById, id: Uuid) -> Result<Option<T>, StoreError> {
        self.rows(ctx, by_id.one(), &[Value::Id(id)], Most::rows(1)).await.map(|mut rows| rows.pop())
    }

    /// Waits for the row of a batch that another sends; nothing where that failed.
    async fn follow(
        &self,
        ctx: &Ctx,
        shared: &SharedConnection,
        answer: oneshot::Receiver<Option<SharedRow>>,
    ) -> Result<Option<Option<SharedRow>>, StoreError> {
        let question = shared.ask(self.most).ok_or(StoreError::Busy)?;
        let answer = ctx.within(answer).await.map_err(|_| StoreError::Timeout)?;
        question.answered();
        Ok(answer.ok())
    }

    /// Sends a batch and gives everybody their rows: the first one's is returned. Nothing where it failed.
    async fn lead(
        &self,
        ctx: &Ctx,
        shared: &SharedConnection,
        by_id: &ById,
        id: Uuid,
        followers: Followers,
    ) -> Result<Option<Option<SharedRow>>, StoreError> {
        let question = shared.ask(self.most).ok_or(StoreError::Busy)?;
        let since = Instant::now();
        let found = ctx.within(shared.rows_of(by_id, followers.ids(id))).await;
        self.slow.watch(ctx, by_id.many(), since.into_std());
        match found {
            Ok(Ok(rows)) => {
                question.answered();
                followers.answer(&rows);
                Ok(Some(rows.get(&id).cloned()))
            }
            Ok(Err(failure)) => {
                question.answered();
                tracing::debug!(error = &failure.error as &dyn std::error::Error, "a batch of reads failed");
                Ok(None)
            }
            Err(_) => Err(StoreError::Timeout),
        }
    }

    /// The pipeline's connection, or a new one.
    async fn connection(&self, pipeline: &Pipeline, ctx: &Ctx) -> Result<Arc<SharedConnection>, StoreError> {
        if let Some(shared) = pipeline.current(&self.pool) {
            return Ok(shared);
        }
        let since = Instant::now();
        let mut failed = ctx.within(pipeline.connecting.lock()).await.map_err(|_| StoreError::Timeout)?;
        if failed.is_some_and(|failed| failed > since) {
            return Err(StoreError::unavailable("the database could not be connected to a moment ago"));
        }
        if let Some(shared) = pipeline.current(&self.pool) {
            return Ok(shared);
        }
        let session =
            self.pool.connect_within(ctx, Use::Shared).await.inspect_err(|_| *failed = Some(Instant::now()))?;
        let (client, driver, generation) = session.into_parts();
        let in_flight = InFlight { asked: 0, open: 0, abandoned: 0, abandoned_until: 0, heard: Instant::now() };
        let shared = Arc::new(SharedConnection {
            client,
            driver,
            generation,
            statements: RwLock::default(),
            in_flight: Mutex::new(in_flight),
            batches: Batches::new(),
        });
        *lock(&pipeline.shared) = Some(shared.clone());
        Ok(shared)
    }

    /// Lets go of the connections once the reads under way have their answers.
    pub(crate) async fn close(&self) {
        for pipeline in &self.pipelines {
            let Some(shared) = lock(&pipeline.shared).take() else { continue };
            let driver = shared.driver.clone();
            // The last read under way lets go of the client, and with it of the connection.
            drop(shared);
            if timeout(CLOSE, driver.ended()).await.is_err() {
                driver.cut();
            }
        }
    }
}

impl Pipeline {
    fn current(&self, pool: &Pool) -> Option<Arc<SharedConnection>> {
        let shared = lock(&self.shared).clone()?;
        (!shared.client.is_closed() && pool.is_current(shared.generation)).then_some(shared)
    }

    /// Gives up a connection that owes answers and sends nothing; callers that wait for one get an error.
    fn cut_if_quiet(&self, shared: &Arc<SharedConnection>) {
        if shared.is_quiet() {
            self.forget(shared);
            shared.driver.cut();
        }
    }

    /// Stops using `shared`. Callers waiting for an answer on it still get it.
    fn forget(&self, shared: &Arc<SharedConnection>) {
        let mut current = lock(&self.shared);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, shared)) {
            *current = None;
        }
    }
}
