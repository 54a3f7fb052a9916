//! `fairness`: one address asks, within its limits, for what is dear: scans, query strings without end, deep bodies, answers
//! that it does not read, wrong log-ins, connections. Everybody else is measured. Phases with and without it take turns, so
//! that a busy machine disturbs both alike.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::{Bench, PASSWORD, Target};
use crate::chaos::raw_http;
use crate::chaos::traffic::{Met, Traffic, median};

const ROUNDS: usize = 3;
const PHASE: Duration = Duration::from_secs(4);
/// Far from everybody else's, who are at 127.0.0.1.
const ABUSER: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);
/// Rows that a scan goes through.
const ROWS: usize = 100_000;
/// What the abuser has open at once.
const AT_ONCE: u32 = 64;
/// What one address may ask for in a second, as the limits stand.
const PER_SECOND: u32 = 200;
/// Below this many milliseconds a p99 is the machine's, not the server's: a thread that is woken a time slice late.
const NOISE: f64 = 10.0;
/// For a log-in by somebody else, beside hashes that were begun for the abuser.
const LOGIN_WITHIN: Duration = Duration::from_secs(2);

/// How the abuser abuses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Asks, reads the answer, asks again.
    Asks,
    /// Asks again and again, and reads nothing.
    Unread,
    /// Only connects.
    Connects,
}

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut target = bench.start("fairness", &[])?;
    let (token, _) = target.sign_up("eve")?;
    target.sign_up("ada")?;
    let rows = Instant::now();
    seed(&target, &token)?;
    println!("  {ROWS} posts were written in {} s", rows.elapsed().as_secs());
    let limits = [("MAINSTAY_LIMITS__ENABLED", "true".to_owned())];
    target.restart_with(&limits)?;
    let names: String = (0..1000).map(|number| format!("&name{number}=1")).collect();
    let deep = format!("{{\"title\":\"a\",\"body\":{}1{}}}", "[".repeat(120), "]".repeat(120));
    let wrong = json!({ "email": "ada@example.org", "password": "no green lanterns by the sea" }).to_string();
    let get = |path: &str| raw_http::request("GET", path, "", "", b"");
    let ways = [
        ("query strings", Way::Asks, get(&format!("/api/v1/posts?{}", &names[1..]))),
        ("scans", Way::Asks, get("/api/v1/posts?title[ne]=a&published=false&total=true&sort=title&limit=1")),
        ("deep bodies", Way::Asks, raw_http::request("POST", "/api/v1/posts", &token, "", deep.as_bytes())),
        ("unread answers", Way::Unread, get("/api/v1/posts?limit=100")),
        ("wrong log-ins", Way::Asks, raw_http::request("POST", "/api/v1/auth/login", "", "", wrong.as_bytes())),
        ("connections", Way::Connects, Vec::new()),
    ];
    for (name, way, request) in ways {
        bench.stop.check()?;
        judge(&target, report, name, way, &request)?;
    }
    let memory = target.memory()?;
    report.figure("rss_mib", json!({ "after": memory.now, "peak": memory.peak }));
    report.judge(target.is_running(), "the server still runs", "after all of it");
    Ok(())
}

/// Writes the rows, on several connections at once.
fn seed(target: &Target, token: &str) -> Result<()> {
    const WRITERS: usize = 16;
    let next = &AtomicUsize::new(0);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(move || {
                    let mut stream = raw_http::connect(target.port())?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= ROWS {
                            return anyhow::Ok(());
                        }
                        // The hundred newest fill a page of a megabyte, which is what is left unread.
                        let body = "x".repeat(if number + 200 >= ROWS { 20_000 } else { 20 });
                        let post = json!({ "title": format!("post {number}"), "body": body, "published": true });
                        let post = post.to_string();
                        stream.write_all(&raw_http::request("POST", "/api/v1/posts", token, "", post.as_bytes()))?;
                        raw_http::receive(&mut stream)?.must_be(201)?;
                    }
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().ok().context("a writer panicked")?)
    })
}

/// What others met in one phase.
#[derive(Default)]
struct Others {
    p99: Vec<f64>,
    failed: usize,
    logins: Vec<Duration>,
    refused_logins: usize,
}

impl Others {
    fn add(&mut self, met: &Met, logins: Vec<(u16, Duration)>) {
        self.p99.push(met.quantile(0.99));
        self.failed += met.failed;
        self.refused_logins += logins.iter().filter(|(status, _)| *status != 200).count();
        self.logins.extend(logins.into_iter().map(|(_, took)| took));
    }
}

