//! Keeps a connection to Redis, and says at once when there is none.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kernel::Random;
use redis::{Cmd, FromRedisValue, RedisError};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::line::Counts;
use super::route::CONNECT;
use super::{Line, Met, Route};
use crate::{Asked, Away, KeySpace};

/// The pause before the first new attempt; each further one is twice as long.
const LEAST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts.
const MOST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that lasted so long was a good one: the next attempt comes soon again.
const STEADY: Duration = Duration::from_secs(5);
/// How often a connection on which nothing is asked is looked at.
const PING_EVERY: Duration = Duration::from_millis(500);

/// The way to Redis, for all who share it. Cheap to clone; when the last clone is dropped, the task that keeps the
/// connection ends, and the connection with it.
///
/// While Redis is away nothing is asked and nobody waits ([`Away::NotAsked`]): a task looks for it, at first after 50
/// ms and then ever less often, up to once a second, at moments no two nodes share.
#[derive(Clone)]
pub(crate) struct Link(Arc<Held>);

/// Ends the task when nobody has the link any more.
struct Held {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    route: Route,
    space: KeySpace,
    timeout: Duration,
    random: Random,
    /// The connection, while there is one that is not known to be broken.
    line: RwLock<Option<Arc<Line>>>,
    status: watch::Sender<Status>,
    counts: Arc<Counts>,
}

/// Whether Redis is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not since this moment.
    Down {
        /// When the connection was given up, or the link was opened.
        since: Instant,
    },
    /// On this connection.
    Up {
        /// The word for the process that answers ([`Line::era`]).
        era: Arc<str>,
        /// Which connection it is ([`Line::number`]).
        number: u64,
    },
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("route", &self.0.shared.route)
            .field("status", &*self.0.shared.status.borrow())
            .finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.abort();
        self.shared.let_go();
    }
}

impl Link {
    /// Makes the first attempt, which takes [`CONNECT`] at most, and goes on from there. `timeout` bounds each
    /// question.
    pub(crate) async fn open(route: Route, space: &KeySpace, timeout: Duration, random: &Random) -> Self {
        let shared = Arc::new(Shared {
            route,
            space: space.clone(),
            timeout,
            random: random.clone(),
            line: RwLock::default(),
            status: watch::Sender::new(Status::Down { since: Instant::now() }),
            counts: Arc::default(),
        });
        let first = shared.connect(1).await;
        let is_told = first.is_err();
        match &first {
            Ok(line) => shared.put(line),
            Err(cause) => shared.tell_down(cause),
        }
        let keeper = tokio::spawn(keep(shared.clone(), first.ok(), is_told)).abort_handle();
        Self(Arc::new(Held { shared, keeper }))
    }

    /// The present connection, for whoever needs to know of several questions that one process answers them.
    ///
    /// # Errors
    /// [`Away::NotAsked`] while there is none.
    pub(crate) fn line(&self) -> Result<Arc<Line>, Away> {
        let line = self.0.shared.line.read().unwrap_or_else(PoisonError::into_inner);
        line.as_ref().filter(|line| !line.is_broken()).cloned().ok_or(Away::NotAsked)
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.line().is_ok()
    }

    /// [`Line::ask`] on the present connection.
    ///
    /// # Errors
    /// See [`Away`].
    pub(crate) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd, deadline: Instant) -> Result<T, Away> {
        self.line()?.ask(cmd, deadline).await
    }

    /// Tells whenever it comes or goes. What came and went between two looks is seen by the number.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.0.shared.status.subscribe()
    }

    /// Since when there is no connection, where there is none.
    pub(crate) fn down_since(&self) -> Option<Instant> {
        match *self.0.shared.status.borrow() {
            Status::Down { since } => Some(since),
            Status::Up { .. } => None,
        }
    }

    /// Where it leads.
    pub(crate) fn route(&self) -> &Route {
        &self.0.shared.route
    }

    /// What is this deployment's there.
    pub(crate) fn space(&self) -> &KeySpace {
        &self.0.shared.space
    }

    /// The randomness of whatever goes over it.
    pub(crate) fn random(&self) -> &Random {
        &self.0.shared.random
    }

    pub(crate) fn asked(&self) -> Asked {
        self.0.shared.counts.read()
    }

    /// Gives up the connection and looks for no other. Of every clone.
    pub(crate) async fn close(&self) {
        self.0.keeper.abort();
        // The task may be in the middle of putting a new connection there.
        while !self.0.keeper.is_finished() {
            tokio::task::yield_now().await;
        }
        self.0.shared.let_go();
    }
}

impl Shared {
    /// A new connection that answers within the bound of a question: one that does not would be given up at once.
    async fn connect(&self, number: u64) -> Result<Arc<Line>, String> {
        let told = |error: RedisError| match error.is_timeout() {
            true => format!("no answer within {} ms", CONNECT.as_millis()),
            false => error.to_string(),
        };
        let met: Met = self.route.connect(&self.space).await.map_err(told)?;
        let line = Arc::new(Line::new(met, number, self.timeout, self.counts.clone()));
        line.ping().await.map_err(|_| format!("no answer within `timeout_ms`, {} ms", self.timeout.as_millis()))?;
        Ok(line)
    }

    fn put(&self, line: &Arc<Line>) {
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = Some(line.clone());
        self.status.send_replace(Status::Up { era: line.era().clone(), number: line.number() });
    }

    /// There is no connection from now on.
    fn let_go(&self) {
        let line = self.line.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(line) = line {
            line.give_up("the connection was let go");
            self.status.send_replace(Status::Down { since: Instant::now() });
        }
    }

    fn tell_down(&self, cause: &str) {
        tracing::warn!(at = self.route.at(), cause, "Redis does not answer; what it would hold is done without");
    }
}

/// Watches the connection and looks for the next, until the link is dropped.
async fn keep(shared: Arc<Shared>, mut line: Option<Arc<Line>>, mut is_told: bool) {
    let mut pause = LEAST_PAUSE;
    let mut number = 1;
    loop {
        if let Some(line) = line.take() {
            if is_told {
                tracing::info!(at = shared.route.at(), "Redis answers again");
            }
            let began = Instant::now();
            while !line.is_broken() {
                tokio::select! {
                    () = line.broken() => {}
                    () = sleep(PING_EVERY) => drop(line.ping().await),
                }
            }
            shared.let_go();
            shared.tell_down(line.cause());
            is_told = true;
            if began.elapsed() >= STEADY {
                pause = LEAST_PAUSE;
            }
        }
        sleep(jittered(pause, &shared.random)).await;
        pause = (pause * 2).min(MOST_PAUSE);
        number += 1;
        line = shared.connect(number).await.ok();
        if let Some(line) = &line {
            shared.put(line);
        }
    }
}

/// Between half of it and all of it, so that nodes do not come back together.
pub(super) fn jittered(pause: Duration, random: &Random) -> Duration {
    pause / 2 + random.part_of(pause / 2)
}
