//! What it takes: memory, time to the first answer, the size of the binary.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::load_generator;
use crate::mainstay;
use crate::process;
use crate::results::{Row, Sample};
use crate::rows::Known;
use crate::stats::Wanted::AtMost;
use crate::target::{Home, Placement, Server, Target};

const ID: &str = "footprint";
const TITLE: &str = "footprint of the `mainstay` binary, SQLite";
const STORM: usize = 500;
/// What a server does of its own accord after it answered for the first time is done by then.
const REST: Duration = Duration::from_secs(1);

/// This row.
pub const KNOWN: Known = Known { id: ID, title: TITLE, scenarios: &[ID], wants: &[], steps, run };

fn steps(_: &BTreeMap<String, Target>, rounds: usize) -> usize {
    rounds
}

fn run(bench: &Bench<'_>) -> Result<Row> {
    let how = format!(
        "all cores; database made before; memory is RSS, {} s after; storm: {STORM} log-ins at once",
        REST.as_secs()
    );
    let mut row = Row::new(ID, TITLE, &how);
    let mainstay = bench.target("mainstay")?;
    let home = Home { data: bench.lab.folder("footprint")?, ..Home::default() };
    // The first start makes the tables; people start a server with tables far more often.
    let server = mainstay.start(bench.lab, Placement::FREE, &home)?;
    mainstay::register(server.address, 0)?;
    server.stop()?;
    let binary_mib = binary_mib(bench)?;
    for round in 1..=bench.rounds {
        bench.progress.step(&format!("{ID} · round {round}"));
        let mut sample = turn(bench, mainstay, &home)?;
        sample.insert("binary_mib".to_owned(), binary_mib);
        row.measured("mainstay").samples.push(sample);
    }
    for (measure, what, unit, most) in [
        ("rss_start_mib", "RSS before the first log-in", "MiB", 20.0),
        ("rss_after_mib", "RSS after a storm of log-ins", "MiB", 64.0),
        ("first_answer_ms", "start to first answer", "ms", 100.0),
        ("binary_mib", "stripped binary", "MiB", 40.0),
    ] {
        row.figures.extend(row.median("mainstay", measure, what, unit).map(|figure| figure.goal(Some((AtMost, most)))));
    }
    Ok(row)
}

fn turn(bench: &Bench<'_>, mainstay: &Target, home: &Home) -> Result<Sample> {
    let server = mainstay.start(bench.lab, Placement::FREE, home)?;
    thread::sleep(REST);
    let rss_mib = |server: &Server| anyhow::Ok(server.usage()?.rss_kib as f64 / 1024.0);
    let start = rss_mib(&server)?;
    let request = mainstay::log_in_requests(0);
    let requests = vec![request.bytes(&request.paths[0]); STORM];
    let answers = load_generator::each_once(server.address, requests, STORM)?;
    thread::sleep(REST);
    let after = rss_mib(&server)?;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count() as f64;
    let sample = Sample::from([
        ("first_answer_ms".to_owned(), server.started_in.as_secs_f64() * 1e3),
        ("rss_start_mib".to_owned(), start),
        ("rss_after_mib".to_owned(), after),
        ("storm_answered_200".to_owned(), count(200)),
        ("storm_answered_503".to_owned(), count(503)),
    ]);
    server.stop()?;
    Ok(sample)
}

fn binary_mib(bench: &Bench<'_>) -> Result<f64> {
    let copy = bench.lab.scratch.join("mainstay.stripped");
    fs::copy(bench.lab.product.join("mainstay"), &copy).context("cannot copy the binary")?;
    process::output(Command::new("strip").arg(&copy)).context("cannot strip the binary")?;
    Ok(fs::metadata(&copy).context("cannot see the stripped binary")?.len() as f64 / 1024.0 / 1024.0)
}
