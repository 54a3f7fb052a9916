//! Whichever node answers, it is one service.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::{COUNT, Person, Stage, at_once, counted, refresh, refused_everywhere, send};
use crate::chaos::Report;
use crate::chaos::raw_http::{self, Response};

/// `auth.session_recheck_s`: how long a session that was ended on another node may be let in.
const ENDED_WITHIN: Duration = Duration::from_secs(2);
/// Uses of one refresh token, and requests with one key, at the same moment.
const USES: usize = 64;
const REPEATS: usize = 32;
/// Posts that are written and read on each node.
const ROWS: usize = 30;

pub fn run(stage: &mut Stage<'_>, report: &mut Report) -> Result<()> {
    let (front, ports) = (stage.nodes.front(), stage.nodes.ports());
    sessions(front, &ports, report)?;
    one_successor(front, &ports, report)?;
    endings(front, &ports, report)?;
    own_writes(&ports, report)?;
    made_once(stage, report)
}

/// Each step of a session on another node, in every turn, and through nginx.
fn sessions(front: u16, ports: &[u16], report: &mut Report) -> Result<()> {
    let mut turns: Vec<[u16; COUNT]> = (0..COUNT).map(|turn| [0, 1, 2].map(|n| ports[(turn + n) % COUNT])).collect();
    turns.extend([[front; COUNT]; COUNT]);
    let count = turns.len();
    let work = |turn: usize, [a, b, c]: [u16; COUNT]| {
        let mut person = Person::new(a, b, &format!("turn-{turn}"))?;
        person.refresh(c)?;
        let is_let_in = ports.iter().map(|port| person.status(*port)).collect::<Result<Vec<_>>>()? == [200; COUNT];
        person.log_out(a)?;
        let is_over = refresh(b, &person.refresh)?.status == 401;
        anyhow::Ok(is_let_in && is_over)
    };
    let good = (0..).zip(turns).map(|(turn, ports)| work(turn, ports)).collect::<Result<Vec<_>>>()?;
    let good = good.into_iter().filter(|is_good| *is_good).count();
    let what =
        "an account made on one node signs in on another, refreshes on a third, is let in by all, and is over with";
    report.judge(good == count, what, format!("{good} of {count}"));
    Ok(())
}

/// One refresh token, used many times at the same moment.
fn one_successor(front: u16, ports: &[u16], report: &mut Report) -> Result<()> {
    for (name, places) in [("through nginx", &[front][..]), ("on all nodes", ports)] {
        let person = Person::new(front, front, &format!("successor-{}", places.len()))?;
        let responses = at_once(USES, |n| refresh(places[n % places.len()], &person.refresh));
        let counts = counted(responses.iter());
        let successor = |response: &Response| Some(response.json().ok()?["refresh_token"].as_str()?.to_owned());
        let successors: HashSet<_> =
            responses.iter().filter_map(|response| successor(response.as_ref().ok()?)).collect();
        let is_good = counts.get("200") == Some(&USES) && successors.len() == 1;
        let what = format!("{USES} uses of one refresh token {name}: all are given its one successor");
        report.judge(is_good, &what, format!("{counts:?}, {} successors", successors.len()));
    }
    Ok(())
}

/// A session that every node remembers as good, and that ends.
fn endings(front: u16, ports: &[u16], report: &mut Report) -> Result<()> {
    let mut person = Person::new(front, front, "ending")?;
    let mut slowest = Some(Duration::ZERO);
    for round in 0..6 {
        if round > 0 {
            person.sign_in(front)?;
        }
        for port in ports {
            raw_http::ask(*port, "GET", super::WHO, &person.access, None)?.must_be(200)?;
        }
        let start = Instant::now();
        // Every second time it is a thief that ends it: a token that was used twice.
        if round % 2 == 0 {
            person.log_out(ports[round % COUNT])?;
        } else {
            // The second use of the first is none of a lost answer: its successor was used.
            let next = refresh(ports[round % COUNT], &person.refresh)?.must_be(200)?.json()?;
            refresh(front, next["refresh_token"].as_str().unwrap_or_default())?.must_be(200)?;
            refresh(front, &person.refresh)?.must_be(401)?;
        }
        let refused = refused_everywhere(ports, &person, ENDED_WITHIN).map(|_| start.elapsed());
        slowest = slowest.zip(refused).map(|(a, b)| a.max(b));
    }
    let seen = slowest.map_or("not".to_owned(), |slowest| format!("within {} ms", slowest.as_millis()));
    report.judge(slowest.is_some(), "a session that was ended is refused by every node within 2 s", seen);
    Ok(())
}

