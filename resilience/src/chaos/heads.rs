//! `header-floods`: HTTP/1.1 heads, addresses and chunks without end, requests that are never read, and requests in
//! which two readers would see different ones (RFC 9112 section 6.3).

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::{Bench, Target};
use crate::chaos::raw_http::{self, Attack, attack};

const SPAN: Duration = Duration::from_secs(15);
/// What the server may grow by, in MiB.
const GROWTH: f64 = 32.0;
const CHUNKED: &str = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

/// What begins a request, what follows again and again, how often, and what the answer must be.
struct Flood {
    name: &'static str,
    first: String,
    more: Vec<u8>,
    times: usize,
    statuses: &'static [u16],
}

fn floods() -> Vec<Flood> {
    let get = "GET /health/live HTTP/1.1\r\nhost: x\r\n";
    let lines = |from: usize| (from..from + 500).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    vec![
        Flood {
            name: "header lines without end",
            first: get.to_owned(),
            more: lines(0).into_bytes(),
            times: usize::MAX,
            statuses: &[431],
        },
        Flood {
            name: "one header without end",
            first: format!("{get}x: "),
            more: b"y".repeat(16 * 1024),
            times: usize::MAX,
            statuses: &[431],
        },
        Flood {
            name: "10,000 headers",
            first: format!("{get}{}", (0..20).map(|n| lines(n * 500)).collect::<String>()),
            more: b"\r\n".to_vec(),
            times: 1,
            statuses: &[431],
        },
        Flood {
            name: "an address of 1 MiB",
            first: "GET /".to_owned(),
            more: [b"a".repeat(1024 * 1024), b" HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()].concat(),
            times: 1,
            statuses: &[414, 431],
        },
        Flood {
            name: "an address of 20 KiB",
            first: format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", "a".repeat(20 * 1024)),
            more: b"\r\n".to_vec(),
            times: 1,
            statuses: &[414, 431],
        },
        Flood {
            name: "a chunk's extension without end",
            first: format!("{CHUNKED}1;"),
            more: b"a".repeat(16 * 1024),
            times: usize::MAX,
            statuses: &[400, 413],
        },
        Flood {
            name: "extensions on every chunk",
            first: CHUNKED.to_owned(),
            more: format!("1;{}\r\n \r\n", "a".repeat(64)).repeat(100).into_bytes(),
            times: usize::MAX,
            statuses: &[400, 413],
        },
        Flood {
            name: "chunks of one byte without end",
            first: CHUNKED.to_owned(),
            more: b"1\r\n \r\n".repeat(2000),
            times: usize::MAX,
            statuses: &[413],
        },
        Flood {
            name: "a trailer without end",
            first: format!("{CHUNKED}1\r\n \r\n0\r\n"),
            more: b"x-trailer: y\r\n".repeat(1000),
            times: usize::MAX,
            statuses: &[400, 413, 431],
        },
    ]
}

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut target = bench.start("heads", &[])?;
    // The first requests fill pools and caches.
    target.sign_up("ada")?;
    for Flood { name, first, more, times, statuses } in floods() {
        bench.stop.check()?;
        let mut first = Some(first.into_bytes());
        let mut left = times;
        let seen = watched(&target, report, name, true, move || {
            first.take().or_else(|| {
                left = left.checked_sub(1)?;
                Some(more.clone())
            })
        })?;
        let is_status = seen.status().is_some_and(|status| statuses.contains(&status));
        report.judge(is_status, &format!("{name}: answered {statuses:?}"), seen.shown());
        report.judge(seen.cut_after.is_some(), &format!("{name}: cut"), seen.shown());
    }

    // Answers pile up for a client that asks and never reads.
    let many = raw_http::request("GET", "/api/v1/posts?limit=1", "", "", b"").repeat(500);
    let seen = watched(&target, report, "pipelined requests, nothing read", false, move || Some(many.clone()))?;
    report.judge(seen.cut_after.is_some(), "pipelined requests, nothing read: cut", seen.shown());

    smuggling(&target, report)?;
    let health = target.ask("GET", "/health/ready", "", None)?.status;
    report.judge(target.is_running() && health == 200, "the server still serves", health);
    Ok(())
}

/// One attack, with a judgement on the memory.
fn watched(
    target: &Target,
    report: &mut Report,
    name: &str,
    reads: bool,
    next: impl FnMut() -> Option<Vec<u8>>,
) -> Result<Attack> {
    let before = target.memory()?;
    target.forget_peak()?;
    let seen = attack(target.port(), SPAN, reads, next)?;
    let after = target.memory()?;
    let figures = format!("{:.1} MiB before, {:.1} at most, {:.1} after", before.now, after.peak, after.now);
    report.judge(after.peak - before.now <= GROWTH, &format!("{name}: memory is bounded"), figures);
    report.figure(name, json!({ "rss_mib": [before.now, after.peak, after.now], "seen": seen.shown() }));
    Ok(seen)
}

/// Requests that a proxy before us might cut elsewhere: each must be refused, or at most be the last of its connection.
fn smuggling(target: &Target, report: &mut Report) -> Result<()> {
    let hidden = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let post = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for (name, bytes) in [
        ("both lengths", format!("{post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}")),
        (
            "both lengths, the other way",
            format!("{post}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "chunked is not the last coding",
            format!("{post}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        ("an unknown coding", format!("{post}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}")),
        (
            "two codings, one hidden",
            format!("{post}transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        ("a coding with a tab", format!("{post}transfer-encoding:\u{b}chunked\r\n\r\n0\r\n\r\n{hidden}")),
        ("two lengths", format!("{post}content-length: 0\r\ncontent-length: {}\r\n\r\n{hidden}", hidden.len())),
        ("a list of lengths", format!("{post}content-length: 0, 5\r\n\r\n{hidden}")),
        ("a length with a sign", format!("{post}content-length: +0\r\n\r\n{hidden}")),
        ("a length too large", format!("{post}content-length: 18446744073709551616\r\n\r\n{hidden}")),
        ("a space before the colon", format!("{post}content-length : 5\r\n\r\n{hidden}")),
        ("a folded header", format!("{post}x: a\r\n content-length: 5\r\n\r\n{hidden}")),
        ("a chunk's size too large", format!("{CHUNKED}ffffffffffffffff1\r\n")),
        ("a chunk's size with a sign", format!("{CHUNKED}+1\r\n \r\n0\r\n\r\n")),
        ("a chunk without its line end", format!("{CHUNKED}1\r\n XX0\r\n\r\n{hidden}")),
    ] {
        let mut stream = raw_http::connect(target.port())?;
        // Long enough for an answer; a connection that is kept open says no more by itself.
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        // That it closes while we send is an answer.
        let _ = stream.write_all(bytes.as_bytes());
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        let heard = String::from_utf8_lossy(&heard);
        let answers: Vec<&str> = heard.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
        report.judge(
            answers == ["400"],
            &format!("{name}: refused, and nothing hidden is answered"),
            answers.join(", "),
        );
    }
    Ok(())
}
