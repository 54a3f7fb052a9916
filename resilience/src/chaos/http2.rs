//! `http2-floods`: what has broken HTTP/2 servers before, with frames by hand over h2c: rapid reset (CVE-2023-44487),
//! CONTINUATION without end (CVE-2024-27316), MadeYouReset (CVE-2025-8671), floods of SETTINGS, PING, PRIORITY and empty
//! DATA (CVE-2019-9512 to 9518), and header lists that swell when they are decoded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::Bench;
use crate::chaos::raw_http::{self, Attack, END_HEADERS, END_STREAM, attack, block, frame, kind, opening};
use crate::chaos::traffic::Traffic;

/// How long an attack goes on if it is not cut.
const SPAN: Duration = Duration::from_secs(15);
/// Attackers at once.
const ATTACKERS: usize = 4;
/// What the server may grow by, in MiB.
const GROWTH: f64 = 64.0;

type Frames = Box<dyn FnMut() -> Option<Vec<u8>> + Send>;

/// One kind of attack: its frames, and whether the attacker reads what it is sent.
struct FloodKind {
    name: &'static str,
    reads: bool,
    frames: fn() -> Frames,
}

const KINDS: [FloodKind; 11] = [
    FloodKind { name: "rapid reset", reads: true, frames: || streams(|id| [head(id), reset(id)].concat()) },
    FloodKind { name: "made you reset", reads: true, frames: || streams(|id| [head(id), no_window(id)].concat()) },
    FloodKind { name: "continuation without end", reads: true, frames: || continuation(b"x".repeat(1000)) },
    FloodKind { name: "empty continuation", reads: true, frames: || continuation(Vec::new()) },
    FloodKind { name: "settings", reads: true, frames: || again(frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])) },
    FloodKind { name: "settings, not reading", reads: false, frames: || again(frame(kind::SETTINGS, 0, 0, &[])) },
    FloodKind { name: "ping", reads: true, frames: || again(frame(kind::PING, 0, 0, &[0; 8])) },
    FloodKind { name: "ping, not reading", reads: false, frames: || again(frame(kind::PING, 0, 0, &[0; 8])) },
    FloodKind { name: "priority", reads: true, frames: || again(frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])) },
    FloodKind { name: "empty data", reads: true, frames: empty_data },
    FloodKind { name: "header lists that swell", reads: true, frames: bombs },
];

fn head(id: u32) -> Vec<u8> {
    frame(kind::HEADERS, END_STREAM | END_HEADERS, id, &block("GET", "/api/v1/posts?limit=1", &[]))
}

fn reset(id: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, id, &8u32.to_be_bytes())
}

/// An error of the stream, so that the server resets it.
fn no_window(id: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, id, &[0; 4])
}

/// Sixty-four streams at a time, as long as there are numbers.
fn streams(one: fn(u32) -> Vec<u8>) -> Frames {
    let mut next = 1u32;
    let mut first = Some(opening(&[]));
    Box::new(move || {
        let mut bytes = first.take().unwrap_or_default();
        for _ in 0..64 {
            bytes.extend(one(next));
            next = next.checked_add(2).filter(|next| *next < 1 << 31)?;
        }
        Some(bytes)
    })
}

fn again(frame: Vec<u8>) -> Frames {
    let mut first = Some(opening(&[]));
    Box::new(move || Some([first.take().unwrap_or_default(), frame.repeat(256)].concat()))
}

fn continuation(fragment: Vec<u8>) -> Frames {
    let mut block = block("GET", "/health/live", &[]);
    block.push(0);
    raw_http::text(&mut block, "x-endless");
    raw_http::length(&mut block, 1 << 30);
    let mut first = Some([opening(&[]), frame(kind::HEADERS, END_STREAM, 1, &block)].concat());
    let more = frame(kind::CONTINUATION, 0, 1, &fragment).repeat(64);
    Box::new(move || Some([first.take().unwrap_or_default(), more.clone()].concat()))
}

