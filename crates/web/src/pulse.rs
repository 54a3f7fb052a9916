//! Whether the process has slept: stopped (SIGSTOP), a machine suspended, a container paused. Time goes on meanwhile, and
//! clients cannot be blamed for what they did in it and nobody has read yet.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// A beat that is late by more than this was slept through: they come ten times a second.
const SLEPT: Duration = Duration::from_secs(1);
/// After a sleep, a timer that ran out in it runs so much longer: what has arrived is read first.
const GRACE: Duration = Duration::from_secs(1);

/// What a thread beats for as long as the process runs, and connections feel.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    /// The last beat, and the first one after a sleep, in microseconds since it began; zero: there was none.
    beat_at: AtomicU64,
    woke_at: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), beat_at: AtomicU64::new(0), woke_at: AtomicU64::new(0) })
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) fn beat(&self, now: Instant) {
        let now = self.micros(now);
        let last = self.beat_at.swap(now, Ordering::Relaxed);
        if last != 0 && now.saturating_sub(last) > SLEPT.as_micros() as u64 {
            self.woke_at.store(now, Ordering::Relaxed);
        }
    }

    /// When the process woke last, if it ever slept.
    pub(crate) fn woke_at(&self, now: Instant) -> Option<Instant> {
        let last = self.beat_at.load(Ordering::Relaxed);
        if last != 0 && self.micros(now).saturating_sub(last) > SLEPT.as_micros() as u64 {
            // It does so now: the next beat has yet to come.
            return Some(now);
        }
        match self.woke_at.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(self.began + Duration::from_micros(micros)),
        }
    }
}

/// The timers of HTTP/2's keep-alive: an answer to a ping that came while the process slept is read before the client is
/// given up.
#[derive(Debug, Clone)]
pub(crate) struct AwakeTimer(pub(crate) Arc<Pulse>);

struct AwakeSleep {
    pulse: Arc<Pulse>,
    armed_at: Instant,
    /// Once for each time it is armed.
    has_grace: bool,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Future for AwakeSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let now = tokio::time::Instant::now().into_std();
            let until = self.pulse.woke_at(now).filter(|woke| *woke > self.armed_at).map(|woke| woke + GRACE);
            match until.filter(|until| *until > now) {
                Some(until) if self.has_grace => {
                    self.has_grace = false;
                    self.sleep.as_mut().reset(until.into());
                }
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl hyper::rt::Sleep for AwakeSleep {}

impl hyper::rt::Timer for AwakeTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let sleep = Box::pin(tokio::time::sleep_until(deadline.into()));
        Box::pin(AwakeSleep { pulse: self.0.clone(), armed_at: self.now(), has_grace: true, sleep })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<AwakeSleep>() {
            Some(mut ours) => {
                (ours.armed_at, ours.has_grace) = (self.now(), true);
                ours.sleep.as_mut().reset(deadline.into());
            }
            None => *sleep = self.sleep_until(deadline),
        }
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    /// Beats as long as the process ran, up to this moment.
    fn beating(pulse: &Pulse, beats: u32) -> Instant {
        (1..=beats).for_each(|n| pulse.beat(pulse.began + n * TENTH));
        pulse.began + beats * TENTH
    }

    #[test]
    fn a_process_that_runs_has_not_slept() {
        let pulse = Pulse::new();
        assert_eq!(pulse.woke_at(pulse.began + 100 * TENTH), None, "nobody beats: nothing is known");
        let now = beating(&pulse, 50);
        assert_eq!(pulse.woke_at(now + TENTH), None);
        pulse.beat(now + 9 * TENTH);
        assert_eq!(pulse.woke_at(now + 9 * TENTH), None, "a busy machine beats late");
    }

    #[test]
    fn one_that_was_stopped_woke_when_it_beat_again() {
        let pulse = Pulse::new();
        let stopped = beating(&pulse, 50);
        let woke = stopped + 110 * TENTH;
        assert_eq!(pulse.woke_at(woke), Some(woke), "whoever asks before the first beat");
        pulse.beat(woke);
        assert_eq!(pulse.woke_at(woke + 5 * TENTH), Some(woke));
        pulse.beat(woke + 5 * TENTH);
        assert_eq!(pulse.woke_at(woke + 5 * TENTH), Some(woke), "and after the next");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_ran_out_in_a_sleep_runs_on_for_a_while() {
        use hyper::rt::Timer as _;
        let pulse = Pulse::new();
        let timer = AwakeTimer(pulse.clone());
        // It runs: the timer is on time.
        let began = tokio::time::Instant::now();
        timer.sleep(TENTH).await;
        assert!(began.elapsed() < GRACE);
        // It slept after the timer was armed, and woke just now.
        let sleep = timer.sleep(TENTH);
        pulse.beat_at.store(1, Ordering::Relaxed);
        pulse.beat(timer.now() + 2 * SLEPT);
        let began = tokio::time::Instant::now();
        sleep.await;
        assert!(began.elapsed() >= GRACE, "{:?}", began.elapsed());
    }
}
