//! What stands before every operation and nothing else: a token is verified, and a call is taken from two allowances,
//! the user's and the address's. What that costs, how long it takes, and whether three nodes count as one.

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Result, ensure};

use crate::bench::Bench;
use crate::contract;
use crate::http::{Answer, Requests};
use crate::load_generator::{self, LoadPlan};
use crate::mainstay;
use crate::redis::Redis;
use crate::results::{Figure, Row, Sample};
use crate::rows::cached;
use crate::rows::comparison::{self, PER_CPU, PER_SECOND};
use crate::rows::{Known, Need};
use crate::stats::{self, Wanted::AtMost};
use crate::target::{Placement, Target};

const ID: &str = "verify-limit";
const TITLE: &str = "verify a token and take from two limits, by user and by address";
const PATH: &str = "/api/caller";
const CONNECTIONS: usize = 64;
/// Requests a second in the open loop, of whoever can do them; of others this share of their peak. Beyond it, an open
/// loop measures how long its own queue has become.
const RATE: f64 = 10_000.0;
const SHARE: f64 = 0.7;
const NODES: usize = 3;
/// Calls of one user that three nodes may let through together, and what is asked of each of them.
const BUDGET: u32 = 500;
const ASKED_OF_EACH: usize = 400;
const AT_ONCE: usize = 32;
/// Ours, and whom they are compared with.
const OURS: [&str; 2] = ["fastserve-memory", "fastserve-redis"];
const OTHERS: [&str; 2] = ["fastify-redis", "fastapi-redis"];

/// This row.
pub const KNOWN: Known =
    Known { id: ID, title: TITLE, scenarios: &[ID], wants: &[Need::Postgres, Need::Notes, Need::Redis], steps, run };

fn steps(targets: &BTreeMap<String, Target>, rounds: usize) -> usize {
    let taking_part = targets.values().filter(|one| one.scenarios.iter().any(|scenario| scenario == ID));
    taking_part.map(|one| if one.shares() { 3 } else { 2 }).sum::<usize>() * rounds
}

fn run(bench: &Bench<'_>) -> Result<Row> {
    let asked = NODES * ASKED_OF_EACH;
    let how = format!(
        "the credential is an access token, for there are no API keys yet; no quota is reached but in the last part; \
         cost: wrk, {CONNECTIONS} connections, pinned, Redis beside the driver and not counted; latency: open loop at \
         {RATE}/s, or at {SHARE} of what wrk got where that is less, over {CONNECTIONS} connections, since a request was \
         sent, Redis beside the server, because our driver never leaves its core; \
         admitted: {asked} calls at once to {NODES} nodes on one Redis, of which one user may make {BUDGET}"
    );
    let mut row = Row::new(ID, TITLE, &how);
    let (targets, absent) = bench.taking_part(ID);
    row.missing = absent;
    for round in 1..=bench.rounds {
        for target in &targets {
            let name = &target.name;
            let mut keep = |what: &str, taken: Result<Sample>| {
                match taken {
                    Ok(sample) => row.measured(&format!("{name}{what}")).samples.push(sample),
                    Err(error) => row.missing.push(format!("{name}{what}: {error:#}")),
                }
                bench.lab.stop.check()
            };
            bench.progress.step(&format!("{ID} · {name} · round {round}"));
            let cost = cost(bench, target);
            let peak = cost.as_ref().ok().and_then(|sample| sample.get(PER_SECOND).copied());
            keep("", cost)?;
            bench.progress.step(&format!("{ID} · {name}, open loop · round {round}"));
            if let Some(peak) = peak {
                keep(", open loop", latency(bench, target, RATE.min(peak * SHARE)))?;
            }
            if target.shares() {
                bench.progress.step(&format!("{ID} · {name} on {NODES} nodes · round {round}"));
                keep(&format!(", {NODES} nodes"), admitted(bench, target))?;
            }
        }
    }
    conclude(&mut row);
    Ok(row)
}

fn cost(bench: &Bench<'_>, target: &Target) -> Result<Sample> {
    let server = target.start(bench.lab, Placement::PINNED, &cached::home(bench, target)?)?;
    let token = mainstay::log_in(server.address, 0)?;
    contract::caller(server.address, PATH, Some(&token))?;
    let requests = Requests::get(PATH).signed(Some(&token));
    let sample = comparison::load(bench, &server, Placement::PINNED, &requests, CONNECTIONS)?;
    server.stop()?;
    Ok(sample)
}

