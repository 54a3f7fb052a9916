#![doc = include_str!("../README.md")]

mod admin;
mod assemble;
mod banner;
mod cli;
mod prompt;
mod reference;
mod secret;
mod serve;
mod settings;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use mainstay::kernel::Clock;

use crate::cli::{AdminVerb, Cli, ConfigVerb, ServeArgs, Verb};
use crate::settings::Purpose;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Usage errors exit with 2 in here.
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let flags = &cli.flags;
    match cli.verb.unwrap_or(Verb::Serve(ServeArgs { listen: None })) {
        Verb::Serve(args) => serve::serve(&settings::load(flags, args.listen, Purpose::Serve)?),
        Verb::Migrate => migrate(&settings::load(flags, None, Purpose::Migrate)?),
        Verb::Admin { verb: AdminVerb::Create(args) } => {
            admin::create(&args, &settings::load(flags, None, Purpose::Serve)?)
        }
        Verb::Openapi => {
            let api = assemble::described()?;
            say(std::str::from_utf8(&api.api.document()[..]).context("the document is not text")?)
        }
        Verb::Errors => say(&reference::errors(&assemble::described()?.api)),
        Verb::Config { verb } => config(verb, flags),
    }
}

fn config(verb: ConfigVerb, flags: &cli::Flags) -> Result<()> {
    match verb {
        ConfigVerb::Show => say(&settings::load(flags, None, Purpose::Look)?.settings.show()),
        ConfigVerb::Check => {
            let loaded = settings::load(flags, None, Purpose::Look)?;
            say(&format!("The settings are good: {}.", loaded.sources.join(", then ")))
        }
        ConfigVerb::Default => say(&reference::default_file(&settings::sections())),
        ConfigVerb::Reference => say(&reference::settings(&settings::sections())),
    }
}

fn migrate(loaded: &settings::Loaded) -> Result<()> {
    let _log = serve::log(&loaded.settings)?;
    serve::runtime(&loaded.settings)?.block_on(async {
        let (store, applied) = assemble::app().migrate(&loaded.settings, &Clock::system()).await?;
        store.close().await;
        for step in &applied {
            say(&format!("applied {} {}", step.domain, step.name))?;
        }
        say(match applied.len() {
            0 => "The database is up to date; there was nothing to do.",
            _ => "The database is up to date.",
        })
    })
}

/// Prints a text and a line end. That nobody reads on is no fault of ours (`mainstay openapi | head`).
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written =
        out.write_all(text.trim_end().as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
