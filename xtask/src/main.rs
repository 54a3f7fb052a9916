//! The project's own commands: `cargo xtask --help` lists them.
//!
//! One file per command, and one per check of `cargo xtask check`; [`servers`] and [`cargo_tools`] are what several share.
//! Private servers, and what cargo knows of the workspace, come from `devservers`.

mod cargo_tools;
mod check;
mod clients;
mod conformance;
mod cover;
mod deny;
mod dependency_rules;
mod fuzz;
mod generated;
mod links;
mod module_rules;
mod mutants;
mod new_domain;
mod retired_words;
mod servers;
mod test;
mod translations;
mod vendor;

use devservers::Stop;
use devservers::workspace::Workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Mainstay's own commands", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run every test, with a private throwaway PostgreSQL beside them.
    Test(test::Args),
    /// What CI checks besides the tests: format, lints, docs, policy, generated files, direction, links,
    /// translations.
    Check(check::Args),
    /// Write the files derived from the code, or say which are stale.
    Gen(generated::Args),
    /// Have other people's tools judge the document, the server and the clients made from it.
    Conformance(conformance::Args),
    /// Make the smallest domain that passes every gate, and add it to the server.
    NewDomain(new_domain::Args),
    /// Measure line coverage.
    Cover(cover::Args),
    /// Change the code of tokens and authorization in one place after another; tests must notice.
    Mutants(mutants::Args),
    /// Fetch the documentation pages' scripts from npm again, at the versions written down.
    VendorDocs(vendor::Args),
    /// Try inputs without end on what reads tokens, cursors, query strings and bodies.
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_signals()?;
    let workspace = Workspace::load()?;
    match verb {
        Verb::Test(args) => test::run(&args, &workspace, &stop),
        Verb::Check(args) => check::run(&args, &workspace, &stop),
        Verb::Gen(args) => generated::run(&args, &workspace, &stop),
        Verb::Conformance(args) => conformance::run(&args, &workspace, &stop),
        Verb::NewDomain(args) => new_domain::run(&args, &workspace),
        Verb::Cover(args) => cover::run(&args, &workspace, &stop),
        Verb::Mutants(args) => mutants::run(&args, &workspace, &stop),
        Verb::VendorDocs(args) => vendor::run(&args, &workspace, &stop),
        Verb::Fuzz(args) => fuzz::run(&args, &workspace, &stop),
    }
}
