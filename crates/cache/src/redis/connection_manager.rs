//! Keeps a connection to Redis, and says at once when there is none.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kernel::Random;
use redis::{Cmd, FromRedisValue, RedisError};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::connection::Counts;
use super::topology::CONNECT;
use super::{Connection, Established, Topology};
use crate::{Asked, KeySpace, Unavailable};

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
/// While Redis is away nothing is asked and nobody waits ([`Unavailable::NotAsked`]): a task looks for it, at first after 50
/// ms and then ever less often, up to once a second, at moments no two nodes share.
#[derive(Clone)]
pub(crate) struct ConnectionManager(Arc<Held>);

/// Ends the task when nobody has the connection manager any more.
struct Held {
    shared: Arc<ManagerState>,
    keeper: AbortHandle,
}

struct ManagerState {
    topology: Topology,
    space: KeySpace,
    timeout: Duration,
    random: Random,
    /// The connection, while there is one that is not known to be broken.
    connection: RwLock<Option<Arc<Connection>>>,
    status: watch::Sender<Status>,
    counts: Arc<Counts>,
}

/// Whether Redis is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not since this moment.
    Down {
        /// When the connection was given up, or the connection manager was opened.
        since: Instant,
    },
    /// On this connection.
    Up {
        /// The word for the process that answers ([`Connection::run id`]).
        run_id: Arc<str>,
        /// Which connection it is ([`Connection::number`]).
        number: u64,
    },
}

impl fmt::Debug for ConnectionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("route", &self.0.shared.topology)
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

impl ConnectionManager {
    /// Makes the first attempt, which takes [`CONNECT`] at most, and goes on from there. `timeout` bounds each
    /// question.
    pub(crate) async fn open(topology: Topology, space: &KeySpace, timeout: Duration, random: &Random) -> Self {
        let shared = Arc::new(ManagerState {
            topology,
            space: space.clone(),
            timeout,
            random: random.clone(),
            connection: RwLock::default(),
            status: watch::Sender::new(Status::Down { since: Instant::now() }),
            counts: Arc::default(),
        });
        let first = shared.connect(1).await;
        let is_told = first.is_err();
        match &first {
            Ok(connection) => shared.put(connection),
            Err(cause) => shared.tell_down(cause),
        }
        let keeper = tokio::spawn(keep(shared.clone(), first.ok(), is_told)).abort_handle();
        Self(Arc::new(Held { shared, keeper }))
    }

    /// The present connection, for a caller whose questions must all be answered by one process.
    ///
    /// # Errors
    /// [`Unavailable::NotAsked`] while there is none.
    pub(crate) fn connection(&self) -> Result<Arc<Connection>, Unavailable> {
        let connection = self.0.shared.connection.read().unwrap_or_else(PoisonError::into_inner);
        connection.as_ref().filter(|connection| !connection.is_broken()).cloned().ok_or(Unavailable::NotAsked)
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.connection().is_ok()
    }

    /// [`Connection::ask`] on the present connection.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub(crate) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd, deadline: Instant) -> Result<T, Unavailable> {
        self.connection()?.ask(cmd, deadline).await
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
    pub(crate) fn topology(&self) -> &Topology {
        &self.0.shared.topology
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

impl ManagerState {
    /// A new connection that answers within the bound of a question: one that does not would be given up at once.
    async fn connect(&self, number: u64) -> Result<Arc<Connection>, String> {
        let told = |error: RedisError| match error.is_timeout() {
            true => format!("no answer within {} ms", CONNECT.as_millis()),
            false => error.to_string(),
        };
        let established: Established = self.topology.connect(&self.space).await.map_err(told)?;
        let connection = Arc::new(Connection::new(established, number, self.timeout, self.counts.clone()));
        connection
            .ping()
            .await
            .map_err(|_| format!("no answer within `timeout_ms`, {} ms", self.timeout.as_millis()))?;
        Ok(connection)
    }

    fn put(&self, connection: &Arc<Connection>) {
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        self.status.send_replace(Status::Up { run_id: connection.run_id().clone(), number: connection.number() });
    }

    /// There is no connection from now on.
    fn let_go(&self) {
        let connection = self.connection.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connection) = connection {
            connection.give_up("the connection was let go");
            self.status.send_replace(Status::Down { since: Instant::now() });
        }
    }

    fn tell_down(&self, cause: &str) {
        tracing::warn!(at = self.topology.at(), cause, "Redis does not answer; what it would hold is done without");
    }
}

/// Watches the connection and looks for the next, until the connection manager is dropped.
async fn keep(shared: Arc<ManagerState>, mut connection: Option<Arc<Connection>>, mut is_told: bool) {
    let mut pause = LEAST_PAUSE;
    let mut number = 1;
    loop {
        if let Some(connection) = connection.take() {
            if is_told {
                tracing::info!(at = shared.topology.at(), "Redis answers again");
            }
            let began = Instant::now();
            while !connection.is_broken() {
                tokio::select! {
                    () = connection.broken() => {}
                    () = sleep(PING_EVERY) => drop(connection.ping().await),
                }
            }
            shared.let_go();
            shared.tell_down(connection.cause());
            is_told = true;
            if began.elapsed() >= STEADY {
                pause = LEAST_PAUSE;
            }
        }
        sleep(jittered(pause, &shared.random)).await;
        pause = (pause * 2).min(MOST_PAUSE);
        number += 1;
        connection = shared.connect(number).await.ok();
        if let Some(connection) = &connection {
            shared.put(connection);
        }
    }
}

/// Between half of it and all of it, so that nodes do not come back together.
pub(super) fn jittered(pause: Duration, random: &Random) -> Duration {
    pause / 2 + random.part_of(pause / 2)
}
