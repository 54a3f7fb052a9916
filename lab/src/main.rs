//! The performance laboratory: `cargo run --release -p lab -- bench`. How to run and read it: `lab/README.md`.
//!
//! It knows HTTP and processes, never our crates, so that every contender is measured alike.
//! [`contender`] builds and starts one, [`contract`] checks its answers, [`wrk`] and [`drive`] put load on it,
//! [`process`] reads what it cost, [`rows`] say what is compared, [`results`] and [`report`] keep and show it.

mod bench;
mod contender;
mod contract;
mod data;
mod drive;
mod http;
mod lab;
mod mainstay;
mod postgres;
mod process;
mod progress;
mod redis;
mod report;
mod results;
mod rows;
mod setup;
mod stats;
mod wrk;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::lab::Lab;
use crate::process::Stop;

#[derive(Parser)]
#[command(name = "lab", about = "Mainstay's performance laboratory", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure, keep the results under lab/results and write the table.
    Bench(bench::Args),
    /// List the rows and the contenders.
    List,
    /// Write the tables (lab/results/README.md, README.md) from a folder of results.
    Report {
        /// A folder under lab/results.
        folder: PathBuf,
    },
    /// Put load on a server as the plan on standard input says; `bench` calls this on a core of its own.
    #[command(hide = true)]
    Drive,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Bench(args) => bench::run(&args, &Lab::open(Stop::on_signals()?)?),
        Verb::List => bench::list(&Lab::open(Stop::on_signals()?)?),
        Verb::Report { folder } => report::write(&Lab::open(Stop::on_signals()?)?, &folder),
        Verb::Drive => drive::run(),
    }
}
