//! Whether the workers keep up. When more is asked of them than they can do, it waits unseen: tasks that are ready, each with
//! a request read or about to be read, stand in the runtime's queue. How long that queue may become before a new task
//! waits too long depends on what its tasks cost, so that is measured: a task of our own joins now and then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::pulse::Pulse;

/// It is too much once new requests wait longer than this for their turn. Less is no reason to refuse any: a thousand
/// callers who each wait for their answers are served sooner by answers.
const TOO_LONG: Duration = Duration::from_millis(100);
/// While it is too much, one in twenty of those who are let in or refused may wait longer than this; 99 in 100 refusals
/// should come within 50 ms.
const LONGEST: Duration = Duration::from_millis(15);
/// Of the waits that were measured, this share was shorter than the one that is gone by.
const SHARE: f64 = 0.95;
/// How far one measurement moves what is known, by its natural logarithm: waits that have grown tenfold are known after
/// eight, and one that was long by chance is forgotten after twenty.
const STEP: f64 = 0.3;
/// What a task costs those behind it as far as nothing is known, in seconds.
const CHEAP: f64 = 1e-6;
/// Tasks that may wait for each worker whatever they cost. With fewer it is the machine that stood still, and nobody too many.
const FEW: usize = 64;
/// How often it is measured, while tasks wait and while none do.
const BUSY: Duration = Duration::from_millis(10);
const QUIET: Duration = Duration::from_millis(100);
/// How often refusals are logged: a line for each would cost as much as the refusal. When nothing was refused, the
/// overload is over.
const TELL: Duration = Duration::from_secs(1);

/// Held by the workers of one runtime and by their connections. Its thread and its task end with it.
#[derive(Debug)]
pub(crate) struct LoadShedder {
    runtime: RuntimeMetrics,
    workers: usize,
    /// Seconds that each waiting task costs a new one, in nearly all cases ([`SHARE`]).
    each: Mutex<f64>,
    /// Tasks that may wait; any number unless it is too much.
    limit: AtomicUsize,
    /// Requests refused since the last log line.
    refused: AtomicUsize,
    task: AbortHandle,
    pulse: Arc<Pulse>,
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

impl LoadShedder {
    /// For the current runtime, which has this many workers.
    pub(crate) fn start(workers: usize) -> Arc<Self> {
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
        let (each, task) = (Mutex::new(CHEAP), task.abort_handle());
        let runtime = runtime.metrics();
        let shedder = Arc::new(Self { runtime, workers, each, limit, refused, task, pulse: Pulse::new() });
        let measured = Arc::downgrade(&shedder);
        // A thread, because what a worker wakes goes before what waits.
        if let Err(error) =
            thread::Builder::new().name("load-shedder".to_owned()).spawn(move || measure(&measured, &question))
        {
            tracing::warn!(
                target: "mainstay::server",
                %error,
                "there is no thread that watches the workers: whatever comes is taken on; raise the limit of threads (`ulimit -u`)"
            );
        }
        shedder
    }

