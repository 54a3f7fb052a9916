//! Whether the lanes keep up. When more is asked of them than they can do, it waits unseen: tasks that are ready, each with
//! a request read or about to be read, stand in the runtime's queue. How long that queue may become before whoever joins
//! it waits too long depends on what its tasks cost, so that is measured: a task of our own joins now and then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// New requests are refused when they would wait longer than this for their turn. That is the mean; a refusal waits as
/// long, and 99 in 100 of them should come within 50 ms.
const LONGEST: Duration = Duration::from_millis(10);
/// Tasks that may wait for each lane whatever they cost. With fewer it is the machine that stood still, and nobody too many.
const FEW: usize = 64;
/// How often it is measured, while tasks wait and while none do.
const BUSY: Duration = Duration::from_millis(10);
const QUIET: Duration = Duration::from_millis(100);
/// How often the log is told what was refused: a line for each would cost as much as the refusal.
const TELL: Duration = Duration::from_secs(1);

/// Held by the lanes of one runtime and by their connections. Its thread and its task end with it.
#[derive(Debug)]
pub(crate) struct Pressure {
    runtime: RuntimeMetrics,
    lanes: usize,
    /// Tasks that may wait.
    limit: AtomicUsize,
    /// Requests that were one too many, since the log was told.
    refused: AtomicUsize,
    task: AbortHandle,
}

/// What the thread asks and the task answers: how long it takes from being woken to having a turn.
#[derive(Debug, Default)]
struct Question {
    wake: Notify,
    asked: Mutex<Option<Asked>>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    /// Tasks that were waiting then.
    depth: usize,
    took: Option<Duration>,
}

impl Question {
    fn asked(&self) -> MutexGuard<'_, Option<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pressure {
    /// Of the present runtime, which has so many lanes.
    pub(crate) fn start(lanes: usize) -> Arc<Self> {
        let runtime = Handle::current();
        let question = Arc::new(Question::default());
        let answering = question.clone();
        let task = runtime.spawn(async move {
            loop {
                answering.wake.notified().await;
                if let Some(asked) = &mut *answering.asked() {
                    asked.took = Some(asked.at.elapsed());
                }
            }
        });
        let (limit, refused) = (AtomicUsize::new(usize::MAX), AtomicUsize::new(0));
        let pressure = Arc::new(Self { runtime: runtime.metrics(), lanes, limit, refused, task: task.abort_handle() });
        let measured = Arc::downgrade(&pressure);
        // A thread, because what a lane wakes goes before what waits.
        if let Err(error) =
            thread::Builder::new().name("pressure".to_owned()).spawn(move || measure(&measured, &question))
        {
            tracing::warn!(
                target: "mainstay::server",
                %error,
                "there is no thread that watches the lanes: whatever comes is taken on; raise the limit of threads (`ulimit -u`)"
            );
        }
        pressure
    }

    /// Whether a request that begins now is one too many. Who asks and hears yes, refuses it.
    pub(crate) fn is_too_much(&self) -> bool {
        let is_too_much = self.runtime.global_queue_depth() > self.limit.load(Ordering::Relaxed);
        if is_too_much {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_too_much
    }

    /// Tells the log, once for all.
    fn tell(&self) {
        let requests = self.refused.swap(0, Ordering::Relaxed);
        if requests > 0 {
            tracing::warn!(
                target: "mainstay::server",
                requests,
                "requests were refused: more is asked than the lanes can do; give the server more cores, or start another"
            );
        }
    }

    /// Takes note of what a task waited behind so many others.
    fn learn(&self, depth: usize, took: Duration) {
        let few = FEW * self.lanes;
        if depth > few {
            let limit = depth as f64 * LONGEST.as_secs_f64() / took.as_secs_f64().max(1e-6);
            self.limit.store((limit as usize).max(few), Ordering::Relaxed);
        }
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the thread does for as long as there is somebody who wants to know.
fn measure(pressure: &Weak<Pressure>, question: &Question) {
    let mut told = Instant::now();
    while let Some(pressure) = pressure.upgrade() {
        let depth = pressure.runtime.global_queue_depth();
        let mut asked = question.asked();
        match &*asked {
            Some(Asked { took: None, depth, at }) => pressure.learn(*depth, at.elapsed()),
            earlier => {
                if let Some(Asked { depth, took: Some(took), .. }) = earlier {
                    pressure.learn(*depth, *took);
                }
                *asked = Some(Asked { at: Instant::now(), depth, took: None });
                question.wake.notify_one();
            }
        }
        drop(asked);
        if told.elapsed() >= TELL {
            told = Instant::now();
            pressure.tell();
        }
        drop(pressure);
        thread::sleep(if depth > 0 { BUSY } else { QUIET });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_many_may_wait_as_have_their_turn_in_time() {
        let pressure = Pressure::start(2);
        let limit = || pressure.limit.load(Ordering::Relaxed);
        assert!(!pressure.is_too_much());
        pressure.learn(2 * FEW, Duration::from_secs(60));
        assert_eq!(limit(), usize::MAX, "few: it was the machine that stood still");
        pressure.learn(1000, 5 * LONGEST);
        assert_eq!(limit(), 200);
        pressure.learn(1000, LONGEST / 2);
        assert_eq!(limit(), 2000, "cheap ones may be more");
        pressure.learn(1000, Duration::from_secs(60));
        assert_eq!(limit(), 2 * FEW, "so many always");
        pressure.learn(1000, Duration::ZERO);
        assert!(limit() > 1000, "no time is not divided by");
    }
}
