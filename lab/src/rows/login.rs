//! Logging in: nothing but the hash may cost, and whoever does something else must hardly notice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::bench::Bench;
use crate::data::Seeded;
use crate::lab::Lab;
use crate::load_generator::{self, LoadPlan};
use crate::mainstay;
use crate::process;
use crate::results::{Row, Sample};
use crate::rows::comparison::{self, PER_SECOND};
use crate::rows::{Known, Need};
use crate::stats::Wanted::{AtLeast, AtMost};
use crate::target::{Home, Placement, Target};
use crate::wrk;

const ID: &str = "login";
const TITLE: &str = "log in (argon2id)";
const CALLERS: usize = 4;
const CONNECTIONS: usize = 64;
/// The other load, as a share of what the server can do.
const SHARE: f64 = 0.3;

/// This row.
pub const KNOWN: Known =
    Known { id: ID, title: TITLE, scenarios: &[ID, "hash"], wants: &[Need::SqliteRows], steps, run };

fn steps(_: &BTreeMap<String, Target>, rounds: usize) -> usize {
    1 + 4 * rounds
}

fn run(bench: &Bench<'_>) -> Result<Row> {
    let how = format!(
        "pinned, one hash permit; log-ins: wrk, {CALLERS} connections; the hash alone: one thread on the server's core; \
         other load: one row by id, open loop at {SHARE} of the closed loop's peak"
    );
    let mut row = Row::new(ID, TITLE, &how);
    let seeded = bench.sqlite_rows.as_ref().context("the rows were not written")?;
    let mainstay = bench.target("mainstay")?;
    let mut home = seeded.own.clone();
    home.env = mainstay::hash_settings();
    home.env.push(("MAINSTAY_AUTH__HASH_PERMITS".to_owned(), "1".to_owned()));

    bench.progress.step(&format!("{ID} · the peak of the other load"));
    let server = mainstay.start(bench.lab, Placement::PINNED, &home)?;
    let token = mainstay::log_in(server.address, 0)?;
    let rows = comparison::by_id(mainstay, seeded).signed(Some(&token));
    let peak = comparison::load(bench, &server, Placement::PINNED, &rows, CONNECTIONS)?;
    server.stop()?;
    let rate = peak[PER_SECOND] * SHARE;
    row.measured("mainstay, one row at its peak").samples.push(peak);

    for round in 1..=bench.rounds {
        bench.progress.step(&format!("{ID} · the hash alone · round {round}"));
        match hash(bench) {
            Ok(sample) => row.measured("argon2id").samples.push(sample),
            Err(error) => row.missing.push(format!("the hash alone: {error:#}")),
        }
        bench.progress.step(&format!("{ID} · log-ins · round {round}"));
        let server = mainstay.start(bench.lab, Placement::PINNED, &home)?;
        let log_ins = mainstay::log_in_requests(0);
        let sample = comparison::load(bench, &server, Placement::PINNED, &log_ins, CALLERS)?;
        row.measured("mainstay").samples.push(sample);
        server.stop()?;
        for is_stormy in [false, true] {
            let what = if is_stormy { "one row while others log in" } else { "one row" };
            bench.progress.step(&format!("{ID} · {what} · round {round}"));
            let sample = other(bench, mainstay, &home, seeded, rate, is_stormy)?;
            row.measured(&format!("mainstay, {what}")).samples.push(sample);
        }
    }
    let ratio = row.ratio("mainstay", "argon2id", PER_SECOND, "log-ins/s ÷ hashes/s of the hash alone");
    row.figures.extend(ratio.map(|figure| figure.goal(Some((AtLeast, 0.9)))));
    let what = format!("p99 of one row at {rate:.0}/s while others log in ÷ without");
    let ratio = row.ratio("mainstay, one row while others log in", "mainstay, one row", "p99_ms", &what);
    row.figures.extend(ratio.map(|figure| figure.goal(Some((AtMost, 2.0)))));
    Ok(row)
}

/// The target that only hashes, on the server's core.
fn hash(bench: &Bench<'_>) -> Result<Sample> {
    let target = bench.target("argon2id")?;
    let command = target.command(bench.lab, Placement::PINNED, &Home::default(), 0)?;
    let mut with_words = Command::new(command.get_program());
    with_words.args(command.get_args()).args(mainstay::HASH.map(|n| n.to_string())).arg(bench.seconds.to_string());
    let printed = process::output(&mut with_words)?;
    let mut words = printed.split_whitespace().map(str::parse::<f64>);
    let (Some(Ok(count)), Some(Ok(seconds))) = (words.next(), words.next()) else {
        anyhow::bail!("it printed {printed:?}");
    };
    Ok(Sample::from([
        ("requests".to_owned(), count),
        ("seconds".to_owned(), seconds),
        (PER_SECOND.to_owned(), count / seconds),
    ]))
}

fn other(
    bench: &Bench<'_>,
    mainstay: &Target,
    home: &Home,
    seeded: &Seeded,
    rate: f64,
    is_stormy: bool,
) -> Result<Sample> {
    let server = mainstay.start(bench.lab, Placement::PINNED, home)?;
    let token = mainstay::log_in(server.address, 0)?;
    let plan = LoadPlan {
        address: server.address,
        rate,
        connections: CONNECTIONS,
        seconds: bench.seconds as f64,
        warmup_s: 1.0,
        requests: comparison::by_id(mainstay, seeded).signed(Some(&token)),
    };
    let (lab, address, seconds) = (bench.lab, server.address, bench.seconds);
    let (outcome, log_ins) = thread::scope(|scope| {
        // As long as the other load, its warm-up included.
        let storm = is_stormy.then(|| scope.spawn(move || log_ins(lab, address, seconds + 1)));
        let outcome = load_generator::start(Placement::PINNED.driver, &plan);
        let log_ins = storm.map_or(Ok(0.0), |storm| storm.join().map_err(|_| anyhow::anyhow!("the storm failed"))?);
        anyhow::Ok((outcome?, log_ins?))
    })?;
    server.stop()?;
    ensure!(outcome.count(200) > 0, "nothing was answered: {:?}", outcome.by_status.keys());
    Ok(Sample::from([
        ("rate".to_owned(), rate),
        ("due".to_owned(), outcome.due as f64),
        ("answered_200".to_owned(), outcome.count(200) as f64),
        ("log_ins_per_s".to_owned(), log_ins),
        ("p50_ms".to_owned(), outcome.from_due.p50_us as f64 / 1e3),
        ("p99_ms".to_owned(), outcome.from_due.p99_us as f64 / 1e3),
        ("max_ms".to_owned(), outcome.from_due.max_us as f64 / 1e3),
    ]))
}

fn log_ins(lab: &Lab, address: SocketAddr, seconds: u64) -> Result<f64> {
    let folder = lab.folder("log-ins")?;
    let requests = mainstay::log_in_requests(1);
    let counted = wrk::run(Placement::PINNED.driver, address, &requests, CALLERS, seconds, &folder)?;
    ensure!(counted.requests > counted.refused, "nobody could log in");
    Ok((counted.requests - counted.refused) as f64 / counted.seconds)
}