    /// Whether a request that begins now is one too many. A caller that gets yes refuses it.
    pub(crate) fn is_too_much(&self) -> bool {
        let is_too_much = self.runtime.global_queue_depth() > self.limit.load(Ordering::Relaxed);
        if is_too_much {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_too_much
    }

    /// Whether the process has slept.
    pub(crate) const fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Tells the log, once for all.
    fn tell(&self) {
        let requests = self.refused.swap(0, Ordering::Relaxed);
        if requests == 0 {
            self.limit.store(usize::MAX, Ordering::Relaxed);
            return;
        }
        tracing::warn!(
            target: "mainstay::server",
            requests,
            "requests were refused: more is asked than the workers can do; give the server more cores, or start another"
        );
    }

    /// Records how long a task waited behind others, or has waited so far. Not the mean counts but the long waits;
    /// their quantile is found as by Robbins and Monro (A Stochastic Approximation Method, 1951).
    fn learn(&self, depth: usize, took: Duration, has_ended: bool) {
        let few = FEW * self.workers;
        if depth <= few {
            return;
        }
        let measured = took.as_secs_f64() / depth as f64;
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if measured > *each {
            *each *= (STEP * SHARE).exp();
        } else if has_ended {
            // What has not ended may still become a long one.
            *each = (*each * (-STEP * (1.0 - SHARE)).exp()).max(CHEAP);
        }
        let is_too_much = self.limit.load(Ordering::Relaxed) < usize::MAX;
        if is_too_much || (took > TOO_LONG && *each * depth as f64 > TOO_LONG.as_secs_f64()) {
            self.limit.store(((LONGEST.as_secs_f64() / *each) as usize).max(few), Ordering::Relaxed);
        }
    }
}

impl Drop for LoadShedder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the thread does for as long as somebody holds the shedder.
fn measure(shedder: &Weak<LoadShedder>, question: &Question) {
    let mut told = Instant::now();
    while let Some(shedder) = shedder.upgrade() {
        shedder.pulse.beat(Instant::now());
        let depth = shedder.runtime.global_queue_depth();
        let mut asked = question.asked();
        match &*asked {
            Some(Asked { took: None, depth, at }) => shedder.learn(*depth, at.elapsed(), false),
            earlier => {
                if let Some(Asked { depth, took: Some(took), .. }) = earlier {
                    shedder.learn(*depth, *took, true);
                }
                *asked = Some(Asked { at: Instant::now(), depth, took: None });
                question.wake.notify_one();
            }
        }
        drop(asked);
        if told.elapsed() >= TELL {
            told = Instant::now();
            shedder.tell();
        }
        drop(shedder);
        thread::sleep(if depth > 0 { BUSY } else { QUIET });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(shedder: &LoadShedder) -> usize {
        shedder.limit.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn many_who_wait_a_little_are_all_let_in() {
        let shedder = LoadShedder::start(2);
        assert!(!shedder.is_too_much());
        (0..1000).for_each(|_| shedder.learn(1000, TOO_LONG * 9 / 10, true));
        assert_eq!(limit(&shedder), usize::MAX);
        (0..1000).for_each(|_| shedder.learn(2 * FEW, Duration::from_secs(60), true));
        assert_eq!(limit(&shedder), usize::MAX, "few: it was the machine that stood still");
    }

    #[tokio::test]
    async fn while_it_is_too_much_as_many_may_wait_as_have_their_turn_in_time() {
        let shedder = LoadShedder::start(2);
        (0..30).for_each(|_| shedder.learn(1000, TOO_LONG * 2, false));
        let first = limit(&shedder);
        assert!((2 * FEW..200).contains(&first), "{first}");
        shedder.learn(1000, LONGEST / 100, false);
        assert_eq!(limit(&shedder), first, "what still waits may yet wait long");
        (0..1000).for_each(|_| shedder.learn(1000, LONGEST / 2, true));
        assert!((1450..2100).contains(&limit(&shedder)), "cheap ones may be more: {}", limit(&shedder));
        shedder.learn(1000, Duration::from_secs(60), true);
        assert!(limit(&shedder) > 1000, "the machine stood still once: {}", limit(&shedder));
        (0..30).for_each(|_| shedder.learn(1000, Duration::from_secs(60), true));
        assert_eq!(limit(&shedder), 2 * FEW, "so many always");
        shedder.refused.store(1, Ordering::Relaxed);
        shedder.tell();
        assert_eq!(limit(&shedder), 2 * FEW, "some were refused");
        shedder.tell();
        assert_eq!(limit(&shedder), usize::MAX, "nobody was for a while");
    }

    #[tokio::test]
    async fn the_long_waits_decide() {
        let shedder = LoadShedder::start(2);
        (0..30).for_each(|_| shedder.learn(1000, TOO_LONG * 2, false));
        for _ in 0..200 {
            (0..9).for_each(|_| shedder.learn(1000, LONGEST / 10, true));
            shedder.learn(1000, 2 * LONGEST, true);
        }
        assert!(limit(&shedder) < 800, "one in ten waits too long behind a thousand: {}", limit(&shedder));
        for _ in 0..200 {
            (0..99).for_each(|_| shedder.learn(1000, LONGEST / 10, true));
            shedder.learn(1000, 2 * LONGEST, true);
        }
        assert!(limit(&shedder) > 5000, "one in a hundred does: {}", limit(&shedder));
    }
}
