//! `login-storm`: five hundred log-ins at once, with passwords of a megabyte and with ordinary ones, then as many posts of
//! a megabyte, then bodies that stop half way. A body that is too long is refused by its announced length. Excess requests
//! are refused and may come again soon. The admitted hashes and bodies bound the memory. Health checks are answered.
//! Small bodies that stop half way come over HTTP/2, where a few connections carry thousands.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::{Bench, PASSWORD, Target, wait_until};
use crate::chaos::raw_http::{self, Response};
use crate::chaos::traffic::Traffic;

const LOGINS: usize = 500;
/// Memory a while after the storm, in MiB: what we would like, and what is judged. The allocator keeps some of what
/// hashes gave back.
const GOAL_AFTER: f64 = 64.0;
const AFTER: f64 = 128.0;
/// For most answers that say come again, on a machine that has other things to do. Those that found a place in the queue
/// of hashes wait for it as long as a request may take.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
const MOST: f64 = 0.8;

/// What a storm is made of.
struct Storm {
    name: &'static str,
    request: Vec<u8>,
    statuses: &'static [u16],
    /// Whether some must be told to come again: otherwise it was no storm.
    is_too_much: bool,
    /// What the server may grow by, in MiB.
    growth: f64,
    /// What it may have a while after, in MiB: the allocator keeps some of what was given back.
    after: f64,
}

/// What each connection may cost while a refused body is read away, in MiB: hyper's buffer.
const PER_CONNECTION: f64 = 64.0 / 1024.0;
/// `server.body_memory_bytes`, in MiB.
const BODIES: f64 = 64.0;
/// A hash's memory, in MiB.
const HASH: f64 = 19.0;
/// What else moves in a process under load, in MiB: threads' stacks, the allocator's slack, the log.
const SLACK: f64 = 32.0;

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut target = bench.start("logins", &[])?;
    let (token, _) = target.sign_up("ada")?;
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    let login = |password: &str| {
        let body = json!({ "email": "ada@example.org", "password": password }).to_string();
        raw_http::request("POST", "/api/v1/auth/login", "", "connection: close\r\n", body.as_bytes())
    };
    // As long as a body may be, and good: a letter can be written in six.
    let letters = "\\u0061".repeat(100_000);
    let post = format!("{{\"title\":\"a\",\"body\":\"{letters}\"{}}}", " ".repeat(440_000));
    let post = raw_http::request("POST", "/api/v1/posts", &token, "connection: close\r\n", post.as_bytes());
    let connections = LOGINS as f64 * PER_CONNECTION;
    for storm in [
        // No address and password are as long as that: each is refused by its announcement, and nothing is kept of it.
        Storm {
            name: "passwords of a megabyte",
            request: login(&"x".repeat(1_000_000)),
            statuses: &[413],
            is_too_much: false,
            growth: connections + SLACK,
            after: AFTER,
        },
        Storm {
            name: "ordinary passwords",
            request: login(PASSWORD),
            statuses: &[200, 503],
            is_too_much: true,
            growth: HASH * cores + connections + SLACK,
            after: AFTER,
        },
        // Each in memory once as it came, and once as what was read from it.
        Storm {
            name: "posts of a megabyte",
            request: post.clone(),
            statuses: &[201, 503],
            is_too_much: false,
            growth: 2.0 * BODIES + connections + SLACK,
            after: AFTER + BODIES,
        },
    ] {
        bench.stop.check()?;
        rage(&target, report, &storm)?;
    }
    stalled(&target, report, &post, &login(PASSWORD))?;
    halves(&target, report, &login(PASSWORD))?;
    report.judge(target.is_running(), "the server still runs", "after all storms");
    Ok(())
}