fn latency(bench: &Bench<'_>, target: &Target, rate: f64) -> Result<Sample> {
    let mut home = cached::home(bench, target)?;
    let redis = target.shares().then(|| Redis::start(Placement::PINNED.server)).transpose()?;
    if let Some(redis) = &redis {
        home.redis_url = redis.url();
    }
    let server = target.start(bench.lab, Placement::PINNED, &home)?;
    let token = mainstay::log_in(server.address, 0)?;
    let plan = LoadPlan {
        address: server.address,
        rate,
        connections: CONNECTIONS,
        seconds: bench.seconds as f64,
        warmup_s: 1.0,
        requests: Requests::get(PATH).signed(Some(&token)),
    };
    let before = server.usage()?;
    let outcome = load_generator::start(Placement::PINNED.driver, &plan)?;
    let cpu_s = server.usage()?.cpu_s - before.cpu_s;
    server.stop()?;
    let well = outcome.by_status.get(&200).cloned().unwrap_or_default();
    ensure!(well.count > 0, "nothing was answered 200: {:?}", outcome.by_status.keys());
    let in_time = outcome.in_time.get(&200).copied().unwrap_or(0) as f64;
    Ok(Sample::from([
        ("offered_per_s".to_owned(), rate),
        ("answered_per_s".to_owned(), in_time / plan.seconds),
        ("service_p50_ms".to_owned(), well.p50_us as f64 / 1e3),
        ("service_p99_ms".to_owned(), well.p99_us as f64 / 1e3),
        ("since_due_p99_ms".to_owned(), outcome.from_due.p99_us as f64 / 1e3),
        ("server_cpu_s".to_owned(), cpu_s),
        ("unanswered".to_owned(), outcome.unanswered as f64),
    ]))
}

/// How many of one user's calls three nodes let through together.
fn admitted(bench: &Bench<'_>, target: &Target) -> Result<Sample> {
    let mut home = cached::home(bench, target)?;
    home.user_budget = Some(BUDGET);
    let start = |_| target.start(bench.lab, Placement::FREE, &home);
    let servers = (0..NODES).map(start).collect::<Result<Vec<_>>>()?;
    let token = mainstay::log_in(servers[0].address, 0)?;
    let request = Requests::get(PATH).signed(Some(&token)).bytes(PATH);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let ask = |server: &crate::target::Server| {
            let (address, requests) = (server.address, vec![request.clone(); ASKED_OF_EACH]);
            scope.spawn(move || load_generator::each_once(address, requests, AT_ONCE))
        };
        // All are under way before the first is waited for.
        let asking: Vec<_> = servers.iter().map(ask).collect();
        let answers = asking.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("a driver failed"))?);
        answers.collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    for server in servers {
        server.stop()?;
    }
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    let (well, refused) = (count(200), count(429));
    ensure!(well + refused == answers.len(), "some of {} calls were answered neither 200 nor 429", answers.len());
    let off = (well as f64 - f64::from(BUDGET)).abs();
    Ok(Sample::from([("admitted".to_owned(), well as f64), ("off_by".to_owned(), off)]))
}

fn conclude(row: &mut Row) {
    let goal_of = |name: &str, goal| OURS.contains(&name).then_some(goal);
    for name in OURS.into_iter().chain(OTHERS) {
        let of = format!("{name}, open loop");
        let Some(rate) = stats::median(&row.values(&of, "offered_per_s")) else { continue };
        let figure = row.median(&of, "service_p99_ms", &format!("p99 of {name} at {rate:.0}/s"), "ms");
        row.figures.extend(figure.map(|figure| figure.goal(goal_of(name, (AtMost, 1.0)))));
    }
    for name in ["fastserve-redis"].into_iter().chain(OTHERS) {
        let off = row.values(&format!("{name}, {NODES} nodes"), "off_by").into_iter().max_by(f64::total_cmp);
        let what =
            format!("calls more or less than a budget of {BUDGET} that {NODES} nodes of {name} let through, at worst");
        row.figures.extend(off.map(|off| Figure::new(what, off, "").goal(goal_of(name, (AtMost, 0.0)))));
    }
    for ours in OURS {
        for other in OTHERS {
            let what = format!("{ours} ÷ {other}, requests per CPU-second");
            row.figures.extend(row.ratio(ours, other, PER_CPU, &what));
        }
    }
}
