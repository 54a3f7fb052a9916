//! `slow-clients`: a thousand clients that send or take a byte now and then, in each of several ways, while good clients
//! are measured. Phases with and without them take turns, so that a busy machine disturbs both alike.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::{Bench, Target};
use crate::chaos::raw_http::{self, END_HEADERS, END_STREAM, block, frame, kind, opening};
use crate::chaos::traffic::{Traffic, median};

const CLIENTS: usize = 1000;
const ROUNDS: usize = 3;
const PHASE: Duration = Duration::from_secs(3);
/// How often each slow client sends or takes a byte.
const TICK: Duration = Duration::from_millis(250);
/// How many take their turn together. They keep no common beat: a thousand at once would be a thousand requests at
/// once, which is another question.
const TOGETHER: usize = 20;
/// What is promised, whatever the machine has to do besides.
const CUT_WITHIN: Duration = Duration::from_secs(10);
/// An answer of half a megabyte: more than the system's buffers take at the start, and not so much that making a thousand
/// of them is what is measured.
const LARGE: &str = "/api/v1/posts?limit=5";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Head,
    Body,
    Reading,
    Http2Head,
    Http2Body,
    Http2Reading,
}

const WAYS: [(Way, &str); 6] = [
    (Way::Head, "http/1.1 head"),
    (Way::Body, "http/1.1 body"),
    (Way::Reading, "http/1.1 reading"),
    (Way::Http2Head, "http/2 head"),
    (Way::Http2Body, "http/2 body"),
    (Way::Http2Reading, "http/2 reading"),
];

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let target = bench.start("slow", &[])?;
    let (token, _) = target.sign_up("ada")?;
    for number in 0..5 {
        target.publish(&token, &format!("long {number}"), &"x".repeat(100_000))?.must_be(201)?;
    }
    for (way, name) in WAYS {
        let (mut without, mut with, mut longest, mut failed) = (Vec::new(), Vec::new(), Some(Duration::ZERO), 0);
        for _ in 0..ROUNDS {
            bench.stop.check()?;
            let good =
                Traffic { port: target.port(), path: "/api/v1/posts?limit=2&fields=title", clients: 4, per_second: 50 };
            let met = good.run(PHASE, || true);
            without.push(met.quantile(0.99));
            failed += met.failed;
            let (met, cut) = beside(way, &target, good)?;
            with.push(met.0);
            failed += met.1;
            longest = longest.zip(cut).map(|(longest, cut)| longest.max(cut));
        }
        let (without, with) = (median(without), median(with));
        report.figure(
            name,
            json!({
                "good_p99_ms_without": round(without),
                "good_p99_ms_with": round(with),
                "longest_s": longest.map(|longest| round(longest.as_secs_f64())),
            }),
        );
        let seen = format!("{with:.1} ms with, {without:.1} ms without");
        report.judge(with <= 2.0 * without, &format!("{name}: good p99 at most doubles"), seen);
        report.judge(failed == 0, &format!("{name}: good requests are answered"), format!("{failed} were not"));
        let seen =
            longest.map_or("some were never cut".to_owned(), |longest| format!("{:.1} s", longest.as_secs_f64()));
        let is_good = longest.is_some_and(|longest| longest <= CUT_WITHIN);
        report.judge(is_good, &format!("{name}: all {CLIENTS} are cut within 10 s, the longest"), seen);
    }
    let memory = target.memory()?;
    report.figure("rss_mib", json!({ "after": memory.now, "peak": memory.peak }));
    Ok(())
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Good traffic beside a thousand slow ones: its p99 and failures, and how long the last of the slow ones lived.
fn beside(way: Way, target: &Target, good: Traffic<'_>) -> Result<((f64, usize), Option<Duration>)> {
    let mut slow = Vec::with_capacity(CLIENTS);
    let mut ticked = Instant::now();
    for _ in 0..CLIENTS {
        slow.push(SlowClient::open(way, target.port())?);
        // Where opening them all takes long, the first must not be seen too late.
        if ticked.elapsed() >= TICK {
            slow.iter_mut().for_each(SlowClient::tick);
            ticked = Instant::now();
        }
    }
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        let dripping = scope.spawn(move || {
            let limit = Instant::now() + CUT_WITHIN * 3;
            while slow.iter().any(|slow| slow.ended.is_none()) && Instant::now() < limit {
                let mut due = Instant::now();
                for some in slow.chunks_mut(TOGETHER) {
                    some.iter_mut().for_each(SlowClient::tick);
                    due += TICK * TOGETHER as u32 / CLIENTS as u32;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            }
            is_over.store(true, Ordering::SeqCst);
            slow.iter()
                .map(|slow| slow.ended)
                .try_fold(Duration::ZERO, |longest, ended| ended.map(|ended| longest.max(ended)))
        });
        let met = good.run(PHASE, || !is_over.load(Ordering::SeqCst));
        let cut = dripping.join().ok().context("the slow clients panicked")?;
        Ok(((met.quantile(0.99), met.failed), cut))
    })
}

