//! What is read again and again: one row, a list, a list with authors, from whatever cache a contender has.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::bench::Bench;
use crate::contender::{Contender, Database, Home, Placement};
use crate::contract;
use crate::data::Seeded;
use crate::drive;
use crate::http::Requests;
use crate::mainstay;
use crate::results::{Row, Sample};
use crate::rows::versus::{self, PER_CPU};
use crate::rows::{Kind, Known};
use crate::stats::Wanted::AtLeast;

const CONNECTIONS: usize = 64;
const LIMIT: usize = 20;
const WANTS: &[Kind] = &[Kind::Postgres, Kind::Notes, Kind::Redis];
/// Ours, and whom they are compared with.
const OURS: [&str; 2] = ["fastserve-memory", "fastserve-redis"];
const OTHERS: [&str; 2] = ["fastify-redis", "fastapi-redis"];

/// One row by its id.
pub const ROW: Known = Known {
    id: "row-cached",
    title: "read one row by id, cached, verified token, ETag",
    scenarios: &["row-cached"],
    wants: WANTS,
    steps: |contenders, rounds| steps("row-cached", contenders, rounds),
    run: |bench| run(bench, &ROW, Asked::Row),
};

/// A page of a list.
pub const LIST: Known = Known {
    id: "list-cached",
    title: "list of 20 of 10,000 with filter and sort, cached on both sides",
    scenarios: &["list-cached"],
    wants: WANTS,
    steps: |contenders, rounds| steps("list-cached", contenders, rounds),
    run: |bench| run(bench, &LIST, Asked::List),
};

/// A page of a list with its authors.
pub const LIST_WITH_AUTHORS: Known = Known {
    id: "list-redis",
    title: "list of 20 of 10,000 with filter, sort and author included: theirs from Redis, ours from the database",
    scenarios: &["list-redis"],
    wants: WANTS,
    steps: |contenders, rounds| steps("list-redis", contenders, rounds),
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

    fn requests(self, contender: &Contender, seeded: &Seeded) -> Requests {
        let page = format!("{}?published=true&sort=-created_at&limit={LIMIT}", contender.paths.posts);
        match self {
            Self::Row => versus::by_id(contender, seeded),
            Self::List => Requests::get(&page),
            Self::ListWithAuthors => Requests::get(&format!("{page}&include=author")),
        }
    }
}

fn steps(scenario: &str, contenders: &BTreeMap<String, Contender>, rounds: usize) -> usize {
    contenders.values().filter(|one| one.scenarios.iter().any(|known| known == scenario)).count() * rounds
}

fn run(bench: &Bench<'_>, known: &Known, asked: Asked) -> Result<Row> {
    let how = format!(
        "wrk, {CONNECTIONS} connections; pinned: server on core 0, driver on core 1, PostgreSQL and Redis beside the \
         driver and not counted, TCP; ours takes each call from two limits, theirs has none here; {}",
        asked.how()
    );
    let mut row = Row::new(known.id, known.title, &how);
    let (contenders, absent) = bench.taking_part(known.id);
    row.missing = absent;
    for round in 1..=bench.rounds {
        for contender in &contenders {
            bench.progress.step(&format!("{} · {} · round {round}", known.id, contender.name));
            if round > 1 && row.measured(&contender.name).samples.is_empty() {
                continue;
            }
            match turn(bench, contender, asked) {
                Ok(samples) => {
                    for (what, sample) in samples {
                        let measured = row.measured(&format!("{}{what}", contender.name));
                        "the same answers".clone_into(&mut measured.contract);
                        measured.samples.push(sample);
                    }
                }
                Err(error) => {
                    bench.lab.stop.check()?;
                    eprintln!("{}: {error:#}", contender.name);
                    row.measured(&contender.name).contract = format!("{error:#}");
                    row.missing.push(format!("{}: {error:#}", contender.name));
                }
            }
        }
    }
    conclude(&mut row, asked);
    Ok(row)
}

/// Where a contender finds the notes, on an empty Redis.
pub fn home(bench: &Bench<'_>, contender: &Contender) -> Result<Home> {
    bench.postgres()?;
    let seeded = bench.notes.as_ref().context("the notes were not written")?;
    let is_own = contender.database == Database::OwnPostgres;
    let mut home = if is_own { seeded.own.clone() } else { seeded.others.clone() };
    if contender.shares() {
        let redis = bench.redis()?;
        redis.clear()?;
        home.redis_url = redis.url();
    }
    Ok(home)
}

fn turn(bench: &Bench<'_>, contender: &Contender, asked: Asked) -> Result<Vec<(&'static str, Sample)>> {
    let seeded = bench.notes.as_ref().context("the notes were not written")?;
    let server = contender.start(bench.lab, Placement::PINNED, &home(bench, contender)?)?;
    let token = mainstay::log_in(server.address, 0)?;
    let token = Some(token.as_str());
    let requests = asked.requests(contender, seeded).signed(token);
    let mut samples = Vec::new();
    match asked {
        Asked::Row => contract::row(contender, server.address, token, seeded)
            .and_then(|()| contract::tagged(server.address, &requests.paths[0], token)),
        Asked::List => contract::list(server.address, &requests, seeded, LIMIT, false),
        Asked::ListWithAuthors => contract::list(server.address, &requests, seeded, LIMIT, true),
    }
    .context("its answers are not the same")?;
    warm(&server.address, &requests)?;
    samples.push(("", versus::load(bench, &server, Placement::PINNED, &requests, CONNECTIONS)?));
    if asked == Asked::Row {
        let health = Requests::get("/api/health");
        samples.push((", health", versus::load(bench, &server, Placement::PINNED, &health, CONNECTIONS)?));
    }
    server.stop()?;
    Ok(samples)
}

/// Each once, so that all are kept wherever the contender keeps them.
fn warm(address: &std::net::SocketAddr, requests: &Requests) -> Result<()> {
    let texts = requests.paths.iter().map(|path| requests.bytes(path)).collect();
    let answers = drive::each_once(*address, texts, CONNECTIONS)?;
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
