//! `nodes`: three servers as one service, over one PostgreSQL and one Redis, behind nginx as the how-to shows it. They
//! agree on sessions, on what is made once, and on limits, to the call; and go on so while a node, Redis and PostgreSQL die
//! one after another under load, and while one node is cut off from both.

mod allowances;
mod cut;
mod load;
mod service;
mod way;

use std::fs;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use devservers::nodes::{Nodes, NodesPlan, SharedUrls};
use devservers::{Durability, Scratch};
use serde_json::json;

use crate::chaos::Report;
use crate::chaos::bench::{Bench, PASSWORD, wait_until};
use crate::chaos::raw_http::{self, Response};

use self::way::Way;

const COUNT: usize = 3;
/// The node whose ways can be cut.
const LONE: usize = 2;

/// `each` is for counting to the call, `client` for who lies about where they come from, `hammer` for the load, and `again`
/// for counting after Redis was lost: then every bucket fills from empty, which takes its window. The platform's own are out
/// of the way: all requests come from one address.
const POLICIES: [&str; 6] = [
    "address: 600000/1m by address on *",
    "user: 600000/1m by user on *",
    "each: 40/1h by user on get_me",
    "client: 30/1h by address on get_jwks",
    "hammer: 300/1m by address on get_user",
    "again: 40/20s by address on get_openapi",
];

/// A place that asks who calls, and nothing else that is limited here.
const WHO: &str = "/api/v1/posts?limit=1";

/// What a part of the drill works with.
struct Stage<'a> {
    bench: &'a Bench<'a>,
    nodes: Nodes,
    ways: Ways,
}

/// The lone node's ways to what is shared.
struct Ways {
    database: Way,
    cache: Way,
}

pub fn run(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut scratch = Scratch::new("chaos-nodes")?;
    let outcome = drill(bench, report, &scratch);
    if outcome.is_err() || report.faults > 0 {
        scratch.keep();
    }
    outcome
}

fn drill(bench: &Bench<'_>, report: &mut Report, scratch: &Scratch) -> Result<()> {
    let variables =
        [("MAINSTAY_LIMITS__ENABLED", "true".to_owned()), ("MAINSTAY_LIMITS__POLICIES", POLICIES.join(","))];
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let plan = NodesPlan { binary: bench.binary, durability: Durability::Full, count: COUNT, variables };
    let mut ways = None;
    let nodes = Nodes::start(&plan, scratch.path(), bench.stop, |number, shared, postgres, redis| {
        if number != LONE {
            return Ok(shared);
        }
        let (database, cache) = (Way::to(postgres.port())?, Way::to(redis.port())?);
        let through = |url: &str, from: u16, to: u16| url.replace(&format!(":{from}/"), &format!(":{to}/"));
        let shared = SharedUrls {
            database_url: through(&shared.database_url, postgres.port(), database.port()),
            cache_url: through(&shared.cache_url, redis.port(), cache.port()),
        };
        ways = Some(Ways { database, cache });
        Ok(shared)
    })?;
    let mut stage = Stage { bench, nodes, ways: ways.context("the lone node has no ways")? };
    let parts: [fn(&mut Stage<'_>, &mut Report) -> Result<()>; 4] =
        [service::run, allowances::run, load::run, cut::run];
    for part in parts {
        bench.stop.check()?;
        part(&mut stage, report)?;
    }
    let fallen = stage.nodes.fallen();
    let shown = if fallen.is_empty() { "none".to_owned() } else { fallen.join(", ") };
    report.judge(fallen.is_empty(), "no process has ended by itself", shown);
    let logs: String = stage.nodes.logs().iter().map(|log| fs::read_to_string(log).unwrap_or_default()).collect();
    let panics: Vec<&str> = logs.lines().filter(|line| line.contains("panicked")).collect();
    let seen = panics.first().map_or("none".to_owned(), |first| format!("{}, the first: {first}", panics.len()));
    report.judge(panics.is_empty(), "no panic in any log", seen);
    report.figure("nginx_complaints", stage.nodes.nginx.errors().lines().count());
    Ok(())
}

/// Somebody with an account and a session.
struct Person {
    id: String,
    email: String,
    access: String,
    refresh: String,
}

impl Person {
    /// Makes the account on one port, and signs in on another.
    fn new(register_at: u16, login_at: u16, name: &str) -> Result<Self> {
        let email = format!("{name}@example.org");
        let account = json!({ "email": email, "password": PASSWORD, "display_name": name });
        let made =
            raw_http::ask(register_at, "POST", "/api/v1/auth/register", "", Some(&account))?.must_be(201)?.json()?;
        let id = made["id"].as_str().context("an account without an id")?.to_owned();
        let mut person = Self { id, email, access: String::new(), refresh: String::new() };
        person.sign_in(login_at)?;
        Ok(person)
    }

    /// Another session.
    fn sign_in(&mut self, port: u16) -> Result<()> {
        let login = json!({ "email": self.email, "password": PASSWORD });
        self.take(raw_http::ask(port, "POST", "/api/v1/auth/login", "", Some(&login))?)
    }

    /// A new pair of tokens.
    fn refresh(&mut self, port: u16) -> Result<()> {
        let response = refresh(port, &self.refresh)?;
        self.take(response)
    }

    fn take(&mut self, response: Response) -> Result<()> {
        let tokens = response.must_be(200)?.json()?;
        let text = |name: &str| tokens[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        (self.access, self.refresh) = (text("access_token")?, text("refresh_token")?);
        Ok(())
    }

    /// Ends the session.
    fn log_out(&self, port: u16) -> Result<()> {
        raw_http::ask(port, "POST", "/api/v1/auth/logout", &self.access, None)?.must_be(204).map(drop)
    }

    /// What a server says to the token.
    fn status(&self, port: u16) -> Result<u16> {
        Ok(raw_http::ask(port, "GET", WHO, &self.access, None)?.status)
    }
}

fn refresh(port: u16, token: &str) -> Result<Response> {
    raw_http::ask(port, "POST", "/api/v1/auth/refresh", "", Some(&json!({ "refresh_token": token })))
}

/// One request on a connection of its own, with these header lines besides.
fn send(port: u16, method: &str, path: &str, token: &str, headers: &str, body: &[u8]) -> Result<Response> {
    raw_http::send(port, &raw_http::request(method, path, token, &format!("connection: close\r\n{headers}"), body))
}

/// Runs `count` calls at the same moment.
fn at_once<T: Send>(count: usize, one: impl Fn(usize) -> Result<T> + Sync) -> Vec<Result<T>> {
    let (barrier, one) = (&Barrier::new(count), &one);
    thread::scope(|scope| {
        let all: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn(move || {
                    barrier.wait();
                    one(number)
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().ok().context("a client panicked").and_then(|answer| answer)).collect()
    })
}

/// How many answers of each status; `none` where none came.
fn counted<'a>(responses: impl Iterator<Item = &'a Result<Response>>) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for response in responses {
        let word = response.as_ref().map_or("none".to_owned(), |response| response.status.to_string());
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// After how long every node refuses a session that has just been ended; none where one still lets it in after `limit`, or
/// again.
fn refused_everywhere(ports: &[u16], person: &Person, limit: Duration) -> Option<Duration> {
    let start = Instant::now();
    let is_refused = |port: &u16| matches!(person.status(*port), Ok(401));
    for port in ports {
        wait_until(limit.saturating_sub(start.elapsed()).max(Duration::from_millis(1)), || is_refused(port))?;
    }
    let after = start.elapsed();
    // Once refused, refused for good.
    (0..5).all(|_| ports.iter().all(is_refused)).then_some(after)
}