/// One slow client.
struct SlowClient {
    way: Way,
    stream: TcpStream,
    opened: Instant,
    ended: Option<Duration>,
    buffer: Vec<u8>,
}

impl SlowClient {
    fn open(way: Way, port: u16) -> Result<Self> {
        let mut stream = raw_http::connect(port).context("cannot connect")?;
        let opened = Instant::now();
        let json = [("content-type", "application/json")];
        let first = match way {
            Way::Head => b"GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: ".to_vec(),
            Way::Body => raw_http::request("POST", "/api/v1/auth/login", "", "", &b" ".repeat(5000))[..200].to_vec(),
            Way::Reading => raw_http::request("GET", LARGE, "", "", b""),
            Way::Http2Head => {
                let mut head = block("GET", "/health/live", &[]);
                head.push(0);
                raw_http::text(&mut head, "x-slow");
                raw_http::length(&mut head, 10_000);
                [opening(&[]), frame(kind::HEADERS, END_STREAM, 1, &head)].concat()
            }
            Way::Http2Body => {
                let head = block("POST", "/api/v1/auth/login", &json);
                [opening(&[]), frame(kind::HEADERS, END_HEADERS, 1, &head)].concat()
            }
            // A window of nothing, opened by a byte now and then.
            Way::Http2Reading => {
                let head = block("GET", LARGE, &[]);
                [opening(&[(4, 0)]), frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &head)].concat()
            }
        };
        stream.write_all(&first).context("cannot begin")?;
        let mut buffer = Vec::new();
        let mut opened = opened;
        if matches!(way, Way::Reading | Way::Http2Reading) {
            // It is slow from the first byte of its answer on: what a thousand answers cost to make is another question.
            while buffer.is_empty() || way == Way::Http2Reading && !has_head(&buffer) {
                let mut chunk = [0; 256];
                let most = if way == Way::Reading { 1 } else { chunk.len() };
                let count = stream.read(&mut chunk[..most]).context("no answer")?;
                buffer.extend_from_slice(&chunk[..count]);
            }
            opened = Instant::now();
        }
        stream.set_nonblocking(true).context("cannot be non-blocking")?;
        Ok(Self { way, stream, opened, ended: None, buffer })
    }

    fn tick(&mut self) {
        if self.ended.is_none() && !self.lives() {
            self.ended = Some(self.opened.elapsed());
        }
    }

    /// Sends and takes a little; whether the server still bears it.
    fn lives(&mut self) -> bool {
        let drop: Vec<u8> = match self.way {
            Way::Head | Way::Body => b" ".to_vec(),
            Way::Reading => Vec::new(),
            Way::Http2Head => frame(kind::CONTINUATION, 0, 1, b"x"),
            Way::Http2Body => frame(kind::DATA, 0, 1, b" "),
            Way::Http2Reading => frame(kind::WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes()),
        };
        let is_sent = drop.is_empty() || is_alive(self.stream.write(&drop).map(|_| ()));
        let is_sound = matches!(self.stream.take_error(), Ok(None));
        let mut chunk = [0; 4096];
        let most = if self.way == Way::Reading { 1 } else { chunk.len() };
        let is_heard = match self.stream.read(&mut chunk[..most]) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                self.answers()
            }
            error => is_alive(error.map(|_| ())),
        };
        is_sent && is_sound && is_heard
    }

    /// The most patient enemy answers every PING. An answer to the request of HTTP/2 is the server's last word to it.
    fn answers(&mut self) -> bool {
        if matches!(self.way, Way::Head | Way::Body | Way::Reading) {
            self.buffer.clear();
            return true;
        }
        let frames = raw_http::frames(&mut self.buffer);
        frames.iter().all(|(kind, flags, payload)| match *kind {
            kind::PING if flags & 1 == 0 => is_alive(self.stream.write(&frame(kind::PING, 1, 0, payload)).map(|_| ())),
            kind::GOAWAY => false,
            // The rest of the connection is an idle one; what was slow has ended.
            kind::RST_STREAM => false,
            kind::HEADERS => self.way == Way::Http2Reading,
            _ => true,
        })
    }
}

/// Whether the answer's head is among these frames.
fn has_head(buffer: &[u8]) -> bool {
    raw_http::frames(&mut buffer.to_vec()).iter().any(|(kind, ..)| *kind == kind::HEADERS)
}

/// Whether it went well, or would have had to wait.
fn is_alive(done: io::Result<()>) -> bool {
    match done {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}
