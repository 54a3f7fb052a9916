//! `ended-accounts`: an account is deleted while eight of its clients write as fast as they can: on one node over SQLite,
//! and on two over PostgreSQL, where the deletion comes by one node and the writes by both. Nothing of it is left, and
//! nothing that was begun after the deletion was acknowledged is taken.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use devservers::nodes::{Nodes, NodesPlan};
use devservers::{Durability, Scratch};
use serde_json::{Value, json};

use crate::chaos::Report;
use crate::chaos::bench::{Bench, PASSWORD, wait_until};
use crate::chaos::raw_http;

const ROUNDS: usize = 10;
const WRITERS: usize = 8;
/// What an account has written when its end comes.
const BEFORE: Duration = Duration::from_millis(400);
/// How long its clients go on without being let in.
const AFTER: Duration = Duration::from_millis(600);
/// Until all that it wrote is gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    {
        let target = bench.start("ended", &[])?;
        drill("one node, SQLite", &[target.port()], report)?;
    }
    bench.stop.check()?;
    let scratch = Scratch::new("chaos-ended")?;
    let plan = NodesPlan { binary: bench.binary, durability: Durability::Full, count: 2, variables: Vec::new() };
    let nodes = Nodes::start(&plan, scratch.path(), bench.stop, |_, shared, _, _| Ok(shared))?;
    drill("two nodes, PostgreSQL", &nodes.ports(), report)
}

/// What the clients of one account were told.
#[derive(Default)]
struct Tally {
    made: usize,
    /// Of those, begun after the deletion was acknowledged.
    made_after: usize,
    /// Neither 201 nor 401.
    other: Vec<u16>,
}

fn drill(place: &str, ports: &[u16], report: &mut Report) -> Result<()> {
    let (mut told, mut deletions, mut left) = (Tally::default(), Vec::new(), 0);
    let first = *ports.first().context("no node")?;
    for round in 0..ROUNDS {
        let email = format!("ended-{round}@example.org");
        let account = json!({ "email": email, "password": PASSWORD, "display_name": "Somebody" });
        let made = raw_http::ask(first, "POST", "/api/v1/auth/register", "", Some(&account))?.must_be(201)?.json()?;
        let id = made["id"].as_str().context("an account without an id")?.to_owned();
        let login = json!({ "email": email, "password": PASSWORD });
        let tokens = raw_http::ask(first, "POST", "/api/v1/auth/login", "", Some(&login))?.must_be(200)?.json()?;
        let token = tokens["access_token"].as_str().context("no access token")?;
        let (is_gone, is_over) = (&AtomicBool::new(false), &AtomicBool::new(false));
        let (deletion, writers) = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|number| {
                    let port = ports[number % ports.len()];
                    scope.spawn(move || write(port, token, is_gone, is_over))
                })
                .collect();
            thread::sleep(BEFORE);
            let deletion = raw_http::ask(first, "DELETE", "/api/v1/users/me", token, None);
            is_gone.store(true, Ordering::SeqCst);
            thread::sleep(AFTER);
            is_over.store(true, Ordering::SeqCst);
            let writers = writers.into_iter().map(|writer| writer.join().ok().context("a writer panicked")?);
            (deletion, writers.collect::<Result<Vec<Tally>>>())
        });
        deletions.push(deletion?.status);
        for one in writers? {
            told.made += one.made;
            told.made_after += one.made_after;
            told.other.extend(one.other);
        }
        let posts = |port: u16| -> Result<usize> {
            let path = format!("/api/v1/posts?author_id={id}&limit=1");
            let page: Value = raw_http::ask(port, "GET", &path, "", None)?.must_be(200)?.json()?;
            Ok(page["items"].as_array().map_or(1, Vec::len))
        };
        let is_empty = || ports.iter().all(|port| matches!(posts(*port), Ok(0)));
        left += usize::from(wait_until(GONE_WITHIN, is_empty).is_none());
        // What was let in late would come now.
        left += usize::from(!is_empty());
    }
    let is_done = deletions.iter().all(|status| *status == 204);
    report.judge(is_done, &format!("{place}: each deletion under load is done"), format!("{deletions:?}"));
    let seen = format!("{} posts were acknowledged, {left} times some were left", told.made);
    report.judge(told.made > 0 && left == 0, &format!("{place}: nothing outlives its author"), seen);
    let seen = format!("{} were", told.made_after);
    report.judge(told.made_after == 0, &format!("{place}: nothing begun after the end is taken"), seen);
    told.other.dedup();
    report.judge(told.other.is_empty(), &format!("{place}: each is told 201 or 401"), format!("{:?} too", told.other));
    report.figure(place, json!({ "rounds": ROUNDS, "posts_acknowledged": told.made }));
    Ok(())
}

/// Writes as fast as one connection can, until it is over.
fn write(port: u16, token: &str, is_gone: &AtomicBool, is_over: &AtomicBool) -> Result<Tally> {
    let post = json!({ "title": "Still here", "body": "Written to the end.", "published": true }).to_string();
    let request = raw_http::request("POST", "/api/v1/posts", token, "", post.as_bytes());
    let (mut told, mut stream) = (Tally::default(), raw_http::connect(port)?);
    while !is_over.load(Ordering::SeqCst) {
        let was_gone = is_gone.load(Ordering::SeqCst);
        stream.write_all(&request)?;
        let response = raw_http::receive(&mut stream)?;
        match response.status {
            201 => {
                told.made += 1;
                told.made_after += usize::from(was_gone);
            }
            401 => thread::sleep(Duration::from_millis(10)),
            status => told.other.push(status),
        }
        if response.head.to_ascii_lowercase().contains("connection: close") {
            stream = raw_http::connect(port)?;
        }
    }
    Ok(told)
}
