//! One connection, to one process of Redis, until it breaks.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, ServerErrorKind};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Established, RawConnection};
use crate::{Asked, Unavailable};

/// The most questions of a node that wait for an answer. Redis answers more than that within a few milliseconds; where
/// it does not, one more would only wait longer.
const MOST_ASKING: usize = 10_000;

/// A connection that was looked at. All questions on it go to one and the same process: a caller that puts the
/// connection's run id into a key and asks on that connection does not meet what an earlier or later process has under
/// it. Held by the connection manager while it is up, and by each question.
pub(crate) struct Connection {
    raw: RawConnection,
    run_id: Arc<str>,
    number: u64,
    timeout: Duration,
    began: Instant,
    asking: AtomicUsize,
    /// When a question timed out, unless one was answered since: microseconds since it began, never zero then.
    struck_at: AtomicU64,
    is_broken: AtomicBool,
    /// Why it broke, for the log.
    cause: OnceLock<String>,
    has_told_refusal: AtomicBool,
    ended: Notify,
    counts: Arc<Counts>,
}

/// How often Redis was asked, over all lines of a connection manager.
#[derive(Debug, Default)]
pub(super) struct Counts {
    asked: AtomicU64,
    failed: AtomicU64,
    timeouts: AtomicU64,
}

impl Counts {
    pub(super) fn read(&self) -> Asked {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Asked { asked: of(&self.asked), failed: of(&self.failed), timeouts: of(&self.timeouts) }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("run_id", &self.run_id).field("number", &self.number).finish_non_exhaustive()
    }
}

/// Counts a question that waits, also when its caller is gone.
struct Asking<'a>(&'a AtomicUsize);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    pub(super) fn new(established: Established, number: u64, timeout: Duration, counts: Arc<Counts>) -> Self {
        Self {
            raw: established.raw,
            run_id: established.run_id.into(),
            number,
            timeout,
            began: Instant::now(),
            asking: AtomicUsize::new(0),
            struck_at: AtomicU64::new(0),
            is_broken: AtomicBool::new(false),
            cause: OnceLock::new(),
            has_told_refusal: AtomicBool::new(false),
            ended: Notify::new(),
            counts,
        }
    }

    /// The word for the process that answers here. In a cluster it is always the same.
    pub(crate) const fn run_id(&self) -> &Arc<str> {
        &self.run_id
    }

    /// Which connection of the connection manager it is; the first is 1.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Whether nothing is asked here any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    pub(super) fn cause(&self) -> &str {
        self.cause.get().map_or("the connection was let go", String::as_str)
    }

    /// Asks one thing, until `deadline` or the connection manager's own bound, whichever is earlier.
    ///
    /// # Errors
    /// See [`Unavailable`]. An answer that is no `T` is `Unanswered`.
    pub(crate) async fn ask<T: FromRedisValue>(&self, cmd: &Cmd, deadline: Instant) -> Result<T, Unavailable> {
        let mut raw = self.raw.clone();
        self.counted(deadline, async move { cmd.query_async(&mut raw).await }).await
    }

    /// Runs a script, which Redis is sent whole only where it does not have it yet.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        deadline: Instant,
    ) -> Result<T, Unavailable> {
        let mut raw = self.raw.clone();
        self.counted(deadline, async move { script.invoke_async(&mut raw).await }).await
    }

    /// Whether it still answers. Not counted among what was asked.
    pub(super) async fn ping(&self) -> Result<(), Unavailable> {
        let mut raw = self.raw.clone();
        // Later than the connection's own bound, which is what counts.
        let until = Instant::now() + self.timeout * 2;
        self.bounded(until, async move { redis::cmd("PING").query_async(&mut raw).await }).await
    }

    /// Ends when the connection is broken.
    pub(super) async fn broken(&self) {
        let ended = self.ended.notified();
        if !self.is_broken() {
            ended.await;
        }
    }

    async fn counted<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Unavailable> {
        if self.is_broken() {
            return Err(Unavailable::NotAsked);
        }
        let before = self.asking.fetch_add(1, Ordering::Relaxed);
        let _asking = Asking(&self.asking);
        if before >= MOST_ASKING || deadline <= Instant::now() {
            return Err(Unavailable::NotAsked);
        }
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
        let result = self.bounded(deadline, work).await;
        match result {
            Ok(_) => {}
            Err(_) => drop(self.counts.failed.fetch_add(1, Ordering::Relaxed)),
        }
        result
    }

    async fn bounded<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Unavailable> {
        let sent = Instant::now();
        let own = sent + self.timeout;
        match timeout_at(own.min(deadline), work).await {
            Ok(Ok(answer)) => {
                self.answered();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.judge(&error)),
            Err(_) => {
                self.counts.timeouts.fetch_add(1, Ordering::Relaxed);
                // Where the caller had less time than the connection manager gives, that says nothing of Redis.
                if own <= deadline {
                    self.strike(sent);
                }
                Err(Unavailable::Unanswered)
            }
        }
    }

    fn answered(&self) {
        // Written only when it changes: otherwise every answer would take the connection from the other cores.
        if self.struck_at.load(Ordering::Relaxed) != 0 {
            self.struck_at.store(0, Ordering::Relaxed);
        }
    }

    /// A question timed out. Answers come in the order of the questions, so one slow answer lets time out all that were
    /// asked behind it: those count once. Only when one that was asked after the first had timed out gets no answer
    /// either, and nothing was answered in between, is the connection given up. So a hiccup shorter than the time-out costs
    /// nothing but itself, and a Redis that is frozen costs a question at most one time-out, and all of them together
    /// two.
    fn strike(&self, sent: Instant) {
        let micros = |at: Instant| u64::try_from((at - self.began).as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        match self.struck_at.compare_exchange(0, micros(Instant::now()), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {}
            Err(struck_at) if micros(sent) >= struck_at => {
                self.give_up("it answered nothing for two time-outs in a row")
            }
            Err(_) => {}
        }
    }

    /// What an error means for the question and for the connection.
    fn judge(&self, error: &RedisError) -> Unavailable {
        use ServerErrorKind as Said;
        match error.kind() {
            // Another server should be asked, or this one is not ready: the next connection is looked at again.
            ErrorKind::Server(Said::ReadOnly | Said::BusyLoading | Said::MasterDown | Said::ClusterDown) => {
                self.give_up(&error.to_string());
                Unavailable::Refused
            }
            ErrorKind::Server(_) | ErrorKind::Extension => {
                self.answered();
                // Once for each connection: an operator can do something about it, and the hot path never logs.
                if !self.has_told_refusal.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = %error, "Redis refuses what it is asked, which is done without");
                }
                Unavailable::Refused
            }
            // It answered something else than was expected, after whatever it did. Where its bytes make no sense at
            // all, the connection ends by itself.
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Unavailable::Unanswered,
            _ => {
                self.give_up(&error.to_string());
                Unavailable::Unanswered
            }
        }
    }

    /// Nothing is asked here from now on.
    pub(super) fn give_up(&self, cause: &str) {
        let _ = self.cause.set(cause.to_owned());
        if !self.is_broken.swap(true, Ordering::AcqRel) {
            self.ended.notify_waiters();
        }
    }
}
