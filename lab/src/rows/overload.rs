//! Three times as much as it can do: it goes on doing what it can, refuses the rest at once, and does not grow.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::load_generator::{self, LoadPlan, Outcome};
use crate::mainstay;
use crate::results::{Row, Sample};
use crate::rows::comparison::{self, PER_SECOND};
use crate::rows::{Known, Need, list};
use crate::stats::Wanted::{AtLeast, AtMost};
use crate::target::{Placement, Server, Target};

const ID: &str = "overload";
const TITLE: &str = "offered load of 3 × capacity, lists over SQLite";
const CONNECTIONS: usize = 64;
/// More than may wait for the readers (`database.queue`, 1,024): otherwise a connection's own patience would limit the
/// load, and nothing would ever be refused.
const MANY_CONNECTIONS: usize = 3_000;
const TIMES: f64 = 3.0;

/// This row.
pub const KNOWN: Known = Known { id: ID, title: TITLE, scenarios: &[ID], wants: &[Need::SqliteRows], steps, run };

fn steps(_: &BTreeMap<String, Target>, rounds: usize) -> usize {
    rounds
}

fn run(bench: &Bench<'_>) -> Result<Row> {
    let how = format!(
        "pinned; peak: wrk, {CONNECTIONS} connections; then an open loop at {TIMES} × the peak over {MANY_CONNECTIONS} \
         connections, twice"
    );
    let mut row = Row::new(ID, TITLE, &how);
    for round in 1..=bench.rounds {
        bench.progress.step(&format!("{ID} · round {round}"));
        let sample = turn(bench)?;
        row.measured("mainstay").samples.push(sample);
    }
    for (measure, what, unit, goal) in [
        ("goodput_to_peak", "answered 200 under overload ÷ peak", "×", (AtLeast, 0.9)),
        ("refused_share", "share of the excess that was answered 503", "×", (AtLeast, 0.9)),
        ("refused_p99_ms", "p99 of the 503s, since they were sent", "ms", (AtMost, 50.0)),
        ("growth", "memory after the second overload ÷ after the first", "×", (AtMost, 1.1)),
    ] {
        row.figures.extend(row.median("mainstay", measure, what, unit).map(|figure| figure.goal(Some(goal))));
    }
    if row.values("mainstay", "refused_p99_ms").is_empty() {
        row.missing.push("how fast the excess is refused: nothing was, all of it waited".to_owned());
    }
    Ok(row)
}

fn turn(bench: &Bench<'_>) -> Result<Sample> {
    let seeded = bench.sqlite_rows.as_ref().context("the rows were not written")?;
    let mainstay = bench.target("mainstay")?;
    let server = mainstay.start(bench.lab, Placement::PINNED, &seeded.own)?;
    let token = mainstay::log_in(server.address, 0)?;
    let requests = list::requests(20).signed(Some(&token));
    let peak = comparison::load(bench, &server, Placement::PINNED, &requests, CONNECTIONS)?;
    let plan = LoadPlan {
        address: server.address,
        rate: peak[PER_SECOND] * TIMES,
        connections: MANY_CONNECTIONS,
        seconds: bench.seconds as f64,
        warmup_s: 1.0,
        requests,
    };
    let rss_mib = |server: &Server| anyhow::Ok(server.usage()?.rss_kib as f64 / 1024.0);
    let before = rss_mib(&server)?;
    let first = load_generator::start(Placement::PINNED.driver, &plan)?;
    let between = rss_mib(&server)?;
    load_generator::start(Placement::PINNED.driver, &plan)?;
    let after = rss_mib(&server)?;
    server.stop()?;
    Ok(sample(&first, &plan, peak[PER_SECOND], [before, between, after]))
}

fn sample(outcome: &Outcome, plan: &LoadPlan, peak: f64, [before, between, after]: [f64; 3]) -> Sample {
    let in_time = |status: u16| outcome.in_time.get(&status).copied().unwrap_or(0) as f64;
    let goodput = in_time(200) / plan.seconds;
    // What was offered beyond what was done; all of it should have been refused.
    let excess = (plan.rate * plan.seconds - in_time(200)).max(1.0);
    let mut sample = Sample::from([
        ("peak_per_s".to_owned(), peak),
        ("offered_per_s".to_owned(), plan.rate),
        ("due".to_owned(), outcome.due as f64),
        ("answered_200".to_owned(), outcome.count(200) as f64),
        ("answered_503".to_owned(), outcome.count(503) as f64),
        ("broken".to_owned(), outcome.broken as f64),
        ("unanswered".to_owned(), outcome.unanswered as f64),
        ("in_time_200".to_owned(), in_time(200)),
        ("in_time_503".to_owned(), in_time(503)),
        ("goodput_to_peak".to_owned(), goodput / peak),
        ("refused_share".to_owned(), in_time(503) / excess),
        ("rss_before_mib".to_owned(), before),
        ("rss_after_first_mib".to_owned(), between),
        ("rss_after_second_mib".to_owned(), after),
        ("growth".to_owned(), after / between),
    ]);
    for (status, latencies) in &outcome.by_status {
        let name = if *status == 503 { "refused".to_owned() } else { format!("status_{status}") };
        sample.insert(format!("{name}_p50_ms"), latencies.p50_us as f64 / 1e3);
        sample.insert(format!("{name}_p99_ms"), latencies.p99_us as f64 / 1e3);
    }
    sample
}
