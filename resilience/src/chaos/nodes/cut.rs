//! One node loses its ways to PostgreSQL and Redis, while the others go on.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::way::State;
use super::{LONE, Person, Stage, WHO, at_once, counted};
use crate::chaos::Report;
use crate::chaos::bench::wait_until;
use crate::chaos::raw_http::{self, Response};

/// `auth.session_recheck_s`, and what a look at the clock takes.
const BELIEVED_FOR: Duration = Duration::from_millis(2100);
/// The longest that any answer may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const BACK_WITHIN: Duration = Duration::from_secs(10);

pub fn run(stage: &mut Stage<'_>, report: &mut Report) -> Result<()> {
    for (name, state) in [("cut off", State::Cut), ("frozen out", State::Frozen)] {
        stage.bench.stop.check()?;
        lonely(stage, report, name, state)?;
    }
    Ok(())
}

fn lonely(stage: &Stage<'_>, report: &mut Report, name: &str, state: State) -> Result<()> {
    let ports = stage.nodes.ports();
    let (lone, other) = (ports[LONE], ports[0]);
    let word = name.replace(' ', "-");
    let stays = Person::new(other, other, &format!("{word}-stays"))?;
    let goes = Person::new(other, other, &format!("{word}-goes"))?;
    for person in [&stays, &goes] {
        raw_http::ask(lone, "GET", WHO, &person.access, None)?.must_be(200)?;
    }
    stage.ways.database.set(state);
    stage.ways.cache.set(state);
    let start = Instant::now();
    goes.log_out(other)?;
    thread::sleep(BELIEVED_FOR.saturating_sub(start.elapsed()));

    let asked = [
        ("GET", WHO, &stays),
        ("GET", WHO, &goes),
        ("PATCH", "/api/v1/users/me", &stays),
        ("PATCH", "/api/v1/users/me", &goes),
        ("POST", "/api/v1/auth/logout", &goes),
        ("DELETE", "/api/v1/users/me", &goes),
    ];
    let responses = at_once(asked.len() * 3, |n| {
        let (method, path, person) = asked[n % asked.len()];
        let begun = Instant::now();
        let body = (method == "PATCH").then(|| json!({ "display_name": "Somebody else" }));
        let response = raw_http::ask(lone, method, path, &person.access, body.as_ref())?;
        Ok((response, begun.elapsed()))
    });
    let slowest = responses.iter().flatten().map(|(_, took)| *took).max().unwrap_or_default();
    let responses: Vec<Result<Response>> =
        responses.into_iter().map(|response| response.map(|(response, _)| response)).collect();
    let counts = counted(responses.iter());
    let is_refused = counts.len() == 1 && counts.contains_key("503");
    let what = format!("a node that is {name}: what needs to know a session is refused with 503 after 2 s");
    report.judge(is_refused, &what, format!("{counts:?}"));
    let bare = responses.iter().flatten().filter(|response| !response.has_header("retry-after")).count();
    report.judge(bare == 0, &format!("a node that is {name}: each says when to come back"), format!("{bare} do not"));
    let seen = format!("{} ms", slowest.as_millis());
    report.judge(slowest <= ANSWERED_WITHIN, &format!("a node that is {name}: answered in time, the slowest"), seen);

    let health = |path: &str| raw_http::ask(lone, "GET", path, "", None).map_or(0, |response| response.status);
    let is_told = wait_until(BACK_WITHIN, || health("/health/ready") == 503);
    let seen = format!("live {}, ready {}", health("/health/live"), health("/health/ready"));
    let what = format!("a node that is {name}: it lives and is not ready");
    report.judge(is_told.is_some() && health("/health/live") == 200, &what, seen);
    let is_good = stays.status(other)? == 200 && goes.status(other)? == 401;
    report.judge(is_good, &format!("a node that is {name}: the others go on"), if is_good { "yes" } else { "no" });

    stage.ways.database.set(State::Open);
    stage.ways.cache.set(State::Open);
    let mut was_let_in = false;
    let back = wait_until(BACK_WITHIN, || {
        was_let_in |= matches!(goes.status(lone), Ok(200));
        matches!(stays.status(lone), Ok(200))
    });
    let seen = back.map_or("not".to_owned(), |after| format!("after {} ms", after.as_millis()));
    report.judge(back.is_some(), &format!("a node that was {name}: it works again by itself"), seen);
    let status = goes.status(lone)?;
    let what = format!("a node that was {name}: a session that ended meanwhile is never let in");
    report.judge(!was_let_in && status == 401, &what, status);
    Ok(())
}
