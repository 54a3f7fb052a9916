//! Reads that a standby answers: those whose caller said that they may be behind. By how much is bounded, and nobody misses
//! what they wrote themselves on this node. A standby that is gone, slow or too far behind is no error: the primary answers.
//!
//! A task asks both for their place in the log (LSN) again and again. From the answers it is known up to which moment the
//! standby has all that was committed: that moment may not be longer ago than the bound, nor before the caller's last write.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use kernel::{Ctx, Identity};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::failure::{Failure, Then};
use super::pool::{Pool, Use};
use super::session::Session;
use crate::read_limits::{Found, Most};
use crate::{FromRow, StoreError, Value};

/// How long either of the two may take to say where it is.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The most people whose last write is remembered; more of them read from the primary until the standby has caught up.
const MOST_WRITERS: usize = 100_000;

/// Never: no moment of this process is as late.
const NOT_AT_ALL: u64 = 0;

/// A standby, and how far it is. Held by the store; the task that watches it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Replica {
    pool: Arc<Pool>,
    max_lag: Duration,
    began: Instant,
    /// All that was committed before this moment is there: microseconds since it began, or none.
    caught_up: AtomicU64,
    writers: Mutex<Writers>,
}

/// When people wrote last, as long as the standby may not have it.
#[derive(Debug, Default)]
struct Writers {
    last: HashMap<Uuid, u64>,
    /// The last write of those for whom there was no room.
    others: u64,
}

/// A place in the log.
type Lsn = i64;

impl Replica {
    pub(crate) fn start(primary: &Arc<Pool>, pool: Arc<Pool>, max_lag: Duration) -> Arc<Self> {
        let replica = Arc::new(Self {
            pool,
            max_lag,
            began: Instant::now(),
            caught_up: AtomicU64::new(NOT_AT_ALL),
            writers: Mutex::default(),
        });
        tokio::spawn(watch(Arc::downgrade(&replica), primary.clone(), max_lag / 4));
        replica
    }

    /// This moment. Never zero.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Remembers that somebody has written, once it is committed.
    pub(crate) fn wrote(&self, identity: &Identity) {
        let Identity::User { user_id, .. } = identity else { return };
        let now = self.now();
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = writers.last.len() < MOST_WRITERS;
        match writers.last.get_mut(&user_id.as_uuid()) {
            Some(last) => *last = now,
            None if has_room => drop(writers.last.insert(user_id.as_uuid(), now)),
            None => writers.others = now,
        }
    }

    /// Whether the standby may answer this caller now.
    fn is_fit_for(&self, identity: &Identity) -> bool {
        let caught_up = self.caught_up.load(Ordering::Acquire);
        if caught_up == NOT_AT_ALL || self.now() - caught_up > self.max_lag.as_micros() as u64 {
            return false;
        }
        let Identity::User { user_id, .. } = identity else { return true };
        let writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.others <= caught_up && writers.last.get(&user_id.as_uuid()).is_none_or(|last| *last <= caught_up)
    }

    fn set_caught_up(&self, moment: u64) {
        self.caught_up.store(moment, Ordering::Release);
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.last.retain(|_, last| *last > moment);
    }

    /// As much as there may be, or nothing at all where the primary is to be asked.
    pub(crate) async fn rows<T: FromRow>(
        &self,
        ctx: &Ctx,
        sql: &str,
        params: &[Value],
        most: Most,
        budget: Option<Duration>,
    ) -> Option<Result<Found<T>, StoreError>> {
        if !self.is_fit_for(ctx.identity()) {
            return None;
        }
        // Time for the primary is left.
        let result = timeout(ctx.remaining() / 2, async {
            let mut lease = self.pool.lease(ctx).await.map_err(Failure::from)?;
            lease.fetch(ctx, sql, params, most, budget).await
        })
        .await;
        match result {
            Ok(Ok(rows)) => Some(Ok(rows)),
            Ok(Err(Failure { error, then: Then::Tell })) if !is_away(&error) => Some(Err(error)),
            // It has much to do, and is fit for the next.
            Ok(Err(Failure { error: StoreError::Busy, then: Then::Tell })) => None,
            _ => {
                // The next caller need not find out again.
                self.caught_up.store(NOT_AT_ALL, Ordering::Release);
                None
            }
        }
    }

    /// The same path as the primary's.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

fn is_away(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. } | StoreError::Busy | StoreError::Timeout)
}

/// Asks both where they are, and concludes.
async fn watch(replica: Weak<Replica>, primary: Arc<Pool>, every: Duration) {
    let (mut first, mut second) = (None, None);
    // Where the primary was, and when it was asked.
    let mut places: VecDeque<(u64, Lsn)> = VecDeque::new();
    loop {
        let Some(replica) = replica.upgrade().filter(|_| primary.is_open()) else { return };
        // Before the question: what was committed until now is in the answer. And up to where the log is thought, not up to
        // where it is written: with `synchronous_commit = off` a commit is answered before that.
        let asked = replica.now();
        if let Some(place) = place(&mut first, &primary, "pg_current_wal_insert_lsn()").await {
            places.push_back((asked, place));
        }
        match place(&mut second, &replica.pool, "pg_last_wal_replay_lsn()").await {
            Some(there) => {
                let mut reached = None;
                while let Some((moment, place)) = places.front().copied()
                    && place <= there
                {
                    reached = Some(moment);
                    places.pop_front();
                }
                if let Some(moment) = reached {
                    replica.set_caught_up(moment);
                }
            }
            None => replica.caught_up.store(NOT_AT_ALL, Ordering::Release),
        }
        // One that is far behind is not waited for with an ever longer memory; the newest place is what it must reach.
        if places.len() > 1000 {
            places.drain(..500);
        }
        drop(replica);
        sleep(every).await;
    }
}

/// Where a server is; none if it does not say so in time.
async fn place(session: &mut Option<Session>, pool: &Arc<Pool>, function: &str) -> Option<Lsn> {
    let asked = async {
        let open = match session.take().filter(|session| !session.is_closed()) {
            Some(open) => open,
            None => pool.connect(Use::Alone).await.ok()?,
        };
        let open = session.insert(open);
        let sql = format!("SELECT ({function} - '0/0'::pg_lsn)::bigint");
        let rows: Vec<(Option<Lsn>,)> = open.read(&sql, &[], Most::rows(1)).await.ok()?.rows;
        rows.first()?.0
    };
    let answer = timeout(TIMEOUT, asked).await.ok().flatten();
    if answer.is_none() {
        *session = None;
    }
    answer
}
