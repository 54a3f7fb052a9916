//! Rows that several callers ask for by id at the same time, found by one statement. Most of what a row by its id costs
//! PostgreSQL is to begin and to end a statement: of sixteen together, each costs a fifth.
//!
//! Nobody waits for others to come. Only while some statements are under way on the connection, the next caller waits
//! for one of them, and takes along those that come meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use uuid::Uuid;

use crate::{ById, Value};

/// Ids of one statement. More would keep those behind it waiting.
const MOST_IDS: usize = 64;
/// Statements under way on a connection before the next waits for one of them. With one, the second caller would wait
/// twice as long for the answer as the first; with many, each would find few to take along.
const UNDER_WAY: usize = 4;

/// A row, once for all who asked for it.
pub(crate) type SharedRow = Arc<tokio_postgres::Row>;

/// The batches of one connection.
#[derive(Debug)]
pub(crate) struct Batches {
    /// Those that are not sent yet.
    open: Mutex<Vec<Open>>,
    under_way: Semaphore,
}

/// A batch that others can join still.
#[derive(Debug)]
struct Open {
    statement: ById,
    asked: Vec<Asked>,
}

/// Who asked for a row of a batch. Dropped, they have to ask by themselves.
#[derive(Debug)]
struct Asked {
    id: Uuid,
    answer: oneshot::Sender<Option<SharedRow>>,
}

/// How a caller takes part.
pub(crate) enum Part<'a> {
    /// They ask by themselves at once: few are under way. This is one of those as long as the permit is held.
    Alone(SemaphorePermit<'a>),
    /// They are the first, and send it.
    Leads(Leader<'a>),
    /// Another sends it. Where that comes to nothing, this ends without an answer.
    Follows(oneshot::Receiver<Option<SharedRow>>),
}

/// The first of a batch. Dropped, there is no such batch any more.
pub(crate) struct Leader<'a> {
    batches: &'a Batches,
    statement: &'a ById,
    has_ended: bool,
}

/// Those who joined the first. Dropped, each has to ask by themselves.
#[derive(Debug)]
pub(crate) struct Followers(Vec<Asked>);

impl Batches {
    pub(crate) const fn new() -> Self {
        Self { open: Mutex::new(Vec::new()), under_way: Semaphore::const_new(UNDER_WAY) }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        // Nothing in here panics half way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a caller ask alone where few are under way, as nearly always; otherwise they join the batch of this statement, or
    /// begin one.
    pub(crate) fn join<'a>(&'a self, statement: &'a ById, id: Uuid) -> Part<'a> {
        // None is free as long as somebody waits for one.
        if let Ok(permit) = self.under_way.try_acquire() {
            return Part::Alone(permit);
        }
        let mut open = self.open();
        // The last one: those before it are full.
        match open.iter_mut().rfind(|batch| batch.statement.is(statement)) {
            Some(batch) if batch.asked.len() + 1 < MOST_IDS => {
                let (answer, receiver) = oneshot::channel();
                batch.asked.push(Asked { id, answer });
                Part::Follows(receiver)
            }
            _ => {
                open.push(Open { statement: statement.clone(), asked: Vec::new() });
                Part::Leads(Leader { batches: self, statement, has_ended: false })
            }
        }
    }
}

impl<'a> Leader<'a> {
    /// Waits until few enough are under way, and ends the batch. It is under way as long as the permit is held.
    pub(crate) async fn gather(mut self) -> (Followers, Option<SemaphorePermit<'a>>) {
        // It is never closed.
        let permit = self.batches.under_way.acquire().await.ok();
        self.has_ended = true;
        (Followers(self.take()), permit)
    }

    /// The oldest batch of the statement: which leader sends which does not matter.
    fn take(&self) -> Vec<Asked> {
        let mut open = self.batches.open();
        let at = open.iter().position(|batch| batch.statement.is(self.statement));
        at.map_or_else(Vec::new, |at| open.remove(at).asked)
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.take();
        }
    }
}

impl Followers {
    /// Whether the first is alone.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What all of them ask for, and `first` does: each id once.
    pub(crate) fn ids(&self, first: Uuid) -> Vec<Value> {
        let mut ids: Vec<Uuid> = self.0.iter().map(|asked| asked.id).chain([first]).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(Value::Id).collect()
    }

