//! `login-storm`: five hundred log-ins at once, with passwords of a megabyte and with ordinary ones. What is too much is
//! told to come again, soon; memory is bounded by the hashes that run; who only asks how we are is answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::drill::Report;
use crate::drill::bench::{Bench, PASSWORD};
use crate::drill::traffic::Traffic;
use crate::drill::wire::{self, Reply};

const LOGINS: usize = 500;
/// Memory a while after the storm, in MiB: what we would like, and what is judged. The allocator keeps some of what
/// hashes gave back.
const GOAL_AFTER: f64 = 64.0;
const AFTER: f64 = 128.0;
/// For most answers that say come again, on a machine that has other things to do. Those that found a place in the queue
/// of hashes wait for it as long as a request may take.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
const MOST: f64 = 0.8;

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut target = bench.start("logins", &[])?;
    target.sign_up("ada")?;
    let port = target.port();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for (name, password, statuses, most_mib) in [
        // The bodies alone are half a gigabyte, if all of them arrive at once: each connection may hold one.
        ("passwords of a megabyte", "x".repeat(1_000_000), &[401, 408, 422, 503][..], 704.0),
        ("ordinary passwords", PASSWORD.to_owned(), &[200, 503][..], 19.0 * cores as f64 + 128.0),
    ] {
        bench.stop.check()?;
        let before = target.memory()?;
        target.forget_peak()?;
        let body = json!({ "email": "ada@example.org", "password": password }).to_string();
        let bytes = &wire::request("POST", "/api/v1/auth/login", "", "connection: close\r\n", body.as_bytes());
        let is_over = &AtomicBool::new(false);
        let health = Traffic { port, path: "/health/live", clients: 2, per_second: 20 };
        let (replies, met) = thread::scope(|scope| {
            let watcher = scope.spawn(move || health.run(Duration::from_secs(60), || !is_over.load(Ordering::SeqCst)));
            let clients: Vec<_> = (0..LOGINS)
                .map(|_| {
                    scope.spawn(move || {
                        let start = Instant::now();
                        wire::send(port, bytes).map(|reply| (reply, start.elapsed()))
                    })
                })
                .collect();
            let replies: Vec<Result<(Reply, Duration)>> = clients
                .into_iter()
                .map(|client| client.join().ok().context("a client panicked").and_then(|reply| reply))
                .collect();
            is_over.store(true, Ordering::SeqCst);
            anyhow::Ok((replies, watcher.join().ok().context("the good clients panicked")?))
        })?;
        thread::sleep(Duration::from_secs(3));
        let after = target.memory()?;
        let mut counts = BTreeMap::<String, u64>::new();
        let (mut bare, mut refusals) = (0, Vec::new());
        for reply in &replies {
            let word = reply.as_ref().map_or("none".to_owned(), |(reply, _)| reply.status.to_string());
            *counts.entry(word).or_default() += 1;
            if let Ok((reply, took)) = reply
                && reply.status == 503
            {
                refusals.push(*took);
                bare += usize::from(!reply.has_header("retry-after"));
            }
        }
        let is_answered = counts.keys().all(|status| statuses.iter().any(|good| good.to_string() == *status));
        report.judge(is_answered, &format!("{name}: each is answered {statuses:?}"), format!("{counts:?}"));
        report.judge(bare == 0, &format!("{name}: each 503 says when to come again"), format!("{bare} do not"));
        refusals.sort();
        let at = ((refusals.len() as f64) * MOST) as usize;
        let most = refusals.get(at).copied().unwrap_or_default();
        let seen = format!("{} ms or less, of {}", most.as_millis(), refusals.len());
        report.judge(most <= REFUSED_WITHIN, &format!("{name}: four of five 503 took"), seen);
        let seen = format!("{:.1} MiB before, {:.1} at most, {:.1} after", before.now, after.peak, after.now);
        report.judge(after.peak <= most_mib && after.now <= AFTER, &format!("{name}: memory is bounded"), seen);
        let worst = met.quantile(1.0);
        let seen = format!("{} of {} failed, the slowest took {worst:.0} ms", met.failed, met.times.len());
        report.judge(met.failed == 0 && worst < 2000.0, &format!("{name}: health is answered meanwhile"), seen);
        report.figure(
            name,
            json!({
                "answers": counts,
                "most_503_within_ms": most.as_millis() as u64,
                "rss_mib": [before.now, after.peak, after.now],
                "goal_after_mib": GOAL_AFTER,
                "is_goal_met": after.now <= GOAL_AFTER,
                "health_slowest_ms": worst.round(),
                "health_p99_ms": met.quantile(0.99).round(),
            }),
        );
    }
    report.judge(target.is_running(), "the server still runs", "after both storms");
    Ok(())
}
