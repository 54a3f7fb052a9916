//! A list of 20 with filter, sort and authors: what it costs beside one row, and in a table that grows.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::bench::{Bench, ROWS};
use crate::contract;
use crate::data::Seeded;
use crate::http::{self, Requests};
use crate::load_generator::{self, LoadPlan};
use crate::mainstay;
use crate::results::{Figure, Row, Sample};
use crate::rows::comparison::{self, PER_CPU};
use crate::rows::{Known, Need};
use crate::stats::Wanted::AtMost;
use crate::target::{Home, Placement, Target};

const ID: &str = "list-sqlite";
const TITLE: &str = "list of 20 of 100,000 with filter, sort and author included, SQLite";
const SIZES: [usize; 3] = [1_000, ROWS, 100_000];
/// Requests a second in the open loop, of lists as of rows: far from what either can do.
const RATE: f64 = 500.0;
const CONNECTIONS: usize = 64;

/// This row.
pub const KNOWN: Known =
    Known { id: ID, title: TITLE, scenarios: &[ID, "list-postgres"], wants: &[Need::Postgres], steps, run };

fn steps(targets: &BTreeMap<String, Target>, rounds: usize) -> usize {
    let count = targets.values().filter(|one| one.scenarios.iter().any(|scenario| scenario == ID)).count();
    SIZES.len() + rounds * (count * SIZES.len() + 2) + 1
}

/// The list itself.
pub fn requests(limit: usize) -> Requests {
    Requests::get(&format!("/api/v1/posts?published=true&sort=-created_at&limit={limit}&include=author"))
}

fn run(bench: &Bench<'_>) -> Result<Row> {
    let how = format!(
        "cost: wrk, {CONNECTIONS} connections, pinned; latency: open loop at {RATE}/s, pinned; \
         statements: counted in PostgreSQL's log"
    );
    let mut row = Row::new(ID, TITLE, &how);
    let (targets, absent) = bench.taking_part(ID);
    row.missing = absent;
    let mainstay = bench.target("mainstay")?;
    let mut sizes = Vec::new();
    for size in SIZES {
        bench.progress.step(&format!("{ID} · writing {size} posts"));
        sizes.push((size, Seeded::sqlite(bench.lab, mainstay, &format!("seed-{size}"), size)?));
    }
    for round in 1..=bench.rounds {
        for (size, seeded) in &sizes {
            for target in &targets {
                bench.progress.step(&format!("{ID} · {} of {size} · round {round}", target.name));
                cost(bench, &mut row, target, *size, seeded)?;
            }
        }
        let (_, largest) = sizes.last().context("no sizes")?;
        for what in ["one row", "list"] {
            bench.progress.step(&format!("{ID} · {what}, open loop · round {round}"));
            let sample = latency(bench, mainstay, largest, what)?;
            row.measured(&format!("mainstay, {what}")).samples.push(sample);
        }
    }
    bench.progress.step(&format!("{ID} · counting statements"));
    match statements(bench) {
        Ok(figures) => row.figures.extend(figures),
        Err(error) => row.missing.push(format!("the number of statements: {error:#}")),
    }
    conclude(&mut row);
    Ok(row)
}

fn cost(bench: &Bench<'_>, row: &mut Row, target: &Target, size: usize, seeded: &Seeded) -> Result<()> {
    let home = if target.signs_in { &seeded.own } else { &seeded.others };
    let server = target.start(bench.lab, Placement::PINNED, home)?;
    let token = if target.signs_in { Some(mainstay::log_in(server.address, 0)?) } else { None };
    let requests = requests(20).signed(token.as_deref());
    contract::list(server.address, &requests, seeded, 20, true)?;
    let sample = comparison::load(bench, &server, Placement::PINNED, &requests, CONNECTIONS)?;
    let measured = row.measured(&format!("{} of {size}", target.name));
    "the same answers".clone_into(&mut measured.contract);
    measured.samples.push(sample);
    server.stop()
}

