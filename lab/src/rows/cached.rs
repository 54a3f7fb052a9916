//! What is read again and again: one row, a list, a list with authors, from whatever cache a target has.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::bench::Bench;
use crate::contract;
use crate::data::Seeded;
use crate::http::Requests;
use crate::load_generator;
use crate::mainstay;
use crate::results::{Row, Sample};
use crate::rows::comparison::{self, PER_CPU};
use crate::rows::{Known, Need};
use crate::stats::Wanted::AtLeast;
use crate::target::{Database, Home, Placement, Target};

const CONNECTIONS: usize = 64;
const LIMIT: usize = 20;
const WANTS: &[Need] = &[Need::Postgres, Need::Notes, Need::Redis];
/// Ours, and whom they are compared with.
const OURS: [&str; 2] = ["fastserve-memory", "fastserve-redis"];
const OTHERS: [&str; 2] = ["fastify-redis", "fastapi-redis"];

/// One row by its id.
pub const ROW: Known = Known {
    id: "row-cached",
    title: "read one row by id, cached, verified token, ETag",
    scenarios: &["row-cached"],
    wants: WANTS,
    steps: |targets, rounds| steps("row-cached", targets, rounds),
    run: |bench| run(bench, &ROW, Asked::Row),
};

/// A page of a list.
pub const LIST: Known = Known {
    id: "list-cached",
    title: "list of 20 of 10,000 with filter and sort, cached on both sides",
    scenarios: &["list-cached"],
    wants: WANTS,
    steps: |targets, rounds| steps("list-cached", targets, rounds),
    run: |bench| run(bench, &LIST, Asked::List),
};

/// A page of a list with its authors.
pub const LIST_WITH_AUTHORS: Known = Known {
    id: "list-redis",
    title: "list of 20 of 10,000 with filter, sort and author included: theirs from Redis, ours from the database",
    scenarios: &["list-redis"],
    wants: WANTS,
    steps: |targets, rounds| steps("list-redis", targets, rounds),
    run: |bench| run(bench, &LIST_WITH_AUTHORS, Asked::ListWithAuthors),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Row,
    List,
    ListWithAuthors,
}

impl Asked {
    /// What each side does, since it is not the same.
    fn how(self) -> &'static str {
        match self {
            Self::Row => {
                "9,000 rows, all in the cache before; ours: kept for 60 s in each node's memory, which is told of changes, \
                 by fastserve-redis in Redis too; theirs: JSON in Redis for 60 s, changes seen when it runs out; health: \
                 `/api/health` of the same process, in the same turn; fastserve-redis takes both from limits in Redis"
            }
            Self::List => {
                "one page, asked for again and again; ours: kept for 10 s for each caller and forgotten with any change; \
                 theirs: one page for everyone in Redis for 10 s, changes seen when it runs out"
            }
            Self::ListWithAuthors => {
                "theirs: the page with its authors in Redis for 10 s, changes seen when it runs out; ours: lists with \
                 `include` are not cached, each is two statements in PostgreSQL and true at that moment"
            }
        }
    }

    fn requests(self, target: &Target, seeded: &Seeded) -> Requests {
        let page = format!("{}?published=true&sort=-created_at&limit={LIMIT}", target.paths.posts);
        match self {
            Self::Row => comparison::by_id(target, seeded),
            Self::List => Requests::get(&page),
            Self::ListWithAuthors => Requests::get(&format!("{page}&include=author")),
        }
    }
}

fn steps(scenario: &str, targets: &BTreeMap<String, Target>, rounds: usize) -> usize {
    targets.values().filter(|one| one.scenarios.iter().any(|known| known == scenario)).count() * rounds
}

