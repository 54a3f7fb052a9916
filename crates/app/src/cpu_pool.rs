mod turns;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use kernel::Ctx;
use macros::ApiError;
use tokio::sync::oneshot;
use web::Service;

use self::turns::{Permit, Turns};
use crate::{StartError, allocator};

/// Runs what keeps a core busy, away from the workers: hashing, image work, big sums. A handler that computes for longer
/// than some hundred microseconds by itself holds up every other request of its worker.
///
/// The number of running jobs and the length of the queue are bounded, and nobody waits longer than their request's
/// deadline. Networks take turns (RFC 970's fair queueing). If the queue is full, the newest job of the network that
/// has most in it leaves: a client that sends a thousand at once waits for its own jobs, and is refused before anybody
/// else is. The pool has threads of its own, which give way to the workers where a core is short. Make one for each
/// purpose, so that one kind of work cannot starve another, and put it in: `boot.put(CpuPool::per_core(256)?)`. Clones
/// share their permits; the threads end with the last of them.
#[derive(Clone)]
pub struct CpuPool {
    turns: Turns,
    jobs: Arc<JobQueue>,
}

/// Leave to do one piece of work, now. Dropped, it is the next one's.
#[must_use = "somebody else could work meanwhile"]
pub struct Turn {
    permit: Permit,
    jobs: Arc<JobQueue>,
}

type Job = Box<dyn FnOnce() + Send>;

/// How far the threads stand back, on the scale of `nice(2)`: a worker that has something to do gets ten times their share.
///
/// Not `SCHED_IDLE`, with which a worker would take the core from them at once, not after the some milliseconds that they were
/// given: on a core that the workers keep wholly busy nobody could log in any more.
const NICENESS: i32 = 10;

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ApiError)]
pub enum CpuPoolError {
    /// Too much of it waits already, or its turn did not come in time.
    #[api(Unavailable, "The server computes as much as it can at present. Try again.")]
    WorkBusy,
    /// It broke off; the log says how.
    #[api(Internal, "Something went wrong on our side. Quote the request id when you report it.")]
    WorkFailed,
}

impl Service for CpuPool {}

impl fmt::Debug for CpuPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuPool").field("turns", &self.turns).finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl CpuPool {
    /// At most `permits` at once (1–1,024), and at most `queue` waiting.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub fn new(permits: usize, queue: usize) -> Result<Self, StartError> {
        Self::start(permits, queue, allocator::give_back)
    }

    fn start(permits: usize, queue: usize, at_rest: fn()) -> Result<Self, StartError> {
        let permits = permits.clamp(1, 1024);
        let jobs = JobQueue::default();
        for _ in 0..permits {
            let jobs = jobs.0.clone();
            thread::Builder::new().name("work".to_owned()).spawn(move || work_on(&jobs, at_rest)).map_err(|error| {
                StartError::caused("the system has no thread to give; raise its limit (`ulimit -u`)", error)
            })?;
        }
        Ok(Self { turns: Turns::new(permits, queue), jobs: Arc::new(jobs) })
    }

    /// As many at once as there are cores, and at most `queue` waiting.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub fn per_core(queue: usize) -> Result<Self, StartError> {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from), queue)
    }

    /// How many more may start at once.
    pub fn free_permits(&self) -> usize {
        self.turns.free()
    }

    /// Runs `work` on a thread of its own once it is its turn. The permit goes with the work: a caller who leaves does
    /// not make room for another while this one still takes its core and memory.
    ///
    /// # Errors
    /// When too many wait, when the deadline passes first, or when it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        ctx: &Ctx,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CpuPoolError> {
        self.turn(ctx).await?.run(ctx, work).await
    }

    /// Waits for its turn alone: for a caller that has something to decide just before the work begins.
    ///
    /// # Errors
    /// When too many wait, or the deadline passes first.
    pub async fn turn(&self, ctx: &Ctx) -> Result<Turn, CpuPoolError> {
        // What nobody outside asked for waits together, like a network of its own.
        let network = ctx.network().unwrap_or(u128::MAX);
        let permit = ctx.within(self.turns.take(network)).await.ok().flatten();
        Ok(Turn { permit: permit.ok_or(CpuPoolError::WorkBusy)?, jobs: self.jobs.clone() })
    }
}

impl Turn {
    /// Runs `work` on a thread of its own, as [`CpuPool::run`] does.
    ///
    /// # Errors
    /// When the deadline passes first, or when it panics.
    pub async fn run<T: Send + 'static>(
        self,
        ctx: &Ctx,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CpuPoolError> {
        let Self { permit, jobs } = self;
        let (response, answer) = oneshot::channel();
        let job = move || {
            let done = {
                let _permit = permit;
                work()
            };
            // The permit is back before the answer: a caller with its answer finds one free. The caller may be gone.
            let _ = response.send(done);
        };
        jobs.0.put(Box::new(job));
        ctx.within(answer).await.map_err(|_| CpuPoolError::WorkBusy)?.map_err(|_| CpuPoolError::WorkFailed)
    }
}

