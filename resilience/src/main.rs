#![doc = include_str!("../README.md")]

mod chaos;
mod soak;
mod trace;

use devservers::Stop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use devservers::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo resilience", about = "What Mainstay has to withstand", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Do to the server what enemies and accidents do, and judge what is seen from outside.
    Chaos(chaos::Args),
    /// Kill the server or its database at random moments and look for a lost or doubled write.
    Soak(soak::Args),
    /// Show that an acknowledged write had reached the disk before the response left.
    Trace(trace::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("resilience: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_signals()?;
    let workspace = Workspace::load()?;
    match verb {
        Verb::Chaos(args) => chaos::run(&args, &workspace, &stop),
        Verb::Soak(args) => soak::run(&args, &workspace, &stop),
        Verb::Trace(args) => trace::run(&args, &workspace, &stop),
    }
}
