//! `cargo resilience chaos NAME`: does to the release server, on loopback and with data of its own, what enemies and accidents
//! do, and judges what it saw from outside. Each drill is bounded in time and stops by itself.

mod bench;
mod bodies;
mod clock;
mod database;
mod disk;
mod ended_accounts;
mod fairness;
mod heads;
mod http2;
mod logins;
mod nodes;
mod raw_http;
mod removed;
mod slow;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use devservers::workspace::Workspace;
use devservers::{Stop, machine, mainstay};
use serde_json::{Map, Value, json};

use crate::chaos::bench::Bench;

/// Options of `cargo resilience chaos`.
#[derive(clap::Args)]
pub struct Args {
    /// Which drill; `all` runs every one and prints a table.
    #[arg(value_enum)]
    name: Name,
    /// Drill this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the results go, as JSON [default: docs/results]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Clients that send or read a byte now and then.
    SlowClients,
    /// Floods of HTTP/2 frames, and header lists that swell.
    Http2Floods,
    /// HTTP/1.1 heads and chunks without end, and requests that two readers would read differently.
    HeaderFloods,
    /// Compressed, deep, wide and faulty bodies.
    CompressedBombs,
    /// Hundreds of log-ins at once.
    LoginStorm,
    /// One address asks for what is dear, within its limits, while others are measured.
    Fairness,
    /// An account is deleted while it writes, on one node and on two.
    EndedAccounts,
    /// A disk that fills up, and has room again.
    DiskFull,
    /// The machine's clock is set back.
    ClockBack,
    /// The database's files are removed or replaced while it runs.
    DatabaseRemoved,
    /// PostgreSQL is crowded out, restarted, killed, frozen, full of connections, and failed over.
    PostgresFaults,
    /// Three nodes behind nginx agree, and go on so while one of them, Redis and PostgreSQL die.
    Nodes,
    /// Every one of them.
    All,
}

type Drill = fn(&Bench<'_>, &mut Report) -> Result<()>;

const DRILLS: [(Name, &str, Drill); 12] = [
    (Name::SlowClients, "slow-clients", slow::run),
    (Name::Http2Floods, "http2-floods", http2::run),
    (Name::HeaderFloods, "header-floods", heads::run),
    (Name::CompressedBombs, "compressed-bombs", bodies::run),
    (Name::LoginStorm, "login-storm", logins::run),
    (Name::Fairness, "fairness", fairness::run),
    (Name::EndedAccounts, "ended-accounts", ended_accounts::run),
    (Name::DiskFull, "disk-full", disk::run),
    (Name::ClockBack, "clock-back", clock::run),
    (Name::DatabaseRemoved, "database-removed", removed::run),
    (Name::PostgresFaults, "postgres-faults", database::run),
    (Name::Nodes, "nodes", nodes::run),
];

/// What a drill saw.
#[derive(Default)]
pub struct Report {
    checks: Vec<Value>,
    figures: Map<String, Value>,
    faults: usize,
}

impl Report {
    /// Enters one judgement, and prints it.
    pub fn judge(&mut self, is_good: bool, what: &str, seen: impl std::fmt::Display) {
        let seen = seen.to_string();
        println!("  {} {what}: {seen}", if is_good { "ok   " } else { "FAULT" });
        self.checks.push(json!({ "what": what, "seen": seen, "good": is_good }));
        self.faults += usize::from(!is_good);
    }

    /// Enters a figure, which is judged by nobody.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }
}

/// Runs one drill or all, and writes each result down whatever it is.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    let binary = match &args.binary {
        Some(binary) => binary.canonicalize().context("there is no such binary")?,
        None => mainstay::build(true, workspace, stop)?,
    };
    let out = args.out.clone().unwrap_or_else(|| workspace.root.join("docs/results"));
    let mut table = Vec::new();
    for (name, word, drill) in DRILLS {
        if args.name != name && args.name != Name::All {
            continue;
        }
        println!("{word}");
        let (start, mut report) = (Instant::now(), Report::default());
        // Times mean little beside others' work: who reads them should know how much of it there was.
        let load = machine::load_average();
        let outcome = drill(&Bench { binary: &binary, stop }, &mut report);
        // A drill broken off says nothing, so nothing is written down.
        stop.check()?;
        if let Err(error) = &outcome {
            report.judge(false, "the drill runs to its end", format!("{error:#}"));
        }
        let verdict = if report.faults == 0 { "passed" } else { "FAILED" };
        let seconds = start.elapsed().as_secs();
        println!(
            "  {verdict}: {} of {} as they should be, {seconds} s",
            report.checks.len() - report.faults,
            report.checks.len()
        );
        let result = json!({
            "drill": word,
            "verdict": verdict,
            "checks": report.checks,
            "figures": report.figures,
            "seconds": seconds,
            "load_average_before": load,
        });
        machine::write_result(&out.join(format!("chaos-{word}.json")), result, workspace)?;
        table.push((word, verdict, report.checks.len(), report.faults, seconds));
    }
    if table.len() > 1 {
        println!("\n{:<18} {:<8} {:>6} {:>7} {:>6}", "drill", "verdict", "checks", "faults", "s");
        for (word, verdict, checks, faults, seconds) in &table {
            println!("{word:<18} {verdict:<8} {checks:>6} {faults:>7} {seconds:>6}");
        }
    }
    let is_clean = table.iter().all(|(_, _, _, faults, _)| *faults == 0);
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