fn run(bench: &Bench<'_>, known: &Known, asked: Asked) -> Result<Row> {
    let how = format!(
        "wrk, {CONNECTIONS} connections; pinned: server on core 0, driver on core 1, PostgreSQL and Redis beside the \
         driver and not counted, TCP; ours takes each call from two limits, theirs has none here; {}",
        asked.how()
    );
    let mut row = Row::new(known.id, known.title, &how);
    let (targets, absent) = bench.taking_part(known.id);
    row.missing = absent;
    for round in 1..=bench.rounds {
        for target in &targets {
            bench.progress.step(&format!("{} · {} · round {round}", known.id, target.name));
            if round > 1 && row.measured(&target.name).samples.is_empty() {
                continue;
            }
            match turn(bench, target, asked) {
                Ok(samples) => {
                    for (what, sample) in samples {
                        let measured = row.measured(&format!("{}{what}", target.name));
                        "the same answers".clone_into(&mut measured.contract);
                        measured.samples.push(sample);
                    }
                }
                Err(error) => {
                    bench.lab.stop.check()?;
                    eprintln!("{}: {error:#}", target.name);
                    row.measured(&target.name).contract = format!("{error:#}");
                    row.missing.push(format!("{}: {error:#}", target.name));
                }
            }
        }
    }
    conclude(&mut row, asked);
    Ok(row)
}

/// Where a target finds the notes, on an empty Redis.
pub fn home(bench: &Bench<'_>, target: &Target) -> Result<Home> {
    bench.postgres()?;
    let seeded = bench.notes.as_ref().context("the notes were not written")?;
    let is_own = target.database == Database::OwnPostgres;
    let mut home = if is_own { seeded.own.clone() } else { seeded.others.clone() };
    if target.shares() {
        let redis = bench.redis()?;
        redis.clear()?;
        home.redis_url = redis.url();
    }
    Ok(home)
}

fn turn(bench: &Bench<'_>, target: &Target, asked: Asked) -> Result<Vec<(&'static str, Sample)>> {
    let seeded = bench.notes.as_ref().context("the notes were not written")?;
    let server = target.start(bench.lab, Placement::PINNED, &home(bench, target)?)?;
    let token = mainstay::log_in(server.address, 0)?;
    let token = Some(token.as_str());
    let requests = asked.requests(target, seeded).signed(token);
    let mut samples = Vec::new();
    match asked {
        Asked::Row => contract::row(target, server.address, token, seeded)
            .and_then(|()| contract::tagged(server.address, &requests.paths[0], token)),
        Asked::List => contract::list(server.address, &requests, seeded, LIMIT, false),
        Asked::ListWithAuthors => contract::list(server.address, &requests, seeded, LIMIT, true),
    }
    .context("its answers are not the same")?;
    warm(&server.address, &requests)?;
    samples.push(("", comparison::load(bench, &server, Placement::PINNED, &requests, CONNECTIONS)?));
    if asked == Asked::Row {
        let health = Requests::get("/api/health");
        samples.push((", health", comparison::load(bench, &server, Placement::PINNED, &health, CONNECTIONS)?));
    }
    server.stop()?;
    Ok(samples)
}

/// Each once, so that all are kept wherever the target keeps them.
fn warm(address: &std::net::SocketAddr, requests: &Requests) -> Result<()> {
    let texts = requests.paths.iter().map(|path| requests.bytes(path)).collect();
    let answers = load_generator::each_once(*address, texts, CONNECTIONS)?;
    let refused = answers.iter().filter(|answer| answer.status != 200).count();
    ensure!(refused == 0, "{refused} of {} requests were not answered 200", answers.len());
    Ok(())
}

fn conclude(row: &mut Row, asked: Asked) {
    if asked == Asked::Row {
        for name in OURS.into_iter().chain(OTHERS) {
            let (health, what) =
                (format!("{name}, health"), format!("{name} ÷ its own health, requests per CPU-second"));
            let goal = OURS.contains(&name).then_some((AtLeast, 0.80));
            row.figures.extend(row.ratio(name, &health, PER_CPU, &what).map(|figure| figure.goal(goal)));
        }
    }
    for ours in OURS {
        for other in OTHERS {
            let what = format!("{ours} ÷ {other}, requests per CPU-second");
            row.figures.extend(row.ratio(ours, other, PER_CPU, &what));
        }
    }
}