/// What was written on a node is read there.
fn own_writes(ports: &[u16], report: &mut Report) -> Result<()> {
    let person = Person::new(ports[0], ports[0], "writer")?;
    let (mut right, mut elsewhere, mut all) = (0, 0, 0);
    for port in ports {
        let ask = |method: &str, path: &str, body: Option<&serde_json::Value>| {
            raw_http::ask(*port, method, path, &person.access, body)
        };
        let title =
            |response: &Response| response.json().ok().and_then(|body| body["title"].as_str().map(str::to_owned));
        for n in 0..ROWS {
            let first = format!("first {port} {n}");
            let made = ask("POST", "/api/v1/posts", Some(&json!({ "title": first, "body": "x", "published": true })))?;
            let made = made.must_be(201)?.json()?;
            let path = format!("/api/v1/posts/{}", made["id"].as_str().context("a post without an id")?);
            let is_first = title(&ask("GET", &path, None)?) == Some(first);
            let second = format!("second {port} {n}");
            ask("PATCH", &path, Some(&json!({ "title": second })))?.must_be(200)?;
            let is_second = title(&ask("GET", &path, None)?).as_ref() == Some(&second);
            let other = ports.iter().find(|other| *other != port).context("there is one node")?;
            elsewhere += usize::from(title(&raw_http::ask(*other, "GET", &path, "", None)?) == Some(second));
            ask("DELETE", &path, None)?.must_be(204)?;
            let is_gone = ask("GET", &path, None)?.status == 404;
            right += usize::from(is_first && is_second && is_gone);
            all += 1;
        }
    }
    report.judge(
        right == all,
        "what was made, changed and deleted on a node is so there at once",
        format!("{right} of {all}"),
    );
    // No row of this server is cached, so all nodes ask the primary.
    report.judge(elsewhere == all, "a change is seen on another node at once", format!("{elsewhere} of {all}"));
    Ok(())
}

/// One key, many requests, one effect.
fn made_once(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let (front, ports) = (stage.nodes.front(), stage.nodes.ports());
    let person = Person::new(front, front, "keyed")?;
    let everywhere: Vec<u16> = ports.iter().copied().chain([front]).collect();
    let (mut is_one, mut are_equal, mut are_replayed) = (true, true, true);
    let mut in_use = 0;
    for round in 0..5 {
        let title = format!("keyed {round}");
        let body = json!({ "title": title, "body": "Once.", "published": true }).to_string();
        let header = format!("idempotency-key: \"key-{round}\"\r\n");
        let make = |port: u16| send(port, "POST", "/api/v1/posts", &person.access, &header, body.as_bytes());
        let responses = at_once(REPEATS, |n| {
            let mut busy = 0;
            loop {
                let response = make(everywhere[n % everywhere.len()])?;
                // As the document says: the first is being answered, come again in a moment.
                if response.status != 409 || busy == 500 {
                    return Ok((response, busy));
                }
                busy += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let mut bodies = Vec::new();
        for response in responses {
            let (response, busy) = response?;
            in_use += busy;
            bodies.push(response.must_be(201)?.body);
        }
        bodies.dedup();
        are_equal &= bodies.len() == 1;
        for port in &ports {
            let again = make(*port)?;
            are_replayed &= again.status == 201 && again.has_header("idempotency-replayed") && again.body == bodies[0];
        }
        let sql = format!("SELECT count(*) FROM posts.posts WHERE title = '{title}'");
        is_one &= stage.nodes.postgres.psql("postgres", &sql)?.trim() == "1";
    }
    let shown = |is_good: bool| if is_good { "yes" } else { "no" };
    let what = format!("{REPEATS} requests with one key, on all nodes at once");
    report.judge(is_one, &format!("{what}: one post"), shown(is_one));
    report.judge(are_equal, &format!("{what}: one answer"), shown(are_equal));
    report.judge(are_replayed, "each node gives that answer again, and says so", shown(are_replayed));
    report.figure("told_that_a_key_is_in_use", in_use);
    Ok(())
}