fn latency(bench: &Bench<'_>, mainstay: &Target, seeded: &Seeded, what: &str) -> Result<Sample> {
    let server = mainstay.start(bench.lab, Placement::PINNED, &seeded.own)?;
    let token = mainstay::log_in(server.address, 0)?;
    let requests = if what == "list" { requests(20) } else { comparison::by_id(mainstay, seeded) };
    let plan = LoadPlan {
        address: server.address,
        rate: RATE,
        connections: CONNECTIONS,
        seconds: bench.seconds as f64,
        warmup_s: 1.0,
        requests: requests.signed(Some(&token)),
    };
    let outcome = load_generator::start(Placement::PINNED.driver, &plan)?;
    server.stop()?;
    ensure!(outcome.count(200) == outcome.due, "of {} requests {} were answered 200", outcome.due, outcome.count(200));
    Ok(Sample::from([
        ("p50_ms".to_owned(), outcome.from_due.p50_us as f64 / 1e3),
        ("p99_ms".to_owned(), outcome.from_due.p99_us as f64 / 1e3),
        ("max_ms".to_owned(), outcome.from_due.max_us as f64 / 1e3),
    ]))
}

fn conclude(row: &mut Row) {
    let ratio = row.ratio("mainstay, list", "mainstay, one row", "p99_ms", "p99 of the list ÷ p99 of one row");
    row.figures.extend(ratio.map(|figure| figure.goal(Some((AtMost, 3.0)))));
    for (size, what, goal) in [
        (ROWS, "cost of a list of 10,000 ÷ of 1,000", None),
        // Flat: what lies within the noise of such a machine.
        (100_000, "cost of a list of 100,000 ÷ of 1,000", Some((AtMost, 1.15))),
    ] {
        let ratio = row.ratio("mainstay of 1000", &format!("mainstay of {size}"), PER_CPU, what);
        row.figures.extend(ratio.map(|figure| figure.goal(goal)));
    }
    let what = "mainstay ÷ axum-rusqlite, requests per CPU-second";
    row.figures.extend(row.ratio("mainstay of 100000", "axum-rusqlite of 100000", PER_CPU, what));
}

/// How many statements a list of 20 and one of 100 cost, as PostgreSQL's own log tells it.
fn statements(bench: &Bench<'_>) -> Result<Vec<Figure>> {
    let postgres = bench.postgres()?;
    let mainstay = bench.target("mainstay-postgres")?;
    let url = postgres.fresh("counted")?;
    let home = Home { data: bench.lab.folder("counted")?, database_url: url, ..Home::default() };
    let seeded = Seeded::written(bench.lab, mainstay, home, 300)?;
    postgres.psql("postgres", "alter database counted set log_min_duration_statement = 0")?;
    let server = mainstay.start(bench.lab, Placement::FREE, &seeded.own)?;
    let token = mainstay::log_in(server.address, 0)?;
    let mut counts = Vec::new();
    for limit in [20, 100] {
        let requests = requests(limit).signed(Some(&token));
        // The first call prepares statements and judges the session; the second is the one that counts.
        contract::list(server.address, &requests, &seeded, limit, true)?;
        let before = selects(&postgres.log()?);
        let answer = http::call(server.address, &requests)?;
        ensure!(answer.status == 200, "the list is answered {}", answer.status);
        counts.push(selects(&postgres.log()?) - before);
    }
    server.stop()?;
    let more = counts[1] as f64 - counts[0] as f64;
    Ok(vec![
        Figure::new("statements of a list of 20 with its authors", counts[0] as f64, ""),
        Figure::new("more statements for a list of 100", more, "").goal(Some((AtMost, 0.0))),
    ])
}

/// The statements on posts and profiles in a log of PostgreSQL.
fn selects(log: &str) -> usize {
    let is_select =
        |line: &&str| line.contains(" execute ") && ["posts", "profiles"].iter().any(|table| line.contains(table));
    log.lines().filter(is_select).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_statements_in_a_log() {
        let log = "LOG:  duration: 0.1 ms  parse s1: select id from posts\n\
                   LOG:  duration: 0.1 ms  bind s1: select id from posts\n\
                   LOG:  duration: 0.2 ms  execute s1: select id from posts\n\
                   LOG:  duration: 0.2 ms  execute s2: select id from profiles where id in ($1)\n\
                   LOG:  duration: 0.2 ms  execute s3: select 1 from sessions\n";
        assert_eq!(selects(log), 2);
    }
}