fn empty_data() -> Frames {
    let head = block("POST", "/api/v1/auth/login", &[("content-type", "application/json")]);
    let mut first = Some([opening(&[]), frame(kind::HEADERS, END_HEADERS, 1, &head)].concat());
    let more = frame(kind::DATA, 0, 1, &[]).repeat(256);
    Box::new(move || Some([first.take().unwrap_or_default(), more.clone()].concat()))
}

/// A name of two and a value of 3,900 bytes go into the table once; each byte after that means all of them again.
fn bombs() -> Frames {
    let mut plant = block("GET", "/health/live", &[]);
    // A literal with indexing (RFC 7541 section 6.2.1), which becomes index 62.
    plant.push(0x40);
    raw_http::text(&mut plant, "xx");
    raw_http::text(&mut plant, &"y".repeat(3900));
    let mut first = Some([opening(&[]), frame(kind::HEADERS, END_STREAM | END_HEADERS, 1, &plant)].concat());
    let mut next = 3;
    Box::new(move || {
        let mut bytes = first.take().unwrap_or_default();
        let mut bomb = block("GET", "/health/live", &[]);
        bomb.extend([0xbe_u8].repeat(16_000));
        bytes.extend(frame(kind::HEADERS, END_STREAM | END_HEADERS, next, &bomb));
        next += 2;
        (next < 20_000).then_some(bytes)
    })
}

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut target = bench.start("http2", &[])?;
    let port = target.port();
    let good = Traffic { port, path: "/health/live", clients: 2, per_second: 50 };
    // The first requests fill pools and caches.
    good.run(Duration::from_secs(1), || true);
    for FloodKind { name, reads, frames } in KINDS {
        bench.stop.check()?;
        let before = target.memory()?;
        target.forget_peak()?;
        let is_over = &AtomicBool::new(false);
        let (attacks, met) = thread::scope(|scope| {
            let attackers: Vec<_> =
                (0..ATTACKERS).map(|_| scope.spawn(move || attack(port, SPAN, reads, frames()))).collect();
            let watcher = scope.spawn(move || good.run(SPAN, || !is_over.load(Ordering::SeqCst)));
            let attacks: Result<Vec<Attack>> = attackers
                .into_iter()
                .map(|attacker| attacker.join().ok().context("an attacker panicked").and_then(|attack| attack))
                .collect();
            // An attack that was over at once is still seen by some good requests.
            thread::sleep(Duration::from_millis(500));
            is_over.store(true, Ordering::SeqCst);
            anyhow::Ok((attacks?, watcher.join().ok().context("the good clients panicked")?))
        })?;
        let after = target.memory()?;
        let slowest =
            attacks.iter().max_by_key(|attack| attack.cut_after.unwrap_or(Duration::MAX)).context("no attack")?;
        report.judge(slowest.cut_after.is_some(), &format!("{name}: the attackers are cut"), slowest.shown());
        let seen = format!("{:.1} MiB before, {:.1} at most, {:.1} after", before.now, after.peak, after.now);
        report.judge(after.peak - before.now <= GROWTH, &format!("{name}: memory is bounded"), seen);
        let worst = met.quantile(1.0);
        let seen = format!("{} of {} failed, the slowest took {worst:.0} ms", met.failed, met.times.len());
        report.judge(met.failed == 0 && !met.times.is_empty(), &format!("{name}: others are answered"), seen);
        report.figure(
            name,
            json!({
                "rss_mib": [before.now, after.peak, after.now],
                "cut_after_s": slowest.cut_after.map(|after| after.as_secs_f64()),
                "kib_taken": slowest.sent / 1024,
                "goaway": slowest.goaway(),
                "others_slowest_ms": worst.round(),
            }),
        );
    }
    report.judge(target.is_running(), "the server still runs", "after all of them");
    Ok(())
}
