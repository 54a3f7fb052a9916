//! `compressed-bombs`: bodies that would swell (nothing is ever decoded here: RFC 9110 section 8.4 lets a server refuse
//! a coding with 415), that are deep, wide, or faulty in every place. Each is sent by several clients at once.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::Bench;
use crate::chaos::raw_http::{self, Response};

const CLIENTS: usize = 8;
/// For one of several at once, on a machine that has other things to do.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// What the server may grow by, in MiB: eight bodies of a mebibyte, what is made of them, and their answers.
const GROWTH: f64 = 192.0;
/// The largest answer to one body of a mebibyte.
const MOST_ANSWER: usize = 1024 * 1024;

struct Bomb {
    name: &'static str,
    headers: &'static str,
    body: Vec<u8>,
    statuses: &'static [u16],
}

fn bombs() -> Vec<Bomb> {
    let json = "content-type: application/json\r\n";
    let gzip = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let bomb = |name, headers, body, statuses| Bomb { name, headers, body, statuses };
    let wide =
        |one: &dyn Fn(usize) -> String, count: usize| (0..count).map(one).collect::<Vec<_>>().join(",").into_bytes();
    let object = |inside: Vec<u8>| [b"{".to_vec(), inside, b"}".to_vec()].concat();
    let post = |title: Vec<u8>| [b"{\"title\":".to_vec(), title, b",\"body\":\"x\"}".to_vec()].concat();
    vec![
        // Only its word counts: what is in it is never looked at.
        bomb("gzip", gzip, [vec![0x1f, 0x8b, 8, 0], vec![0; 1000]].concat(), &[415]),
        bomb(
            "zstd",
            "content-type: application/json\r\ncontent-encoding: zstd\r\n",
            vec![0x28, 0xb5, 0x2f, 0xfd],
            &[415],
        ),
        bomb(
            "codings in a row",
            "content-encoding: identity\r\ncontent-encoding: br, gzip\r\n",
            b"{}".to_vec(),
            &[415],
        ),
        bomb("arrays 100,000 deep", json, b"[".repeat(100_000), &[400]),
        bomb("objects 100,000 deep", json, b"{\"a\":".repeat(100_000), &[400]),
        bomb(
            "an array 100,000 deep as a title",
            json,
            post([b"[".repeat(100_000), b"]".repeat(100_000)].concat()),
            &[400],
        ),
        bomb("100,000 unknown fields", json, object(wide(&|n| format!("\"a{n}\":1"), 75_000)), &[422]),
        bomb("one field 100,000 times", json, object(wide(&|_| "\"title\":1".to_owned(), 100_000)), &[400]),
        bomb("two fields 50,000 times each", json, object(wide(&|n| format!("\"f{}\":1", n % 2), 100_000)), &[400]),
        bomb(
            "a title of 500,000 faults",
            json,
            post([b"[".to_vec(), b"1,".repeat(500_000), b"1]".to_vec()].concat()),
            &[422],
        ),
        bomb(
            "fields with long names",
            json,
            object(wide(&|n| format!("\"{}{n}\":1", "a".repeat(10_000)), 100)),
            &[422],
        ),
        bomb("a number of 1,000,000 digits", json, post(b"9".repeat(1_000_000)), &[400, 422]),
        bomb("a number with a huge exponent", json, post(b"1e999999999".to_vec()), &[400, 422]),
        bomb(
            "a text of 1,000,000 characters",
            json,
            post([b"\"".to_vec(), b"x".repeat(1_000_000), b"\"".to_vec()].concat()),
            &[422],
        ),
        bomb(
            "150,000 escapes",
            json,
            post([b"\"".to_vec(), b"\\u0000".repeat(150_000), b"\"".to_vec()].concat()),
            &[422],
        ),
        bomb("half a surrogate", json, post(b"\"\\ud800\"".to_vec()), &[400, 422]),
        bomb("not UTF-8", json, post([b"\"".to_vec(), vec![0xff; 1000], b"\"".to_vec()].concat()), &[400]),
        bomb("blanks", json, b" ".repeat(1024 * 1024), &[400]),
        bomb("more than may be", json, b" ".repeat(1024 * 1024 + 1), &[413]),
    ]
}

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut target = bench.start("bodies", &[])?;
    let (token, _) = target.sign_up("ada")?;
    let port = target.port();
    for Bomb { name, headers, body, statuses } in bombs() {
        bench.stop.check()?;
        let before = target.memory()?;
        target.forget_peak()?;
        // A coding is refused before anyone asks who calls.
        let token = if statuses == [415] { "a token that is none" } else { token.as_str() };
        let bytes = &raw_http::request("POST", "/api/v1/posts", token, headers, &body);
        let responses: Vec<Result<(Response, Duration)>> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(move || {
                        let start = Instant::now();
                        raw_http::send(port, bytes).map(|response| (response, start.elapsed()))
                    })
                })
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().ok().context("a client panicked").and_then(|response| response))
                .collect()
        });
        let responses = responses.into_iter().collect::<Result<Vec<_>>>().with_context(|| name.to_owned())?;
        let after = target.memory()?;
        let (response, _) = &responses[0];
        let is_status = responses.iter().all(|(response, _)| statuses.contains(&response.status));
        report.judge(
            is_status,
            &format!("{name}: answered {statuses:?}"),
            format!("{} {}", response.status, response.code()),
        );
        let slowest = responses.iter().map(|(_, took)| *took).max().unwrap_or_default();
        let largest = responses.iter().map(|(response, _)| response.body.len()).max().unwrap_or_default();
        let seen = format!(
            "{} ms, an answer of {largest} bytes, {:.1} MiB before, {:.1} at most, {:.1} after",
            slowest.as_millis(),
            before.now,
            after.peak,
            after.now
        );
        let is_bounded = slowest <= ANSWERED_WITHIN && largest <= MOST_ANSWER && after.peak - before.now <= GROWTH;
        report.judge(is_bounded, &format!("{name}: time, answer and memory are bounded"), seen);
        report.figure(
            name,
            json!({
                "status": response.status,
                "code": response.code(),
                "slowest_ms": slowest.as_millis() as u64,
                "answer_bytes": largest,
                "rss_mib": [before.now, after.peak, after.now],
            }),
        );
    }
    report.judge(target.is_running(), "the server still runs", "after all of them");
    Ok(())
}