    /// Gives each the row they asked for, or says that there is none.
    pub(crate) fn answer(self, rows: &HashMap<Uuid, SharedRow>) {
        for Asked { id, answer } in self.0 {
            // A caller that is gone needs no answer.
            let _ = answer.send(rows.get(&id).cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Asks so often that nobody asks alone any more.
    fn fill<'a>(batches: &'a Batches, statement: &'a ById) -> Vec<SemaphorePermit<'a>> {
        let alone = |number| match batches.join(statement, id(number)) {
            Part::Alone(permit) => permit,
            Part::Leads(_) | Part::Follows(_) => panic!("{number} waits for company"),
        };
        (0..UNDER_WAY as u128).map(alone).collect()
    }

    fn leader<'a>(batches: &'a Batches, statement: &'a ById, number: u128) -> Leader<'a> {
        match batches.join(statement, id(number)) {
            Part::Leads(leader) => leader,
            Part::Alone(_) | Part::Follows(_) => panic!("{number} does not lead"),
        }
    }

    fn follower(batches: &Batches, statement: &ById, number: u128) -> oneshot::Receiver<Option<SharedRow>> {
        match batches.join(statement, id(number)) {
            Part::Follows(receiver) => receiver,
            Part::Alone(_) | Part::Leads(_) => panic!("{number} does not follow"),
        }
    }

    #[tokio::test]
    async fn the_first_takes_those_of_its_statement_along() {
        let (batches, users, posts) = (Batches::new(), ById::new("u", ""), ById::new("p", ""));
        let under_way = fill(&batches, &users);
        let first = leader(&batches, &users, 1);
        let other = leader(&batches, &posts, 1);
        let second = follower(&batches, &users, 2);
        let third = follower(&batches, &users, 1);
        drop(under_way);
        let (followers, _under_way) = first.gather().await;
        assert_eq!(followers.ids(id(1)), [Value::Id(id(1)), Value::Id(id(2))], "each once");
        followers.answer(&HashMap::default());
        assert!(second.await.unwrap().is_none() && third.await.unwrap().is_none());
        assert!(other.gather().await.0.is_empty());
        assert!(batches.open().is_empty());
    }

    #[tokio::test]
    async fn who_finds_many_under_way_waits_and_is_joined() {
        let (batches, statement) = (Batches::new(), ById::new("u", ""));
        let mut under_way = fill(&batches, &statement);
        let mut next = pin!(leader(&batches, &statement, 10).gather());
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let joined = follower(&batches, &statement, 11);
        under_way.pop();
        let last = follower(&batches, &statement, 12);
        let (followers, _under_way) = next.await;
        assert_eq!(followers.0.len(), 2, "who comes later does not go before");
        drop((joined, last));
    }

    #[tokio::test]
    async fn who_followed_one_that_is_gone_asks_alone() {
        let (batches, statement) = (Batches::new(), ById::new("u", ""));
        let under_way = fill(&batches, &statement);
        let first = leader(&batches, &statement, 1);
        let second = follower(&batches, &statement, 2);
        drop(first);
        second.await.unwrap_err();
        // Nor is anybody's batch lost by one that has ended.
        let next = leader(&batches, &statement, 3);
        let joined = follower(&batches, &statement, 4);
        drop(under_way);
        drop(next.gather().await);
        joined.await.unwrap_err();
        assert!(batches.open().is_empty());
    }

    #[tokio::test]
    async fn a_batch_has_an_end() {
        let (batches, statement) = (Batches::new(), ById::new("u", ""));
        let under_way = fill(&batches, &statement);
        let first = leader(&batches, &statement, 0);
        let followers: Vec<_> = (1..MOST_IDS as u128).map(|n| follower(&batches, &statement, n)).collect();
        let next = leader(&batches, &statement, 1_000);
        let last = follower(&batches, &statement, 1_001);
        drop(under_way);
        assert_eq!(first.gather().await.0.0.len(), followers.len());
        assert_eq!(next.gather().await.0.0.len(), 1);
        drop(last);
    }
}
