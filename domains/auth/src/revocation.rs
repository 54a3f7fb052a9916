use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use mainstay::kernel::{SessionId, Time};

/// The sessions that this node has ended while access tokens of theirs may still be remembered as good. Held by the
/// service, which ends them, and by the verifier, which asks on every request: while nothing ends, that is one atomic
/// load.
///
/// Each ending raises a generation. A remembered verdict keeps the generation that was read *before* the database was
/// asked; as long as that is the present one, nothing has ended since.
#[derive(Debug)]
pub(crate) struct Revocations {
    generation: AtomicU64,
    list: RwLock<List>,
    most: usize,
}

#[derive(Debug, Default)]
struct List {
    /// Verdicts of an earlier generation are not covered by `until`: they must be formed again.
    floor: u64,
    /// Ended sessions, and when the last access token of each has expired.
    until: HashMap<SessionId, Time>,
}

/// What is known here of a session that was live at some generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevocationStatus {
    /// It was not ended here.
    Clear,
    /// It was.
    Ended,
    /// This list cannot say any more: the database must.
    Unsure,
}

impl Revocations {
    /// A list of at most this many sessions. When more end within the life of an access token, every remembered verdict
    /// is formed again instead.
    pub(crate) fn new(most: usize) -> Self {
        Self { generation: AtomicU64::new(0), list: RwLock::default(), most }
    }

    /// To be read before the database is asked whether a session is live.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is known of a session that was found live at `generation`.
    pub(crate) fn status(&self, session: SessionId, generation: u64) -> RevocationStatus {
        if self.generation() == generation {
            return RevocationStatus::Clear;
        }
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        if list.until.contains_key(&session) {
            RevocationStatus::Ended
        } else if generation < list.floor {
            RevocationStatus::Unsure
        } else {
            RevocationStatus::Clear
        }
    }

    /// These sessions are over; their last access tokens expire at `until`.
    fn end(&self, sessions: &[SessionId], until: Time, now: Time) {
        if sessions.is_empty() {
            return;
        }
        let mut list = self.write();
        if list.until.len() + sessions.len() > self.most {
            list.until.retain(|_, until| *until > now);
        }
        if list.until.len() + sessions.len() > self.most {
            list.until.clear();
            list.floor = self.generation() + 1;
        } else {
            list.until.extend(sessions.iter().map(|session| (*session, until)));
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Every remembered verdict must be formed again.
    pub(crate) fn invalidate_all(&self) {
        let mut list = self.write();
        list.floor = self.generation() + 1;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// To be held across a transaction that ends sessions. Its outcome may stay unknown (the caller is gone, the
    /// deadline passed during the commit): dropped unsettled, it invalidates every verdict.
    pub(crate) fn pending(&self) -> Pending<'_> {
        Pending { ended: self, is_settled: false }
    }

    fn write(&self) -> RwLockWriteGuard<'_, List> {
        self.list.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sessions are about to be ended. See [`Ended::pending`].
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    ended: &'a Revocations,
    is_settled: bool,
}

impl Pending<'_> {
    /// Committed: these ended, and no others.
    pub(crate) fn settle(mut self, sessions: &[SessionId], until: Time, now: Time) {
        self.ended.end(sessions, until, now);
        self.is_settled = true;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.ended.invalidate_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay::kernel::{Clock, Random};

    use super::*;

    fn session() -> SessionId {
        SessionId::new(&Clock::system(), &Random::os())
    }

    #[test]
    fn an_ended_session_is_known_and_others_are_not_touched() {
        let ended = Revocations::new(10);
        let (a, b, seen) = (session(), session(), ended.generation());
        assert_eq!(ended.status(a, seen), RevocationStatus::Clear);
        ended.pending().settle(&[a], Time::MAX, Time::MIN);
        assert_eq!(ended.status(a, seen), RevocationStatus::Ended);
        assert_eq!(ended.status(b, seen), RevocationStatus::Clear);
    }

    #[test]
    fn an_overflow_makes_every_verdict_be_formed_anew() {
        let ended = Revocations::new(2);
        let (seen, later) = (ended.generation(), Time::from_micros(10));
        let sessions: Vec<_> = (0..3).map(|_| session()).collect();
        let mut just_before = seen;
        for one in &sessions {
            just_before = ended.generation();
            ended.pending().settle(std::slice::from_ref(one), later, Time::from_micros(1));
        }
        for one in &sessions {
            assert_eq!(ended.status(*one, seen), RevocationStatus::Unsure);
            assert_eq!(ended.status(*one, just_before), RevocationStatus::Unsure);
        }
        assert_eq!(ended.status(sessions[0], ended.generation()), RevocationStatus::Clear);
        // Those whose tokens have expired make room first. A token that expires now has.
        let since = ended.generation();
        ended.pending().settle(&sessions[..2], later, Time::from_micros(1));
        assert_eq!(
            ended.status(sessions[2], since),
            RevocationStatus::Clear,
            "what was asked after the overflow holds"
        );
        let seen = ended.generation();
        ended.pending().settle(&sessions[2..], Time::MAX, later);
        assert_eq!(ended.status(sessions[2], seen), RevocationStatus::Ended);
        assert_eq!(ended.status(sessions[0], seen), RevocationStatus::Clear);
    }

    #[test]
    fn an_unknown_outcome_is_doubted() {
        let ended = Revocations::new(10);
        let (a, seen) = (session(), ended.generation());
        drop(ended.pending());
        assert_eq!(ended.status(a, seen), RevocationStatus::Unsure);
        assert_eq!(ended.status(a, ended.generation()), RevocationStatus::Clear);
    }
}