fn judge(target: &Target, report: &mut Report, name: &str, way: Way, request: &[u8]) -> Result<()> {
    let (mut without, mut with) = (Others::default(), Others::default());
    let statuses = Mutex::default();
    for _ in 0..ROUNDS {
        let (met, logins) = others(target)?;
        without.add(&met, logins);
        let is_over = &AtomicBool::new(false);
        let statuses = &statuses;
        let (met, logins) = thread::scope(|scope| {
            let abuser = scope.spawn(move || abuse(target.port(), way, request, is_over, statuses));
            // What it does at the beginning is not what is asked about: it goes on.
            thread::sleep(Duration::from_millis(500));
            let met = others(target);
            is_over.store(true, Ordering::SeqCst);
            abuser.join().ok().context("the abuser panicked")?;
            met
        })?;
        with.add(&met, logins);
    }
    let statuses = statuses.into_inner().unwrap_or_default();
    let (before, beside) = (median(without.p99), median(with.p99));
    let seen = format!("{beside:.1} ms with, {before:.1} ms without, beside {statuses:?}");
    let is_fair = beside <= (2.0 * before).max(NOISE);
    report.judge(is_fair, &format!("{name}: others' p99 at most doubles, or stays below {NOISE} ms"), seen);
    report.judge(with.failed == 0, &format!("{name}: others are answered"), format!("{} were not", with.failed));
    let slowest = |logins: &[Duration]| logins.iter().max().copied().unwrap_or_default();
    let (login_before, login_beside) = (slowest(&without.logins), slowest(&with.logins));
    let seen = format!(
        "{} of {} were refused, the slowest took {} ms; {} ms without",
        with.refused_logins,
        with.logins.len(),
        login_beside.as_millis(),
        login_before.as_millis()
    );
    let is_let_in = with.refused_logins == 0 && login_beside <= LOGIN_WITHIN;
    report.judge(is_let_in, &format!("{name}: others sign in"), seen);
    let tenth = |value: f64| (value * 10.0).round() / 10.0;
    report.figure(
        name,
        json!({
            "others_p99_ms_without": tenth(before),
            "others_p99_ms_with": tenth(beside),
            "login_slowest_ms_without": login_before.as_millis() as u64,
            "login_slowest_ms_with": login_beside.as_millis() as u64,
            "abuser_was_answered": statuses,
        }),
    );
    Ok(())
}

/// One phase of everybody else: lists all the time, and a log-in twice a second.
fn others(target: &Target) -> Result<(Met, Vec<(u16, Duration)>)> {
    let lists = Traffic { port: target.port(), path: "/api/v1/posts?limit=2&fields=title", clients: 4, per_second: 20 };
    let login = json!({ "email": "ada@example.org", "password": PASSWORD }).to_string();
    let login = &raw_http::request("POST", "/api/v1/auth/login", "", "connection: close\r\n", login.as_bytes());
    thread::scope(|scope| {
        let logins = scope.spawn(move || {
            let start = Instant::now();
            let mut logins = Vec::new();
            while start.elapsed() < PHASE {
                let start = Instant::now();
                let response = raw_http::send(target.port(), login)?;
                logins.push((response.status, start.elapsed()));
                thread::sleep(Duration::from_millis(500).saturating_sub(start.elapsed()));
            }
            anyhow::Ok(logins)
        });
        let met = lists.run(PHASE, || true);
        Ok((met, logins.join().ok().context("who signs in panicked")??))
    })
}

type Statuses = std::collections::BTreeMap<String, u64>;

/// The abuser, on all of its connections, until it is over.
fn abuse(port: u16, way: Way, request: &[u8], is_over: &AtomicBool, statuses: &Mutex<Statuses>) {
    let step = Duration::from_secs(1) * AT_ONCE / PER_SECOND;
    let note = |word: String| {
        if let Ok(mut statuses) = statuses.lock() {
            *statuses.entry(word).or_default() += 1;
        }
    };
    let note = &note;
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(move || {
                let mut line: Option<TcpStream> = None;
                // Those that are kept and not used again.
                let mut kept = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    let due = Instant::now() + step;
                    let stream = line.take().map_or_else(|| raw_http::connect_from(ABUSER, port), Ok);
                    let asked = stream.and_then(|mut stream| stream.write_all(request).map(|()| stream));
                    match (asked, way) {
                        (Ok(mut stream), Way::Asks) => match raw_http::receive(&mut stream) {
                            Ok(response) => {
                                note(response.status.to_string());
                                let is_kept = !response.head.to_ascii_lowercase().contains("connection: close");
                                line = is_kept.then_some(stream);
                            }
                            Err(_) => note("none".to_owned()),
                        },
                        (Ok(mut stream), Way::Unread | Way::Connects) => {
                            let is_refused = way == Way::Connects && is_closed(&mut stream);
                            note(if is_refused { "closed" } else { "open" }.to_owned());
                            kept.push(stream);
                        }
                        (Err(_), _) => note("none".to_owned()),
                    }
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            });
        }
    });
}

/// Whether the server closed it already.
fn is_closed(stream: &mut TcpStream) -> bool {
    let is_set = stream.set_nonblocking(true).is_ok();
    is_set && matches!(stream.read(&mut [0; 1]), Ok(0))
}