/// A thread that has had nothing to do for so long gives back the memory that its work took.
const REST: Duration = Duration::from_millis(500);

/// Jobs on their way to a thread. Each one has a permit, so there are never more than threads.
#[derive(Default)]
struct Jobs {
    list: Mutex<List>,
    more: Condvar,
}

#[derive(Default)]
struct List {
    waiting: VecDeque<Job>,
    is_closed: bool,
}

/// Where jobs are put. With it, the threads end.
#[derive(Default)]
struct JobQueue(Arc<Jobs>);

impl Drop for JobQueue {
    fn drop(&mut self) {
        self.0.list().is_closed = true;
        self.0.more.notify_all();
    }
}

/// What a thread is to do next.
enum Next {
    Job(Job),
    /// There was nothing until the timeout.
    Rest,
    End,
}

impl Jobs {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, job: Job) {
        self.list().waiting.push_back(job);
        self.more.notify_one();
    }

    fn next(&self, timeout: Option<Duration>) -> Next {
        let mut list = self.list();
        loop {
            if let Some(job) = list.waiting.pop_front() {
                return Next::Job(job);
            }
            if list.is_closed {
                return Next::End;
            }
            let Some(timeout) = timeout else {
                list = self.more.wait(list).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (woken, is_over) = self.more.wait_timeout(list, timeout).unwrap_or_else(PoisonError::into_inner);
            list = woken;
            if is_over.timed_out() && list.waiting.is_empty() {
                return Next::Rest;
            }
        }
    }
}

/// What each thread does until the desk is gone.
fn work_on(jobs: &Jobs, at_rest: fn()) {
    if let Err(error) = kernel::thread::give_way(NICENESS) {
        tracing::warn!(error = &error as &dyn std::error::Error, "work runs at the priority of requests");
    }
    let mut has_worked = false;
    loop {
        match jobs.next(has_worked.then_some(REST)) {
            Next::Job(job) => {
                // A panic drops the answer's sender, which tells the caller, and gives the permit back.
                let _ = catch_unwind(AssertUnwindSafe(job));
                has_worked = true;
            }
            Next::Rest => {
                at_rest();
                has_worked = false;
            }
            Next::End => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Clock, Random};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn ctx(budget_ms: u64) -> Ctx {
        Ctx::system("test", Duration::from_millis(budget_ms), &Clock::system(), &Random::os())
    }

    #[tokio::test]
    async fn so_many_at_once_so_many_waiting_and_no_more() {
        let work = CpuPool::new(1, 1).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let long = ctx(30_000);
        let mut first = std::pin::pin!(work.run(&long, move || gate.recv().is_ok()));
        let mut second = std::pin::pin!(work.run(&long, || 2));
        // Polled once each, in this order: the first runs, the second waits.
        tokio::select! { biased; _ = &mut first => unreachable!(), _ = &mut second => unreachable!(), () = async {} => {} }
        assert_eq!(work.run(&long, || 3).await, Err(CpuPoolError::WorkBusy), "the queue is full");
        release.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        assert_eq!(second.await, Ok(2));
        assert_eq!(work.run(&long, || 3).await, Ok(3), "both places are free again");
    }

    #[tokio::test]
    async fn nobody_waits_past_the_deadline_and_the_permit_stays_with_the_work() {
        let work = CpuPool::new(1, 8).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        assert_eq!(work.run(&ctx(1), move || gate.recv().is_ok()).await, Err(CpuPoolError::WorkBusy));
        assert_eq!(work.free_permits(), 0, "it still computes");
        assert_eq!(work.run(&ctx(1), || ()).await, Err(CpuPoolError::WorkBusy));
        release.send(()).unwrap();
        assert_eq!(work.run(&ctx(30_000), || 1).await, Ok(1));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn its_threads_give_way_to_the_workers() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let worker = nice();
        let work = CpuPool::new(1, 1).unwrap();
        let standing_back = work.run(&ctx(30_000), nice).await.unwrap();
        assert_eq!(standing_back, NICENESS.max(worker), "the worker has {worker}");
        assert_eq!(nice(), worker);
    }

    #[tokio::test]
    async fn a_thread_that_has_worked_gives_back_what_it_took_and_one_that_has_not_does_nothing() {
        static RESTS: AtomicUsize = AtomicUsize::new(0);
        let count = || {
            RESTS.fetch_add(1, Ordering::SeqCst);
        };
        // Most of them have nothing to do, and wait as long as the one that has.
        let work = CpuPool::start(8, 8, count).unwrap();
        for times in 1..=2 {
            assert_eq!(work.run(&ctx(30_000), || 1).await, Ok(1));
            while RESTS.load(Ordering::SeqCst) < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        drop(work);
        assert_eq!(RESTS.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_gives_its_place_back() {
        let work = CpuPool::new(1, 1).unwrap();
        assert_eq!(work.run(&ctx(30_000), || panic!("as the test asks")).await, Err::<(), _>(CpuPoolError::WorkFailed));
        assert_eq!(work.run(&ctx(30_000), || 1).await, Ok(1));
    }
}