fn rage(target: &Target, report: &mut Report, storm: &Storm) -> Result<()> {
    let Storm { name, statuses, .. } = storm;
    let (port, bytes) = (target.port(), &storm.request);
    let before = target.memory()?;
    target.forget_peak()?;
    let is_over = &AtomicBool::new(false);
    let health = Traffic { port, path: "/health/live", clients: 2, per_second: 20 };
    let (responses, met) = thread::scope(|scope| {
        let watcher = scope.spawn(move || health.run(Duration::from_secs(60), || !is_over.load(Ordering::SeqCst)));
        let clients: Vec<_> = (0..LOGINS)
            .map(|_| {
                scope.spawn(move || {
                    let start = Instant::now();
                    raw_http::send(port, bytes).map(|response| (response, start.elapsed()))
                })
            })
            .collect();
        let responses: Vec<Result<(Response, Duration)>> = clients
            .into_iter()
            .map(|client| client.join().ok().context("a client panicked").and_then(|response| response))
            .collect();
        is_over.store(true, Ordering::SeqCst);
        anyhow::Ok((responses, watcher.join().ok().context("the good clients panicked")?))
    })?;
    thread::sleep(Duration::from_secs(3));
    let after = target.memory()?;
    let mut counts = BTreeMap::<String, u64>::new();
    let (mut bare, mut refusals) = (0, Vec::new());
    for response in &responses {
        let word = response.as_ref().map_or("none".to_owned(), |(response, _)| response.status.to_string());
        *counts.entry(word).or_default() += 1;
        if let Ok((response, took)) = response
            && response.status == 503
        {
            refusals.push(*took);
            bare += usize::from(!response.has_header("retry-after"));
        }
    }
    let is_answered = counts.keys().all(|status| statuses.iter().any(|good| good.to_string() == *status));
    report.judge(is_answered, &format!("{name}: each is answered {statuses:?}"), format!("{counts:?}"));
    let is_told = bare == 0 && (!storm.is_too_much || !refusals.is_empty());
    let seen = format!("{} of them, {bare} do not", refusals.len());
    report.judge(is_told, &format!("{name}: each 503 says when to come again"), seen);
    refusals.sort();
    let at = ((refusals.len() as f64) * MOST) as usize;
    let most = refusals.get(at).copied().unwrap_or_default();
    let seen = format!("{} ms or less, of {}", most.as_millis(), refusals.len());
    report.judge(most <= REFUSED_WITHIN, &format!("{name}: four of five 503 took"), seen);
    let seen = format!("{:.1} MiB before, {:.1} at most, {:.1} after", before.now, after.peak, after.now);
    let is_bounded = after.peak - before.now <= storm.growth && after.now <= storm.after;
    report.judge(is_bounded, &format!("{name}: memory grows by at most {:.0} MiB", storm.growth), seen);
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
    Ok(())
}

/// Clients that announce a megabyte, send a little of it and stop, again and again.
const STALLED: usize = 200;
/// Time limits for a log-in beside them, and for a large post by a client that retries when the answer says so.
const LOGIN_WITHIN: Duration = Duration::from_secs(2);
const POST_WITHIN: Duration = Duration::from_secs(15);

fn stalled(target: &Target, report: &mut Report, post: &[u8], login: &[u8]) -> Result<()> {
    let (port, before) = (target.port(), target.memory()?);
    target.forget_peak()?;
    let is_over = &AtomicBool::new(false);
    let (posts, logins) = thread::scope(|scope| {
        for _ in 0..STALLED {
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    // It is cut, or told to come again; whatever it hears, it goes on.
                    let heard = raw_http::connect(port).and_then(|mut stream| {
                        stream.write_all(&post[..20_000])?;
                        stream.read(&mut [0; 256])
                    });
                    if heard.is_err() {
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            });
        }
        thread::sleep(Duration::from_secs(1));
        let outcome = (0..5)
            .map(|_| {
                let start = Instant::now();
                let is_kept =
                    wait_until(POST_WITHIN, || raw_http::send(port, post).is_ok_and(|response| response.status == 201));
                let posted = is_kept.map(|_| start.elapsed());
                let start = Instant::now();
                let response = raw_http::send(port, login)?;
                anyhow::Ok((posted, (response.status, start.elapsed())))
            })
            .collect::<Result<Vec<_>>>();
        is_over.store(true, Ordering::SeqCst);
        outcome.map(|outcome| outcome.into_iter().unzip::<_, _, Vec<_>, Vec<_>>())
    })?;
    let after = target.memory()?;
    let slowest = posts.iter().copied().collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().max());
    let seen = slowest.map_or("never".to_owned(), |slowest| format!("{} ms", slowest.as_millis()));
    let name = "stalled bodies of a megabyte";
    report.judge(slowest.is_some(), &format!("{name}: another's large post is taken, the slowest after"), seen);
    let slowest_login = logins.iter().map(|(_, took)| *took).max().unwrap_or_default();
    let is_good = logins.iter().all(|(status, _)| *status == 200) && slowest_login <= LOGIN_WITHIN;
    let seen = format!("{} ms", slowest_login.as_millis());
    report.judge(is_good, &format!("{name}: log-ins are answered as ever, the slowest after"), seen);
    let growth = BODIES + HASH + (STALLED as f64) * PER_CONNECTION + SLACK;
    let seen = format!("{:.1} MiB before, {:.1} at most", before.now, after.peak);
    report.judge(after.peak - before.now <= growth, &format!("{name}: memory grows by at most {growth:.0} MiB"), seen);
    report.figure(
        name,
        json!({
            "large_post_slowest_ms": slowest.map(|slowest| slowest.as_millis() as u64),
            "login_slowest_ms": slowest_login.as_millis() as u64,
            "rss_mib": [before.now, after.peak, after.now],
        }),
    );
    Ok(())
}

