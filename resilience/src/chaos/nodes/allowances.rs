//! Limits over all nodes, to the call.

use std::time::Instant;

use anyhow::{Context, Result};

use super::{Person, Stage, at_once, counted, send};
use crate::chaos::Report;
use crate::chaos::raw_http::{self, Response};

/// As in `each`, `again` and `client`, and how many more ask.
const EACH: usize = 40;
const CLIENT: usize = 30;
const MORE: usize = 60;
/// For how long the quotas are, in seconds.
const WINDOW_S: f64 = 3600.0;
const AGAIN_WINDOW_S: f64 = 20.0;

pub fn run(stage: &mut Stage<'_>, report: &mut Report) -> Result<()> {
    for round in 0..3 {
        exactly(stage, report, &format!("counted-{round}"))?;
    }
    liars(stage, report)
}

/// As many as the quota get through, on all nodes together.
fn exactly(stage: &Stage<'_>, report: &mut Report, name: &str) -> Result<()> {
    let (front, ports) = (stage.nodes.front(), stage.nodes.ports());
    let person = Person::new(front, front, name)?;
    let start = Instant::now();
    let ask = |n: usize| raw_http::ask(ports[n % ports.len()], "GET", "/api/v1/users/me", &person.access, None);
    let responses = at_once(EACH + MORE, ask);
    let what = format!("{} calls on all nodes at once, {EACH} allowed", EACH + MORE);
    judge(report, &what, &responses, Allowed { quota: EACH, window_s: WINDOW_S }, start)
}

/// The same with the quota that is whole again some time after Redis was lost.
pub fn exactly_again(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let ports = stage.nodes.ports();
    let start = Instant::now();
    let responses = at_once(EACH + MORE, |n| raw_http::ask(ports[n % ports.len()], "GET", "/openapi.json", "", None));
    let what = format!("after all that, {} calls on all nodes at once, {EACH} allowed", EACH + MORE);
    judge(report, &what, &responses, Allowed { quota: EACH, window_s: AGAIN_WINDOW_S }, start)
}

/// Clients who say that they come from elsewhere, each time from another place.
fn liars(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let (front, ports) = (stage.nodes.front(), stage.nodes.ports());
    let lie = |port: u16, n: usize| {
        // What a proxy of ours would write, what one of somebody else's would, and what a client may try besides.
        let lie = match n % 3 {
            0 => format!("x-forwarded-for: 198.51.100.{n}\r\n"),
            1 => format!("x-forwarded-for: 198.51.100.{n}, {}\r\n", devservers::PROXY_ADDRESS),
            _ => format!(
                "x-forwarded-for: 2001:db8:{n}::1\r\nx-forwarded-for: 203.0.113.{n}\r\nx-real-ip: 192.0.2.{n}\r\n"
            ),
        };
        send(port, "GET", "/.well-known/jwks.json", "", &lie, b"")
    };
    let start = Instant::now();
    let responses = at_once(CLIENT + MORE, |n| lie(front, n));
    judge(
        report,
        &format!("{} calls through nginx that lie about their address, {CLIENT} allowed", CLIENT + MORE),
        &responses,
        Allowed { quota: CLIENT, window_s: WINDOW_S },
        start,
    )?;
    let responses = at_once(MORE, |n| lie(ports[n % ports.len()], n));
    // It takes two minutes until there is one more.
    judge(
        report,
        "the same past nginx, from the same address: none allowed",
        &responses,
        Allowed { quota: 0, window_s: WINDOW_S },
        start,
    )
}

/// What a bucket lets through: all of it at once, and then as it fills.
struct Allowed {
    quota: usize,
    window_s: f64,
}

fn judge(
    report: &mut Report,
    what: &str,
    responses: &[Result<Response>],
    allowed: Allowed,
    start: Instant,
) -> Result<()> {
    let Allowed { quota, window_s } = allowed;
    #[expect(clippy::cast_precision_loss, reason = "quotas are small")]
    let regained = (start.elapsed().as_secs_f64() * quota as f64 / window_s).floor();
    let counts = counted(responses.iter());
    let count = |status: &str| counts.get(status).copied().unwrap_or(0);
    let is_all = count("200") + count("429") == responses.len();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few at most")]
    let is_exact = count("200") >= quota && count("200") <= quota + regained as usize;
    report.judge(is_exact && is_all, what, format!("{counts:?}"));
    let bare = responses
        .iter()
        .flatten()
        .filter(|response| response.status == 429 && !response.has_header("retry-after"))
        .count();
    if bare > 0 {
        report.judge(false, "each 429 says when to come back", format!("{bare} do not"));
    }
    responses.first().context("nobody asked").map(drop)
}
