//! The performance laboratory: `cargo lab bench`, or `study`. How to run and read both: `lab/README.md`.
//!
//! It knows HTTP and processes, never our crates, so that every target is measured alike.
//! [`target`] builds and starts one, [`contract`] checks its answers, [`wrk`] and [`load_generator`] put load on it,
//! [`process`] reads what it cost, [`rows`] say what the bench compares, [`results`] and [`report`] keep and show it.
//! [`study`] is FastServe: many frameworks, one factor at a time.

mod bench;
mod contract;
mod data;
mod http;
mod lab;
mod load_generator;
mod mainstay;
mod mariadb;
mod postgres;
mod process;
mod progress;
mod redis;
mod report;
mod results;
mod rows;
mod setup;
mod stats;
mod study;
mod target;
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
    /// List the rows and the targets.
    List,
    /// Write the tables (lab/results/README.md, README.md) from a folder of results.
    Report {
        /// A folder under lab/results.
        folder: PathBuf,
    },
    /// FastServe: measure what a plan says, or go on where it was cut off, and write the report.
    Study(study::run::Args),
    /// FastServe in ten minutes: the plan `quick`, then the report.
    Quick {
        /// Where the results go, instead of a folder under lab/results.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Hold targets of the study to their contract, all of them or those that are named.
    Contract {
        /// Folders under lab/targets.
        targets: Vec<String>,
    },
    /// Write the study's report again from a folder of its results.
    StudyReport {
        /// The folder.
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
        Verb::Study(args) => study::run::run(&args, &Lab::open(Stop::on_signals()?)?),
        Verb::Quick { out } => study::run::run(&study::run::Args::quick(out), &Lab::open(Stop::on_signals()?)?),
        Verb::Contract { targets } => study::run::check(&targets, &Lab::open(Stop::on_signals()?)?),
        Verb::StudyReport { folder } => study::report::write(&folder),
        Verb::Drive => load_generator::run(),
    }
}