/// Connections of HTTP/2, the requests each has open, and how much of its body each sends: more in all than there is
/// memory for.
const LINES: usize = 64;
const STREAMS: u32 = 128;
const HALF: usize = 12 * 1024;
/// What a connection of HTTP/2 may have sent that nobody has read, and what an open request takes besides its body, in MiB.
const WINDOW: f64 = 0.25;
const REQUEST: f64 = 16.0 / 1024.0;

/// Log-ins of which half came, thousands at once.
fn halves(target: &Target, report: &mut Report, login: &[u8]) -> Result<()> {
    let (port, before) = (target.port(), target.memory()?);
    target.forget_peak()?;
    let (sent, logins) = thread::scope(|scope| {
        let lines: Vec<_> = (0..LINES).map(|_| scope.spawn(move || half(port))).collect();
        thread::sleep(Duration::from_secs(1));
        let logins = (0..10)
            .map(|_| {
                let start = Instant::now();
                let response = raw_http::send(port, login)?;
                anyhow::Ok((response.status, start.elapsed()))
            })
            .collect::<Result<Vec<_>>>();
        let sent: usize = lines.into_iter().filter_map(|line| line.join().ok().and_then(Result::ok)).sum();
        logins.map(|logins| (sent, logins))
    })?;
    let after = target.memory()?;
    let name = "half bodies over HTTP/2";
    let slowest = logins.iter().map(|(_, took)| *took).max().unwrap_or_default();
    let is_good = logins.iter().all(|(status, _)| *status == 200) && slowest <= LOGIN_WITHIN;
    let seen = format!("{} ms", slowest.as_millis());
    report.judge(is_good, &format!("{name}: log-ins are answered as ever, the slowest after"), seen);
    let growth = BODIES + HASH + LINES as f64 * (WINDOW + f64::from(STREAMS) * REQUEST) + SLACK;
    let sent_mib = sent >> 20;
    let seen = format!("{:.1} MiB before, {:.1} at most, {sent_mib} MiB sent", before.now, after.peak);
    report.judge(after.peak - before.now <= growth, &format!("{name}: memory grows by at most {growth:.0} MiB"), seen);
    report.figure(
        name,
        json!({
            "sent_mib": sent_mib,
            "login_slowest_ms": slowest.as_millis() as u64,
            "rss_mib": [before.now, after.peak, after.now],
        }),
    );
    Ok(())
}

/// Half of a body on each stream of one connection, as fast as the server's window lets us; the bytes that went.
fn half(port: u16) -> std::io::Result<usize> {
    let length = (HALF + 1000).to_string();
    let headers = [("content-type", "application/json"), ("content-length", length.as_str())];
    let head = raw_http::block("POST", "/api/v1/auth/login", &headers);
    let mut stream = raw_http::connect(port)?;
    stream.set_read_timeout(Some(Duration::from_millis(10)))?;
    stream.write_all(&raw_http::opening(&[]))?;
    // The connection's window as it begins (RFC 9113 section 6.9.2).
    let (mut window, mut sent, mut buffer) = (65_535, 0, Vec::new());
    let end = Instant::now() + Duration::from_secs(6);
    let mut number = 0;
    while Instant::now() < end {
        if number < STREAMS && window >= HALF {
            let id = 2 * number + 1;
            stream.write_all(&raw_http::frame(raw_http::kind::HEADERS, raw_http::END_HEADERS, id, &head))?;
            stream.write_all(&raw_http::frame(raw_http::kind::DATA, 0, id, &b" ".repeat(HALF)))?;
            (number, window, sent) = (number + 1, window - HALF, sent + HALF);
            continue;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        window += updates(&mut buffer);
    }
    Ok(sent)
}

/// By how much the server opened the connection's window.
fn updates(buffer: &mut Vec<u8>) -> usize {
    let mut sum = 0;
    let mut at = 0;
    while let Some(head) = buffer.get(at..at + 9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some(payload) = buffer.get(at + 9..at + 9 + length) else { break };
        let is_of_connection = head[5..9] == [0; 4];
        if head[3] == raw_http::kind::WINDOW_UPDATE && is_of_connection {
            sum += payload.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        }
        at += 9 + length;
    }
    buffer.drain(..at);
    sum
}
