//! Allowances of one node.

use std::sync::Barrier;
use std::time::Duration;

use cache::{Backend, Bus, Limiter, WhenUnavailable};
use kernel::{Bucket, Charge, Clock, Ctx, MOST_CHARGES, Random, Rate, Taken, Taking, Time};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn charge(policy: &str, quota: u32, window: Duration) -> Charge {
    let bucket = Bucket { policy: Bucket::named(policy), who: 7, ..Bucket::default() };
    Charge { bucket, rate: Rate::new(quota, window).unwrap(), cost: 1 }
}

fn memory() -> Limiter {
    let backend = Backend::memory();
    Limiter::new(&backend, &Bus::new(&backend), WhenUnavailable::Refuse)
}

fn ctx(clock: &Clock) -> Ctx {
    Ctx::system("test", HOUR, clock, &Random::seeded(1))
}

fn now(taking: Taking) -> Taken {
    match taking {
        Taking::Now(taken) => taken,
        Taking::Later(_) => panic!("memory is asked at once"),
    }
}

fn start() -> Clock {
    Clock::fake(Time::from_micros(1_700_000_000_000_000))
}

#[tokio::test]
async fn exactly_as_many_go_through_as_there_are_whoever_asks_from_whichever_thread() {
    let (limiter, clock) = (memory(), start());
    let gate = Barrier::new(8);
    let ctx = ctx(&clock);
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    gate.wait();
                    let one = [charge("a", 1000, HOUR)];
                    (0..500).filter(|_| now(limiter.take(&ctx, &one)).is_admitted()).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 1000);
}

#[tokio::test]
async fn a_call_takes_from_all_of_its_buckets_or_from_none_in_whatever_order_they_come() {
    let (limiter, clock) = (memory(), start());
    let gate = Barrier::new(8);
    let ctx = ctx(&clock);
    let names = ["a", "b", "c", "d", "e", "f"];
    let large = |name: &str| charge(name, 10_000, HOUR);
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (limiter, ctx, gate) = (&limiter, &ctx, &gate);
                scope.spawn(move || {
                    let mut charges = names.map(large);
                    charges[2] = charge("c", 300, HOUR);
                    charges.rotate_left(thread % 6);
                    gate.wait();
                    (0..200).filter(|_| now(limiter.take(ctx, &charges)).is_admitted()).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 300, "as many as the smallest has");
    for name in ["a", "b", "d", "e", "f"] {
        let taken = now(limiter.take(&ctx, &[large(name)]));
        assert_eq!(taken.states()[0].remaining, 10_000 - 300 - 1, "those that were refused took nothing");
    }
}

#[tokio::test]
async fn what_was_taken_comes_back_a_little_at_a_time() {
    let (limiter, clock) = (memory(), start());
    let ctx = ctx(&clock);
    let one = [charge("a", 10, Duration::from_secs(10))];
    for left in (0..10).rev() {
        let taken = now(limiter.take(&ctx, &one));
        assert!(taken.is_admitted());
        assert_eq!(taken.states()[0].remaining, left);
        assert_eq!(taken.states()[0].reset, Duration::from_secs(u64::from(10 - left)));
    }
    let refused = now(limiter.take(&ctx, &one));
    assert_eq!(refused.states()[0].reset, Duration::from_secs(1));
    clock.advance(Duration::from_micros(999_999));
    assert_eq!(now(limiter.take(&ctx, &one)).states()[0].reset, Duration::from_micros(1));
    clock.advance(Duration::from_micros(1));
    assert!(now(limiter.take(&ctx, &one)).is_admitted());
    assert!(!now(limiter.take(&ctx, &one)).is_admitted());
    let much = Charge { cost: 11, ..one[0] };
    clock.advance(HOUR);
    assert!(!now(limiter.take(&ctx, &[much])).is_admitted(), "more than there ever is");
    assert!(now(limiter.take(&ctx, &[Charge { cost: 10, ..much }])).is_admitted());
}

#[tokio::test]
async fn a_call_with_too_many_buckets_is_refused_and_one_with_none_goes_through() {
    let (limiter, clock) = (memory(), start());
    let ctx = ctx(&clock);
    let many = [charge("a", 10, HOUR); MOST_CHARGES + 1];
    assert!(!now(limiter.take(&ctx, &many)).is_admitted());
    assert!(now(limiter.take(&ctx, &many[..MOST_CHARGES])).is_admitted());
    assert!(now(limiter.take(&ctx, &[])).is_admitted());
}
